import os
from pathlib import Path

import pytest

from scaler.cli.logs import LogConfig
from scaler.cli.records import log_config, scheduler_config, worker_config
from scaler.cli.resolve import Typed, resolve
from scaler.errors import AddressError, ConfigurationError
from scaler.net.addresses import IpcAddress, TcpAddress
from scaler.scheduler.config import SchedulerConfig
from scaler.worker.config import WorkerClusterConfig, default_workers
from scaler.worker.tidying import Tidying


def scheduler(typed: Typed, environment: dict[str, str] | None = None) -> SchedulerConfig:
    known = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]} | (environment or {})
    return scheduler_config(resolve("scheduler", typed, known), known, None)


def worker(typed: Typed, found: str | None = None, parent_fd: int | None = None) -> WorkerClusterConfig:
    return worker_config(resolve("worker", typed, {}), {}, lambda: found, parent_fd)


def test_without_an_address_the_scheduler_takes_the_known_port_or_the_next_free_one():
    addresses = scheduler({}).addresses
    assert addresses[:2] == (TcpAddress("127.0.0.1", 8516), TcpAddress("127.0.0.1", 8517))
    assert addresses[-2:] == (TcpAddress("127.0.0.1", 8545), TcpAddress("127.0.0.1", 0))


def test_an_address_without_a_scheme_is_tcp():
    assert scheduler({"address": ["0.0.0.0:8600"]}).addresses == (TcpAddress("0.0.0.0", 8600),)  # noqa: S104  # parsed only


def test_a_client_s_variable_does_not_make_a_scheduler_listen_elsewhere():
    assert scheduler({}, {"SCALER_ADDRESS": "far:1"}).addresses[0] == TcpAddress("127.0.0.1", 8516)
    assert scheduler({}, {"SCALER_SCHEDULER_ADDRESS": "here:1"}).addresses == (TcpAddress("here", 1),)


def test_the_monitor_has_a_socket_of_its_own_in_the_run_directory():
    place = Path(os.environ["XDG_RUNTIME_DIR"]) / "scaler" / f"monitor-{os.getpid()}"
    assert scheduler({}).monitor_address == IpcAddress(place)


def test_every_setting_of_the_scheduler_reaches_its_record():
    typed = {
        "address": ["h:1"],
        "monitor_address": ["h:2"],
        "protected": False,
        "private": True,
        "client_timeout": ["3"],
        "worker_timeout": ["4"],
        "event_loop": ["uvloop"],
        "max_queued_tasks": ["9"],
        "memory_limit": ["2M"],
        "key_file": ["/keys"],
        "insecure": True,
        "insecure_off_loopback": True,
    }
    assert scheduler_config(resolve("scheduler", typed, {}), {}, 7) == SchedulerConfig(
        addresses=(TcpAddress("h", 1),),
        monitor_address=TcpAddress("h", 2),
        environment={},
        key_directory=Path("/keys"),
        is_insecure=True,
        is_insecure_off_loopback=True,
        is_protected=False,
        is_private=True,
        client_timeout_s=3.0,
        worker_timeout_s=4.0,
        event_loop="uvloop",
        max_queued_tasks=9,
        memory_limit_bytes=2_000_000,
        parent_fd=7,
    )


def test_every_setting_of_a_worker_cluster_reaches_its_record():
    typed = {
        "address": ["h:1"],
        "workers": ["2"],
        "threads": ["3"],
        "max_parked": ["9"],
        "tags": ["a"],
        "resources": ["gpu=1"],
        "name": ["n"],
        "worker_names": ["x,y"],
        "heartbeat_interval": ["4"],
        "death_timeout": ["5"],
        "grace": ["6"],
        "end_time": ["7"],
        "python_path": ["/p"],
        "memory_limit": ["1.5G"],
        "preload": [" m:f('a') "],
        "max_tasks_per_worker": ["9"],
        "task_timeout": ["8"],
        "garbage_collect_interval": ["9"],
        "trim_memory_threshold": ["10"],
        "echo": False,
        "key_file": ["/k"],
        "insecure": True,
        "insecure_off_loopback": True,
    }
    assert worker(typed, parent_fd=8) == WorkerClusterConfig(
        address="tcp://h:1",
        workers=2,
        threads=3,
        max_parked=9,
        name="n",
        worker_names=("x", "y"),
        tags=("a",),
        resources=(("gpu", 1.0),),
        devices=("0",),
        heartbeat_interval_s=4.0,
        death_timeout_s=5.0,
        grace_s=6.0,
        ends_at_unix_s=7.0,
        key_file=Path("/k"),
        insecure=True,
        insecure_off_loopback=True,
        python_path=("/p",),
        memory_limit_bytes=1_500_000_000,
        preload="m:f('a')",
        max_tasks_per_worker=9,
        task_timeout_s=8.0,
        tidying=Tidying(9.0, 10),
        echo=False,
        parent_fd=8,
        environment={},
    )


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("500M", 500_000_000),
        ("2 gb", 2_000_000_000),
        ("2Gi", 2 << 30),
        ("300MiB", 300 << 20),
        ("0.5T", 500_000_000_000),
    ],
)
def test_sizes_are_decimal_unless_they_say_otherwise(text: str, size_bytes: int):
    assert worker({"address": ["h:1"], "memory_limit": [text]}).memory_limit_bytes == size_bytes


