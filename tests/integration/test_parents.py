"""Commands that have a line to their parent: the end of the parent is theirs, from their first steps on."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.processes import STOP_S, Command, Place, wait_until

#: what each is started with; the worker cluster waits to be told where its scheduler is
KINDS = {"scheduler": ("scaler_scheduler", "tcp://127.0.0.1:0"), "worker": ("scaler_worker", "-", "-n", "2")}
COMBO = """
import time
from scaler import SchedulerClusterCombo

cluster = SchedulerClusterCombo(n_workers=2)
time.sleep(100)
"""

each_kind = pytest.mark.parametrize("kind", KINDS)
Line = tuple[socket.socket, socket.socket]


@pytest.fixture
def line() -> Iterator[Line]:
    """The parent's end of a line, and the child's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def start(place: Place, kind: str, theirs: socket.socket) -> Command:
    """A command whose parent is whoever holds the other end; this process lets go of the child's."""
    command = place.start(*KINDS[kind], "--parent-fd", str(theirs.fileno()), inherited=[theirs.fileno()])
    theirs.close()
    return command


@each_kind
def test_a_parent_that_is_gone_already_ends_a_command_before_it_has_begun(place: Place, kind: str, line: Line):
    ours, theirs = line
    ours.close()
    command = start(place, kind, theirs)
    assert command.wait(STOP_S) == -signal.SIGTERM
    assert (command.out, command.err) == ("", "")
    assert place.run_files() == []


@each_kind
def test_a_parent_that_ends_while_a_command_is_loaded_ends_it_at_once(
    place: Place, kind: str, line: Line, monkeypatch: pytest.MonkeyPatch
):
    (place.folder / "click.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(1000)\n")
    monkeypatch.setenv("PYTHONPATH", str(place.folder))
    ours, theirs = line
    command = start(place, kind, theirs)
    command.wait_for("loading")
    ours.close()
    assert command.wait(STOP_S) == -signal.SIGTERM
    assert (command.out, command.err) == ("loading\n", "")


def test_what_a_parent_says_while_a_command_is_loaded_is_for_the_shell(place: Place, line: Line):
    ours, theirs = line
    _, address = place.scheduler()
    ours.sendall(f"{address}\n".encode())
    command = start(place, "worker", theirs)
    command.wait_for("connected")
    assert ours.recv(100) == b"started\n"
    assert command.end(within_s=STOP_S) == 0


@each_kind
def test_once_a_shell_listens_the_parents_end_stops_it_in_order(place: Place, kind: str, line: Line):
    ours, theirs = line
    _, address = place.scheduler()
    files = place.run_files()
    command = start(place, kind, theirs)
    if kind == "worker":
        ours.sendall(f"{address}\n".encode())
        command.wait_for("connected")
    else:
        command.wait_for("listening on")
    ours.close()
    assert command.wait(STOP_S) == 0
    assert "the parent is gone" in command.out
    assert "SIGTERM" not in command.out
    assert command.err == ""
    assert place.run_files() == files


def test_the_line_may_be_named_in_one_word(place: Place, line: Line):
    ours, theirs = line
    ours.close()
    with theirs:
        descriptor = theirs.fileno()
        command = place.start("scaler_worker", "tcp://127.0.0.1:1", f"--parent-fd={descriptor}", inherited=[descriptor])
    assert command.wait(STOP_S) == -signal.SIGTERM
    assert (command.out, command.err) == ("", "")


@pytest.mark.parametrize("moment_s", [0.0, 0.05, 0.2, 0.4])
def test_a_script_that_is_killed_while_its_cluster_starts_takes_it_along(place: Place, moment_s: float):
    script = place.script(COMBO)
    wait_until(lambda: len(place.processes()) >= 3, "it has started both commands")
    time.sleep(moment_s)
    script.kill()
    place.wait_empty(STOP_S)
    assert place.run_files() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1000000",), "scaler_worker: --parent-fd: 1000000 is no open descriptor"),
        (("9" * 30,), f"scaler_worker: --parent-fd: {'9' * 30} is no open descriptor"),
        (("x",), "scaler_worker: Invalid value for '--parent-fd'"),
        ((), "requires an argument"),
    ],
    ids=["closed", "too large", "no number", "missing"],
)
def test_what_is_no_line_is_told_in_one_line(place: Place, words: tuple[str, ...], said: str):
    command = place.start("scaler_worker", "tcp://127.0.0.1:1", "--parent-fd", *words)
    assert command.wait() == 2
    assert len(command.err.splitlines()) == 1
    assert said in command.err
