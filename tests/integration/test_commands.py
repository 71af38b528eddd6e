"""The commands as processes: what they print, how they end, and that they leave nothing behind."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from scaler import Client, SchedulerClusterCombo
from scaler.errors import ConfigurationError

PATIENCE_S = 20.0
LINE = re.compile(r"\[(\w+)\]\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[-+]\d{4}: (.*)")


class Command:
    """A command of ours that runs, and what it has printed."""

    def __init__(self, run: Path, *words: str) -> None:
        environment = os.environ | {"XDG_RUNTIME_DIR": str(run)}
        command = [sys.executable, "-m", "scaler.cli.main", *words]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        self.lines: list[str] = []

    def wait_for(self, text: str) -> str:
        """The line with this text, once it comes."""
        assert self.process.stdout is not None
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            ready, _, _ = select.select([self.process.stdout], [], [], until - time.monotonic())
            line = self.process.stdout.readline().decode() if ready else ""
            if not line:
                break
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return self.lines[-1]
        pytest.fail(f"no {text!r} in {self.lines}, but {self.end(signal.SIGTERM)}")

    def close(self) -> None:
        """End it whatever it does, and everything that was opened for it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; the exit code, and what was said on stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        self.lines += out.decode().splitlines()
        return self.process.returncode, err.decode()


