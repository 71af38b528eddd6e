from typing import Any

import pytest

from scaler.cli import options
from scaler.cli.commands import COMMANDS
from scaler.cli.settings import SECTIONS
from scaler.cluster import combo
from scaler.cluster.combo import SchedulerClusterCombo
from scaler.cluster.discarded import REMEDIES
from scaler.errors import ConfigurationError, SchedulerError

#: what Scaler documents and has no meaning here
DOCUMENTED = """
worker_io_threads scheduler_io_threads per_worker_task_queue_size per_worker_queue_size
object_retention_seconds load_balance_seconds load_balance_trigger_times hard_processor_suspend object_storage_address
scaler_policy security_config worker_manager_id
"""


class Recorded:
    """Stands for a child: keeps its command line, which has to be one that the command understands."""

    started: list[list[str]]

    def __init__(self, arguments: list[str]) -> None:
        section, *words = arguments
        parsed = COMMANDS[section]().make_context(section, words).params
        self.started.append([section, *(f"{name}={value}" for name, value in _given(section, parsed))])

    def wait_ready(self, _timeout_s: float) -> str:
        return "tcp://127.0.0.1:4711"

    def watch(self, _on_end: object) -> None:
        """It does not end by itself."""

    def tell(self, text: str) -> None:
        self.started[-1].append(f"told {text}")

    def ask_to_stop(self) -> None:
        self.started.append(["stop"])

    def finish(self, _timeout_s: float) -> None:
        self.started.append(["finish"])


def _given(section: str, parsed: dict[str, object]) -> list[tuple[str, str]]:
    typed = options.typed_settings(SECTIONS[section], parsed)
    return [(name, words if isinstance(words, bool) else ",".join(words)) for name, words in typed.items()]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    monkeypatch.setattr(Recorded, "started", [], raising=False)
    monkeypatch.setattr(combo, "Child", Recorded)
    return Recorded.started


def test_a_scheduler_and_a_cluster_start_together_and_end_one_after_the_other(started: list[list[str]]):
    with SchedulerClusterCombo(2) as cluster:
        assert cluster.get_address() == "tcp://127.0.0.1:4711"
    cluster.shutdown()
    assert started == [
        [
            "scheduler",
            "address=tcp://127.0.0.1:0",
            "protected=True",
            "client_timeout=60",
            "worker_timeout=60",
            "max_queued_tasks=-1",
            "event_loop=builtin",
            "logging_level=WARNING",
            "logging_paths=/dev/stderr",
        ],
        [
            "worker",
            "address=-",
            "workers=2",
            "threads=1",
            "heartbeat_interval=2",
            "death_timeout=300",
            "task_timeout=0",
            "garbage_collect_interval=30",
            "trim_memory_threshold=1073741824",
            "echo=False",
            "logging_level=WARNING",
            "logging_paths=/dev/stderr",
            "told tcp://127.0.0.1:4711",
        ],
        ["stop"],
        ["finish"],
        ["stop"],
        ["finish"],
    ]


def test_a_key_file_without_a_name_is_passed_on_and_refused_there(started: list[list[str]]):
    SchedulerClusterCombo(0, key_file="").shutdown()
    assert "key_file=" in started[0]


def test_every_keyword_reaches_the_command_it_is_for(started: list[list[str]]):
    SchedulerClusterCombo(
        n_workers=3,
        address="tcp://127.0.0.1:1",
        threads_per_worker=4,
        monitor_address="ipc://m",
        heartbeat_interval_seconds=0.5,
        client_timeout_seconds=5,
        worker_timeout_seconds=6,
        death_timeout_seconds=1e7,
        max_number_of_tasks_waiting=10,
        task_timeout_seconds=7.5,
        garbage_collect_interval_seconds=8,
        trim_memory_threshold_bytes=9,
        protected=False,
        private=True,
        event_loop="uvloop",
        logging_paths=("a", "b"),
        logging_level="ERROR",
        logging_config_file="c",
        key_file="k",
        per_worker_capabilities={"linux": -1, "gpu": 2},
    ).shutdown()
    both = {"logging_paths=a,b", "logging_level=ERROR", "logging_config_file=c", "key_file=k"}
    assert set(started[0]) == both | {
        "scheduler",
        "address=tcp://127.0.0.1:1",
        "monitor_address=ipc://m",
        "client_timeout=5",
        "worker_timeout=6",
        "max_queued_tasks=10",
        "protected=False",
        "private=True",
        "event_loop=uvloop",
    }
    assert set(started[1]) == both | {
        "worker",
        "address=-",
        "workers=3",
        "threads=4",
        "heartbeat_interval=0.5",
        "death_timeout=10000000.0",
        "task_timeout=7.5",
        "garbage_collect_interval=8",
        "trim_memory_threshold=9",
        "echo=False",
        "tags=linux",
        "resources=gpu=6",
        "told tcp://127.0.0.1:4711",
    }


