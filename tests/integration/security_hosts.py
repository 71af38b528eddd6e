"""Hosts of their own for a test: network namespaces on one cable, each with a home that it shares with nobody."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.processes import ROOT, Command, is_alive

SCRIPT = ROOT / "tests" / "infra" / "netns_hosts.sh"
_PATIENCE_S = 30.0


class Host:
    """One host: its folder is its home, another its shared memory, and what runs there sees no other's."""

    def __init__(self, name: str, folder: Path, prefix: str) -> None:
        self.name = name
        self.folder = folder
        # what runs in a network namespace has mounts of its own: here memory that it shares with no other host
        own_memory = ["sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"', str(folder / "shm")]
        self._run = ["env", f"NETNS_PFX={prefix}", str(SCRIPT), "run", name, *own_memory]
        (folder / "shm").mkdir(parents=True)
        (folder / "run").mkdir()
        (folder / "run").chmod(0o700)
        self._commands: list[Command] = []

    def start(self, *words: str) -> Command:
        """Start a command of ours by the name users type, or `python`."""
        program = str(Path(sys.executable).with_name(words[0]))
        without = [word for name in os.environ if name.startswith(("SCALER_", "XDG_")) for word in ("-u", name)]
        home = [f"HOME={self.folder}", f"XDG_RUNTIME_DIR={self.folder}/run"]
        here = ["env", "-C", str(self.folder), *without, *home, program, *words[1:]]
        command = Command([*self._run, *here], self.folder, len(self._commands))
        self._commands.append(command)
        return command

    def told(self, *words: str) -> str:
        """What a command of the system says there."""
        return _told(*self._run, *words)

    def script(self, text: str, *arguments: str) -> Command:
        """Start a program as users do: a file of theirs."""
        path = self.folder / f"script{len(self._commands)}.py"
        path.write_text(text, encoding="utf-8")
        return self.start("python", str(path), *arguments)

    def worker(self, key_file: Path, *options: str) -> Command:
        """A connected cluster of two workers of the scheduler on the first host."""
        command = self.start("scaler_worker", "-n", "2", "tcp://h1:8516", "--key-file", str(key_file), *options)
        command.wait_for("connected")
        return command

    def copy(self, file: Path) -> Path:
        """Bring a file here by hand, as the user it belongs to."""
        path = self.folder / file.name
        shutil.copyfile(file, path)
        path.chmod(0o600)
        return path

    def lines(self, name: str) -> list[str]:
        """The lines that tasks have appended to a file here."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def end(self) -> None:
        """End what runs here, the last one first."""
        for command in reversed(self._commands):
            if command.process.poll() is None:
                command.end()

    def close(self) -> None:
        """Reap what was killed."""
        for command in self._commands:
            command.process.wait(_PATIENCE_S)


class Cable:
    """Some hosts that can reach each other by name, `h1` and so on, until packets between two of them are dropped."""

    def __init__(self, folder: Path, count: int) -> None:
        # apart from those of other runs on this machine
        number = os.getpid() % 10_000_000
        self.prefix = f"t{number}"
        #: the hosts are .1 and so on in it, and this machine is .254, on a bridge
        self.network = f"10.{200 + number % 50}.{number // 50 % 250}"
        self._environment = os.environ | {"NETNS_PFX": self.prefix, "NETNS_NET": self.network}
        self.hosts = [Host(f"h{n}", folder / f"h{n}", self.prefix) for n in range(1, count + 1)]

    def ask(self, *words: str) -> None:
        """Have the script do something."""
        subprocess.run([str(SCRIPT), *words], env=self._environment, check=True, timeout=_PATIENCE_S)

    def left(self) -> list[str]:
        """What is there of it: namespaces, links and their files."""
        told = [_told("ip", "netns", "list"), _told("ip", "-o", "link", "show")]
        files = [str(path) for path in Path("/etc/netns").glob(f"{self.prefix}h*")]
        return [line for text in told for line in text.splitlines() if self.prefix in line] + files

    @contextlib.contextmanager
    def scheduler(self) -> Iterator[Path]:
        """A scheduler on the first host: its key directory, as its log names it. All that runs ends with it."""
        scheduler = self.hosts[0].start("scaler_scheduler", "tcp://0.0.0.0:8516")
        line = scheduler.wait_for("keys: other machines need a copy of ")
        scheduler.wait_for("listening on tcp://0.0.0.0:8516")
        yield Path(line.partition("copy of ")[2].partition("/client.key")[0])
        for host in reversed(self.hosts):
            host.end()


def _sweep() -> None:
    """Remove the hosts of runs that were killed."""
    prefixes = set(re.findall(r"^(t\d+)h\d+\b", _told("ip", "netns", "list"), re.MULTILINE))
    for prefix in sorted(prefixes):
        if not is_alive(int(prefix[1:])):
            environment = os.environ | {"NETNS_PFX": prefix}
            subprocess.run([str(SCRIPT), "down"], env=environment, check=True, timeout=_PATIENCE_S)


def _told(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=_PATIENCE_S).stdout


@contextlib.contextmanager
def cable_between(count: int) -> Iterator[Cable]:
    """So many hosts, for as long as the block lasts; nothing of them is left after it."""
    folder = Path(tempfile.mkdtemp(prefix="scaler-h-", dir="/tmp"))  # short: socket paths have a limit
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _sweep()
        cable = Cable(folder, count)
        for host in cable.hosts:
            stack.callback(host.close)
        stack.callback(cable.ask, "down")
        cable.ask("up", str(count))
        yield cable
        for host in cable.hosts:
            host.end()
    assert cable.left() == []
