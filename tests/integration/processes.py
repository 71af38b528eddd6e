"""What the tests on real processes share: a place of their own, what runs in it, and what must not be left of it.

Every process that is started in a place, and everything such a process starts, carries the place's folder in its
environment: that is how those that were left behind are found, however deep.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from scaler.storage.places import sweep_stores

#: what the acceptance list allows: a program's exit, and the end of what was told to end or lost its parent
EXIT_S = 2.0
STOP_S = 3.0
#: …, and until a slot is there again whose worker was killed, or its work runs elsewhere if its cluster was
SLOT_BACK_S = 1.0
ELSEWHERE_S = 3.0
#: longest wait for what has no bar of its own; the machine may be slow and shared
PATIENCE_S = 30.0
POLL_S = 0.01
#: a poll that takes longer says something of the machine
STANDSTILL_S = 0.5
#: what a place holds besides what our processes make in their run directory
RUN = "run"

ROOT = Path(__file__).resolve().parents[2]
SHM = Path("/dev/shm")  # noqa: S108  # looked at, not written to


def wait_until(is_so: Callable[[], object], what: str | Callable[[], object], within_s: float = PATIENCE_S) -> float:
    """Wait until something is so, and return how many seconds that took; fails the test after `within_s`.

    Shared machines stand still now and then, for longer than any bar of ours: that time is not counted.
    """
    waited_s = 0.0
    looked_at = time.monotonic()
    while not is_so():
        if waited_s > within_s:
            pytest.fail(f"not after {within_s:g} s: {what() if callable(what) else what}")
        time.sleep(POLL_S)
        now = time.monotonic()
        waited_s += min(now - looked_at, STANDSTILL_S)
        looked_at = now
    return waited_s


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def wait_gone(pids: Sequence[int], within_s: float = PATIENCE_S) -> float:
    """Wait until none of these runs any more; how many seconds that took."""
    return wait_until(lambda: not any(map(is_alive, pids)), f"{pids} have ended", within_s)


class Command:
    """A process that a test has started, in a session of its own, and what it prints: into files, so it never waits."""

    def __init__(self, words: Sequence[str], folder: Path, number: int, inherited: Sequence[int] = ()) -> None:
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=inherited,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def out(self) -> str:
        """All it has printed by now."""
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """All it has said on stderr by now."""
        return self._err.read_text(encoding="utf-8")

    def wait_for(self, text: str, count: int = 1) -> str:
        """The last line that has this text, once there are so many of them."""

        def found() -> list[str]:
            return [line for line in self.out.splitlines() if text in line]

        wait_until(lambda: len(found()) >= count or self.process.poll() is not None, f"{text!r} in {self.out!r}")
        assert len(found()) >= count, (self.process.poll(), self.out, self.err)
        return found()[-1]

    def send(self, number: signal.Signals) -> None:
        """Signal its process group, as a terminal does at Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill this process alone, as kill -9 does."""
        self.process.kill()
        self.process.wait()

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended."""
        wait_until(lambda: self.process.poll() is not None, f"{self.process.args} ends", within_s)
        return self.process.returncode

    def end(self, number: signal.Signals = signal.SIGTERM, within_s: float = PATIENCE_S) -> int:
        """Signal it and return its exit code."""
        self.send(number)
        return self.wait(within_s)