def test_a_level_alone_brings_the_log_to_its_usual_place(started: list[list[str]]):
    SchedulerClusterCombo(1, logging_level="INFO").shutdown()
    assert [word for word in started[0] if word.startswith("logging")] == ["logging_level=INFO"]


def test_without_workers_there_is_a_scheduler_alone(started: list[list[str]]):
    SchedulerClusterCombo(0).shutdown()
    assert [words[0] for words in started] == ["scheduler", "stop", "finish"]


def test_what_is_begun_is_ended_when_the_rest_cannot_be(started: list[list[str]], monkeypatch: pytest.MonkeyPatch):
    def fail(_child: Recorded, _timeout_s: float) -> str:
        raise SchedulerError("it ended")

    monkeypatch.setattr(Recorded, "wait_ready", fail)
    with pytest.raises(SchedulerError):
        SchedulerClusterCombo(1)
    assert [words[0] for words in started][2:] == ["stop", "finish"] * 2


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"n_workers": -1}, "n_workers: expected a whole number from 0 to 10000, not -1"),
        ({"n_workers": 1.5}, "n_workers: expected a whole number from 0 to 10000, not 1.5"),
        ({"n_workers": "2"}, "n_workers: expected a whole number from 0 to 10000, not '2'"),
        ({"n_workers": None}, "n_workers: expected a whole number from 0 to 10000, not None"),
        ({"threads_per_worker": 0}, "threads_per_worker: expected a whole number from 1 to 1024, not 0"),
        ({"n_workers": 10**12}, "n_workers: expected a whole number from 0 to 10000, not 1000000000000"),
        ({"threads_per_worker": 1025}, "threads_per_worker: expected a whole number from 1 to 1024, not 1025"),
        ({"heartbeat_interval_seconds": 0}, "heartbeat_interval_seconds: expected a number of seconds above 0, not 0"),
        ({"death_timeout_seconds": -1}, "death_timeout_seconds: expected a number of seconds above 0, not -1"),
        ({"client_timeout_seconds": "1"}, "client_timeout_seconds: expected a number of seconds above 0, not '1'"),
        ({"worker_timeout_seconds": float("inf")}, "worker_timeout_seconds: expected a number of .* above 0, not inf"),
    ],
)
def test_numbers_that_make_no_sense_start_nothing(started: list[list[str]], keywords: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=f"^{said}$"):
        SchedulerClusterCombo(**{"n_workers": 1} | keywords)
    assert started == []


def test_the_cluster_too_has_to_say_that_it_is_ready(started: list[list[str]], monkeypatch: pytest.MonkeyPatch):
    waited: list[str] = []

    def wait_ready(_child: Recorded, _timeout_s: float) -> str:
        waited.append(started[-1][-1])
        return "tcp://127.0.0.1:4711"

    monkeypatch.setattr(Recorded, "wait_ready", wait_ready)
    SchedulerClusterCombo(1).shutdown()
    assert len(waited) == 2
    assert waited[1] == "told tcp://127.0.0.1:4711"


def test_an_end_nobody_asked_for_is_told_in_one_line(capsys: pytest.CaptureFixture[str]):
    for exit_code, is_protected in ((0, False), (0, True), (-9, False)):
        combo.report("tcp://h:1", "worker", exit_code, is_protected=is_protected)
    said = (
        "scaler: the worker of SchedulerClusterCombo tcp://h:1 has ended with exit code {}; no task runs there any more"
    )
    assert capsys.readouterr().err.splitlines() == [said.format(0), said.format(-9)]


def test_every_keyword_that_scaler_documents_is_accepted():
    assert sorted(REMEDIES) == sorted(DOCUMENTED.split())


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("name", REMEDIES)
def test_a_keyword_without_a_meaning_is_accepted_with_its_reason(name: str):
    with pytest.warns(DeprecationWarning, match=f"^{name} means nothing here: ") as caught:
        SchedulerClusterCombo(0, **{name: 10}).shutdown()
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("started")
def test_a_keyword_that_nobody_knows_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_threads'"):
        SchedulerClusterCombo(0, n_threads=1)
