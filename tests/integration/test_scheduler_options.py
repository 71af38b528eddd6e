"""Options of the scheduler, and those that both commands have, show their effect on real processes."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from scaler import Client
from tests.integration.processes import ELSEWHERE_S, ROOT, Place, wait_until
from tests.integration.workloads import timed

CLIENT = """
import sys
from scaler import Client
from tests.integration.workloads import timed
client = Client(sys.argv[1], heartbeat_interval_seconds=0.2)
futures = [client.submit(timed, sys.argv[2], number, 1000.0) for number in range(5)]
print("submitted", flush=True)
futures[0].result()
"""


def test_without_an_address_the_known_port_or_the_next_free_one_is_listened_at(place: Place):
    ports = []
    for _ in range(2):
        found = place.start("scaler_scheduler").wait_for("listening on tcp://127.0.0.1:")
        ports.append(int(found.rpartition(":")[2]))
    assert len(set(ports)) == 2
    assert set(ports) <= set(range(8516, 8546))


def test_a_client_that_is_silent_for_its_timeout_is_gone_with_its_tasks(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--client-timeout", "1.5")
    place.cluster(address, 1)
    silent = place.script(CLIENT, address, place.path("runs"))
    wait_until(lambda: place.lines("runs"), lambda: silent.err)
    silent.send(signal.SIGSTOP)
    with Client(address=address, heartbeat_interval_seconds=0.2) as client:
        assert client.submit(abs, -1).result() == 1
    assert "silent for 1.5 s" in scheduler.wait_for("a client left unfinished work")
    silent.send(signal.SIGKILL)


def test_a_cluster_that_is_silent_for_its_timeout_is_gone_and_its_tasks_go_elsewhere(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--worker-timeout", "1.5")
    silent = place.cluster(address, 1, "--heartbeat-interval", "0.2")
    with Client(address=address) as client:
        future = client.submit(timed, place.path("runs"), 7, 0.5)
        wait_until(lambda: place.lines("runs"), "it runs")
        for pid in (silent.pid, *place.below(silent.pid)):
            os.kill(pid, signal.SIGSTOP)
        place.cluster(address, 1, "--heartbeat-interval", "0.2")
        wait_until(lambda: len(place.lines("runs")) == 2, "it runs elsewhere", 1.5 + ELSEWHERE_S)
        assert future.result() == 7
    assert "silent for 1.5 s" in scheduler.wait_for("a worker cluster is gone")
    for pid in place.below(silent.pid):
        os.kill(pid, signal.SIGKILL)
    silent.kill()


def test_a_silence_within_the_timeout_is_none(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--worker-timeout", "20")
    cluster = place.cluster(address, 1, "--heartbeat-interval", "0.2")
    with Client(address=address) as client:
        future = client.submit(timed, place.path("runs"), 7, 1.0)
        wait_until(lambda: place.lines("runs"), "it runs")
        os.kill(cluster.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            future.result(timeout=2.0)
        os.kill(cluster.pid, signal.SIGCONT)
        assert future.result() == 7
    assert len(place.lines("runs")) == 1
    assert "a worker cluster is gone" not in scheduler.out


def test_where_nothing_else_is_said_the_state_is_shown_in_the_run_directory(place: Place):
    scheduler, _ = place.scheduler()
    shown = scheduler.wait_for("Scheduler: monitor address is ").rpartition(" ")[2]
    assert Path(shown.removeprefix("ipc://")).parent == place.folder / "run" / "scaler"


# ---- both


def of_scheduler(place: Place, *options: str) -> tuple[str, str]:
    """What a scheduler with these options has printed from its start to its end."""
    command = place.start("scaler_scheduler", "ipc://here", *options)
    wait_until(lambda: any("here" in str(path) for path in place.run_files()), "it listens")
    assert command.end() == 0
    return command.out, command.err


def of_worker(place: Place, *options: str) -> tuple[str, str]:
    """What a worker cluster has printed that finds nobody."""
    command = place.start("scaler_worker", "-n", "1", "--death-timeout", "0.3", "ipc://nobody", *options)
    assert command.wait() == 1
    return command.out, command.err


Run = Callable[..., tuple[str, str]]
both = pytest.mark.parametrize("run", [of_scheduler, of_worker])


@both
def test_every_line_of_a_log_for_machines_is_an_object(place: Place, run: Run):
    out, _ = run(place, "--log-format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) > 2
    assert all({"time", "level", "msg"} <= line.keys() for line in lines)


@both
def test_a_log_of_names_and_values(place: Place, run: Run):
    out, _ = run(place, "--log-format", "kv")
    assert all(line.startswith("time=") and " level=" in line and " msg=" in line for line in out.splitlines())


@both
def test_what_is_below_the_level_is_not_logged(place: Place, run: Run):
    assert run(place, "--logging-level", "CRITICAL") == ("", "")


@both
def test_a_log_goes_where_it_is_told_to(place: Place, run: Run):
    out, _ = run(place, "--logging-paths", place.path("log1"), "--logging-paths", place.path("log2"))
    assert out == ""
    assert place.lines("log1") == place.lines("log2") != []


@both
def test_a_file_of_python_s_own_decides_over_the_log(place: Place, run: Run):
    settings = {
        "version": 1,
        "formatters": {"own": {"format": "OWN %(message)s"}},
        "handlers": {"own": {"class": "logging.FileHandler", "filename": place.path("log"), "formatter": "own"}},
        "root": {"handlers": ["own"], "level": "INFO"},
    }
    Path(place.path("logging.json")).write_text(json.dumps(settings), encoding="utf-8")
    out, _ = run(place, "--logging-config-file", place.path("logging.json"))
    assert out == ""
    assert all(line.startswith("OWN ") for line in place.lines("log"))


def test_settings_come_from_a_file(place: Place):
    text = """
    logging_level: INFO
    scheduler:
      address: ipc://here
      client_timeout: 7
    worker:
      address: ipc://here
      workers: 2
      name: from-the-file
      memory_limit: 2G
    """
    Path(place.path("scaler.yaml")).write_text(text, encoding="utf-8")
    place.start("scaler_scheduler", "--config", place.path("scaler.yaml")).wait_for("listening on ipc://")
    worker = place.start("scaler_worker", "--config", place.path("scaler.yaml"))
    worker.wait_for("connected")
    assert "starting 2 workers" in worker.out
    assert "name=from-the-file" in worker.out


def test_a_setting_of_the_file_that_nobody_knows_is_told_with_what_may_have_been_meant(place: Place):
    Path(place.path("scaler.yaml")).write_text("worker:\n  memory_limt: 2G\n", encoding="utf-8")
    command = place.start("scaler_worker", "--config", place.path("scaler.yaml"), "ipc://here")
    assert command.wait() == 2
    assert "memory_limit" in command.err


def test_a_scheduler_serves_on_uvloop_as_on_the_builtin_loop(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--event-loop", "uvloop")
    cluster = place.cluster(address, 2)
    with Client(address) as client:
        assert client.map(abs, range(-2000, 0)) == list(range(2000, 0, -1))
        assert [client.submit(abs, -number).result() for number in range(50)] == list(range(50))
    assert cluster.end() == 0
    assert (scheduler.end(), scheduler.err) == (0, "")