class Place:
    """Folders of one test, and the processes in it; `this` process is in it too as far as its environment goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commands: list[Command] = []
        self._addresses: set[str] = set()
        (folder / RUN).mkdir(mode=0o700)
        self.environment = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "c"),
            "XDG_RUNTIME_DIR": f"{folder}/run",
        }

    # ---- what runs in it

    def start(self, *words: str, inherited: Sequence[int] = ()) -> Command:
        """Start a command of ours by the name users type, or any other program by its path."""
        name = str(Path(sys.executable).with_name(words[0]))
        command = Command([name, *words[1:]], self.folder, len(self._commands), inherited)
        self._commands.append(command)
        return command

    def program(self, name: str) -> Path:
        """A command of ours by the name users type."""
        return Path(sys.executable).with_name(name)

    def script(self, text: str, *arguments: str) -> Command:
        """Start a program as users do: a file of theirs."""
        path = self.folder / f"script{len(self._commands)}.py"
        path.write_text(text, encoding="utf-8")
        return self.start("python", str(path), *arguments)

    def scheduler(self, address: str = "tcp://127.0.0.1:0", *options: str) -> tuple[Command, str]:
        """A scheduler that is ready, and where it listens."""
        command = self.start("scaler_scheduler", address, *options)
        found = command.wait_for("listening on ").rpartition(" ")[2]
        self._addresses.add(found)
        return command, found

    def cluster(self, address: str, workers: int, *options: str) -> Command:
        """A worker cluster that is connected."""
        command = self.start("scaler_worker", "-n", str(workers), *options, address)
        command.wait_for("connected")
        return command

    # ---- what is in it

    def processes(self) -> list[int]:
        """Every living process that was started in this place, by whomever."""
        mark = f"XDG_RUNTIME_DIR={self.folder}/run\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
        return [pid for pid in found if is_alive(pid)]

    def children(self, pid: int) -> list[int]:
        """The processes right below one."""
        return [child.pid for child in psutil.Process(pid).children() if is_alive(child.pid)]

    def below(self, pid: int) -> list[int]:
        """The processes below one, however deep."""
        return [child.pid for child in psutil.Process(pid).children(recursive=True) if is_alive(child.pid)]

    def run_files(self) -> list[Path]:
        """What lies in the run directory: sockets, and the files by which schedulers are found."""
        return [path for path in (self.folder / RUN).rglob("*") if not path.is_dir()]

    def path(self, name: str) -> str:
        """A file of this place."""
        return str(self.folder / name)

    def lines(self, name: str) -> list[str]:
        """The lines that tasks have appended to a file of this place."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def victim(self, name: str) -> int:
        """The process of the task that has said so in a file beside its lines, and waits to be killed."""
        wait_until(lambda: self.lines(f"{name}.pid"), "the task runs")
        return int(self.lines(f"{name}.pid")[-1])

    # ---- what must not be left of it

    def wait_empty(self, within_s: float = PATIENCE_S) -> None:
        """Wait until no process is left here."""
        wait_until(lambda: not self.processes(), lambda: f"no process is left, but {self.described()}", within_s)

    def described(self) -> list[str]:
        """The processes here, for people."""
        told = []
        for pid in self.processes():
            with contextlib.suppress(psutil.Error):
                told.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())}")
        return told

    def open_addresses(self) -> list[str]:
        """Those of the addresses schedulers had here where somebody listens still."""
        return [address for address in sorted(self._addresses) if is_listening(address)]

    def end_commands(self) -> None:
        """Let those that the test left running end by SIGTERM, last come first."""
        for command in reversed(self._commands):
            if command.process.poll() is None:
                command.end(within_s=STOP_S)

    def close(self) -> None:
        """End what runs here, however it was going to end."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for command in self._commands:
            command.process.wait()


def is_listening(address: str) -> bool:
    """Whether a connection to this `tcp://` address is taken."""
    match = re.fullmatch(r"tcp://127\.0\.0\.1:(\d+)", address)
    if match is None:
        return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(match[1]))) == 0


def shared_memory() -> set[Path]:
    """The files in shared memory."""
    return set(SHM.iterdir()) if SHM.is_dir() else set()


def left_in_shared_memory(before: set[Path]) -> list[Path]:
    """What came since then and no living process has; other tests may be between making a file and opening it.

    The stores of killed processes are for the next start on their host to remove, which this is.
    """
    sweep_stores()
    return [path for path in shared_memory() - before if path.exists() and not in_use(path)]


def in_use(path: Path) -> bool:
    """Whether a living process has this file or folder open or mapped: it is somebody else's then."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if str(path) in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace"):
                return True
            if str(path) in open_paths(process.pid):
                return True
    return False


def open_paths(pid: int) -> set[str]:
    """The files and folders that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(link.readlink()))
    return found


@contextlib.contextmanager
def own_place() -> Iterator[Place]:
    """A place for one test, or for one module's tests; fails them if anything of it is left at the end."""
    folder = Path(tempfile.mkdtemp(prefix="scaler-t-", dir="/tmp"))  # short: socket paths have a limit
    shm = shared_memory()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        place = Place(folder)
        for name, value in place.environment.items():
            patch.setenv(name, value)
        stack.callback(place.close)
        yield place
        place.end_commands()
        place.wait_empty(STOP_S)
        assert place.open_addresses() == []
        wait_until(lambda: left_in_shared_memory(shm) == [], lambda: f"{left_in_shared_memory(shm)} is gone", STOP_S)