Start = Callable[..., Command]


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run directory that is empty again at the end."""
    folder = tmp_path_factory.mktemp("r")
    folder.chmod(0o700)
    yield folder
    assert [path for path in folder.rglob("*") if not path.is_dir()] == []


@pytest.fixture
def start(run: Path) -> Iterator[Start]:
    """Starts commands; those that a test leaves running are killed."""
    with contextlib.ExitStack() as stack:

        def start_one(*words: str) -> Command:
            command = Command(run, *words)
            stack.callback(command.close)
            return command

        yield start_one


def said(lines: Sequence[str]) -> list[str]:
    """The texts of lines, all of which look as users know them."""
    found = [LINE.fullmatch(line) for line in lines]
    assert None not in found, lines
    return [match[2] for match in found if match is not None]


def listening(scheduler: Command) -> str:
    return scheduler.wait_for("listening on ").rpartition(" ")[2]


def test_scheduler_and_workers_say_what_users_of_scaler_know_and_end_by_ctrl_c(start: Start):
    scheduler = start("scheduler", "tcp://127.0.0.1:0")
    address = listening(scheduler)
    worker = start("worker", "-n", "2", "--worker-names", "alice,bob", address)
    worker.wait_for("connected")
    with Client(address=address) as client:
        assert client.map(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert worker.end(signal.SIGINT) == (0, "")
    assert scheduler.end(signal.SIGINT) == (0, "")
    started = said(worker.lines)
    assert started[0] == "logging to ('/dev/stdout',)"
    assert started[1].startswith("ClusterProcess: starting 2 workers, heartbeat_interval_seconds=2")
    names = [line for line in started if line.startswith("Worker[")]
    assert [re.sub(r"pid=\d+", "pid", line) for line in names] == [
        "Worker[0] started pid name=alice",
        "Worker[1] started pid name=bob",
    ]
    served = said(scheduler.lines)
    assert served[:2] == ["logging to ('/dev/stdout',)", "use event loop: builtin"]
    assert served[2].startswith("Scheduler: monitor address is ipc://")
    assert served[3:9] == [
        f"{name}: started"
        for name in (
            "AsyncBinder",
            "TaskManager",
            "ObjectManager",
            "WorkerManager",
            "ClientManager",
            "StatusReporter",
        )
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [("scheduler", "ipc://here"), ("worker", "-n", "2", "ipc://nobody")])
@pytest.mark.parametrize("delay_s", [0.1, 0.2, 0.3, 0.4, 0.6])
def test_a_signal_during_the_start_ends_a_command_without_a_word_and_leaves_nothing(
    start: Start, command: tuple[str, ...], number: signal.Signals, delay_s: float
):
    started = start(*command)
    time.sleep(delay_s)
    code, err = started.end(number)
    # Ctrl-C while Python starts, before there is anything of ours, cannot be helped
    assert code in {0, -number} or "KeyboardInterrupt" in err, err
    assert not re.search(r"scaler/(?!__init__)|warning", err, re.IGNORECASE), err


def test_a_worker_cluster_finds_the_scheduler_of_this_machine(start: Start):
    scheduler = start("scheduler", "ipc://here")
    listening(scheduler)
    worker = start("worker", "-n", "1")
    worker.wait_for("connected")
    assert worker.end(signal.SIGTERM)[0] == scheduler.end(signal.SIGTERM)[0] == 0


def test_an_address_that_is_taken_is_told_in_one_line(start: Start):
    first = start("scheduler", "tcp://127.0.0.1:0")
    address = listening(first)
    second = start("scheduler", address)
    out, err = second.process.communicate(timeout=PATIENCE_S)
    assert (second.process.returncode, err.count(b"\n")) == (2, 1), out
    assert err.decode().startswith(f"scaler: cannot listen on {address}: ")
    first.end(signal.SIGTERM)


def test_a_scheduler_goes_on_when_nobody_reads_its_log(start: Start):
    scheduler = start("scheduler", "ipc://here")
    listening(scheduler)
    assert scheduler.process.stdout is not None
    scheduler.process.stdout.close()
    worker = start("worker", "-n", "1", "ipc://here")
    worker.wait_for("connected")
    worker.end(signal.SIGTERM)
    scheduler.process.send_signal(signal.SIGTERM)
    assert scheduler.process.wait(PATIENCE_S) == 0


def test_uvloop_is_used_where_it_is_asked_for(start: Start):
    scheduler = start("scheduler", "ipc://here", "--event-loop", "uvloop", "--log-format", "kv")
    assert 'msg="use event loop: uvloop"' in scheduler.wait_for("event loop")
    listening(scheduler)
    scheduler.end(signal.SIGTERM)


def test_everything_ends_with_the_program_that_started_it_however_that_ends(run: Path):
    code = (
        "import os, sys; from scaler import SchedulerClusterCombo; cluster = SchedulerClusterCombo(n_workers=2); "
        "print(*[child.pid for child in cluster._children], flush=True); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"XDG_RUNTIME_DIR": str(run)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    until = time.monotonic() + PATIENCE_S
    while any(_lives(int(pid)) for pid in done.stdout.split()) and time.monotonic() < until:
        time.sleep(0.05)
    assert [pid for pid in done.stdout.split() if _lives(int(pid))] == []


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_logging_option_of_a_cluster_in_one_call_reaches_both_of_its_processes(tmp_path: Path):
    log = tmp_path / "log"
    with SchedulerClusterCombo(n_workers=1, logging_paths=[str(log)], logging_level="DEBUG") as cluster:
        assert cluster.get_address().startswith("tcp://127.0.0.1:")
        with Client(address=cluster) as client:
            assert client.submit(abs, -3).result() == 3
    lines = said(log.read_text().splitlines())
    assert lines.count(f"logging to ('{log}',)") == 2
    assert {"Scheduler: stopped", "ClusterProcess: ended, SIGTERM"} <= set(lines)


def test_a_cluster_in_one_call_says_nothing_when_all_is_well(capfd: pytest.CaptureFixture[str]):
    with SchedulerClusterCombo(n_workers=1) as cluster, Client(address=cluster) as client:
        assert client.submit(print, "from a task").result() is None
    assert capfd.readouterr() == ("from a task\n", "")


def test_names_of_scaler_without_a_meaning_are_accepted_with_a_warning():
    with (
        pytest.warns(DeprecationWarning, match="object_retention_seconds means nothing here: references decide"),
        SchedulerClusterCombo(n_workers=0, object_retention_seconds=3, max_number_of_tasks_waiting=-1),
    ):
        pass
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_threads'"):
        SchedulerClusterCombo(n_workers=0, n_threads=3)


def test_a_scheduler_that_cannot_start_is_told_to_who_wanted_it(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(ConfigurationError, match=r"^scheduler: ADDRESS: 'nowhere' is no address"):
        SchedulerClusterCombo(n_workers=1, address="nowhere")
    assert "'nowhere' is no address" in capfd.readouterr().err