@pytest.mark.parametrize("text", ["2", "2000000000", "0G", "G", "-1G", "1P", "63M", "1e3M", "infG", "2 G B"])
def test_a_size_without_a_unit_or_too_small_for_a_worker_is_refused(text: str):
    with pytest.raises(ConfigurationError, match=r"--memory-limit: expected a size from 64M, such as 500M, 2G or 2Gi"):
        worker({"address": ["h:1"], "memory_limit": [text]})


@pytest.mark.parametrize(
    ("amount", "seen", "expected"),
    [
        ("gpu=2", None, ("0", "1")),
        ("gpu=1.5", None, ("0", "1")),
        ("gpu=2", "3, 5,7", ("3", "5")),
        ("gpu=1", "GPU-8932f937", ("GPU-8932f937",)),
        ("disk=2", "3", ()),
        ("disk=2", None, ()),
    ],
)
def test_gpus_are_those_that_this_process_sees(amount: str, seen: str | None, expected: tuple[str, ...]):
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    found = resolve("worker", {"address": ["h:1"], "resources": [amount]}, environment)
    assert worker_config(found, environment, lambda: None, None).devices == expected


@pytest.mark.parametrize("seen", ["", "0", "0,-1,1"])
def test_more_gpus_than_this_process_sees_cannot_be_offered(seen: str):
    environment = {"CUDA_VISIBLE_DEVICES": seen}
    found = resolve("worker", {"address": ["h:1"], "resources": ["gpu=2"]}, environment)
    with pytest.raises(ConfigurationError, match=r"--resources: there are not 2 GPUs here: CUDA_VISIBLE_DEVICES is"):
        worker_config(found, environment, lambda: None, None)


def test_what_cannot_be_called_is_no_preload():
    with pytest.raises(ConfigurationError, match=r"--preload: expected module:function or .*, not 'module'"):
        worker({"address": ["h:1"], "preload": ["module"]})


def test_what_is_off_is_none():
    config = worker({"address": ["h:1"], "task_timeout": ["0"], "garbage_collect_interval": ["0"]})
    assert (config.task_timeout_s, config.tidying) == (None, None)
    assert scheduler({"max_queued_tasks": ["-1"]}).max_queued_tasks is None
    with pytest.raises(ConfigurationError, match="1M"):
        scheduler({"memory_limit": ["999k"]})
    with pytest.raises(ConfigurationError, match=r"--max-queued-tasks: expected a whole number from 1, or -1 for no"):
        scheduler({"max_queued_tasks": ["0"]})


def test_a_worker_cluster_has_as_many_workers_as_it_may_use_cpus():
    assert worker({"address": ["h:1"]}).workers == default_workers()


@pytest.mark.parametrize(("typed", "parked"), [({}, 64), ({"workers": ["64"]}, 256), ({"max_parked": ["3"]}, 3)])
def test_more_tasks_may_wait_where_more_can_run(typed: dict[str, list[str]], parked: int):
    assert worker({"address": ["h:1"], **typed}).parked_at_most == parked


def test_names_alone_say_how_many_workers_there_are():
    assert worker({"address": ["h:1"], "worker_names": ["a,b,c"]}).workers == 3


def test_names_must_be_as_many_as_workers_and_all_different():
    with pytest.raises(ConfigurationError, match=r"--worker-names: 2 names for 3 workers"):
        worker({"address": ["h:1"], "worker_names": ["a,b"], "workers": ["3"]})
    with pytest.raises(ConfigurationError, match=r"--worker-names: each worker needs a name of its own"):
        worker({"address": ["h:1"], "worker_names": ["a,a"]})


def test_without_an_address_a_worker_cluster_looks_for_a_scheduler_of_this_machine():
    assert worker({}, found="tcp://127.0.0.1:9").address == "tcp://127.0.0.1:9"


def test_with_neither_address_nor_scheduler_it_says_what_to_do():
    with pytest.raises(
        ConfigurationError, match=r"give one, as in 'scaler_worker tcp://host:8516', or set SCALER_ADDR"
    ):
        worker({})


def test_a_wrong_address_is_told_with_its_place():
    with pytest.raises(AddressError, match=r"^ADDRESS: 'udp://h:1' is no address"):
        worker({"address": ["udp://h:1"]})
    with pytest.raises(AddressError, match=r"^SCALER_MONITOR_ADDRESS: 'h' is no address"):
        scheduler({}, {"SCALER_MONITOR_ADDRESS": "h"})


def test_a_worker_cluster_cannot_dial_any_free_port():
    with pytest.raises(AddressError, match=r"give the port the scheduler has printed"):
        worker({"address": ["127.0.0.1:0"]})


def test_only_a_child_of_ours_is_told_its_address_later():
    assert worker({"address": ["-"]}, parent_fd=3).address == ""
    with pytest.raises(AddressError, match=r"'-' is no address"):
        worker({"address": ["-"]})


def test_what_was_said_of_the_log_is_kept_apart_from_what_was_not():
    assert log_config(resolve("worker", {}, {})) == LogConfig()
    typed = {"logging_level": ["debug"], "logging_paths": ["a,b"], "log_format": ["kv"], "logging_config_file": ["f"]}
    assert log_config(resolve("worker", typed, {})) == LogConfig("DEBUG", ("a", "b"), "kv", Path("f"))
