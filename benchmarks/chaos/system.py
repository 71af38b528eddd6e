"""The system under test as real processes in a place of its own: what can be started, killed, and found in it."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks.measured.faults import Fault
from benchmarks.measured.runs import Kill, Run, read_runs
from tests.integration.processes import STOP_S, Command, Place, is_alive

POLL_S = 0.01
PATIENCE_S = 60.0


class GaveUpError(Exception):
    """What the scenario waits for has not come in time."""


def wait_until(is_so: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> float:
    """Wait until something is so; how many seconds that took."""
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started > within_s:
            raise GaveUpError(f"not after {within_s:g} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - started


@dataclass
class Chaos:
    """What a scenario is given: a place for its processes and files, and the seed of all that is left to chance."""

    place: Place
    seed: int
    #: what was done, for who wants to do it again
    story: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Note what is done now."""
        self.story.append(f"{time.monotonic():.3f} {what}")

    def runs(self, name: str) -> list[Run]:
        """The runs that tasks have counted in a file of the place."""
        return read_runs(Path(self.path(name)))

    def path(self, name: str) -> str:
        """A file of the place."""
        return self.place.path(name)


class Starter(Protocol):
    """Where commands can be started: a place, or a host of its own."""

    def start(self, *words: str) -> Command:
        """Start one of ours by its name."""
        ...


class System:
    """One scheduler that keeps its address, and clusters; all on this host unless another is named."""

    def __init__(
        self,
        chaos: Chaos,
        *options: str,
        listens: str = "tcp://127.0.0.1:0",
        reached: str = "",
        on: Starter | None = None,
    ) -> None:
        self._chaos = chaos
        self._options = options
        self._on = on or chaos.place
        self.scheduler = self._start(listens)
        self._listens = self.scheduler.wait_for("listening on ").rpartition(" ")[2]
        #: as clients and clusters call it
        self.address = reached or self._listens
        self.clusters: list[Command] = []

    def _start(self, listens: str) -> Command:
        command = self._on.start("scaler_scheduler", listens, *self._options)
        command.wait_for("listening on ")
        return command

    def add_clusters(self, count: int, workers: int, *options: str, on: Starter | None = None) -> list[Command]:
        """Start clusters, all at once, and wait until they are connected."""
        words = ("scaler_worker", "-n", str(workers), *options, self.address)
        started = [(on or self._chaos.place).start(*words) for _ in range(count)]
        for cluster in started:
            cluster.wait_for("connected")
        self.clusters += started
        return started

    def workers(self, cluster: Command | None = None) -> list[int]:
        """The worker processes of a cluster, or of all: the grandchildren, whose parent is the zygote."""
        clusters = self.clusters if cluster is None else [cluster]
        tops = [one.pid for one in clusters if one.process.poll() is None]
        return [worker for top in tops for child in children(top) for worker in children(child)]

    def kill_worker(self, fault: Fault) -> Kill | None:
        """Kill one worker process alone, if there is one at this moment."""
        workers = self.workers()
        if not workers:
            return None
        pid = fault.pick(workers)
        at_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._chaos.tell(f"kill worker {pid}")
        return Kill(at_s, frozenset({pid}))

    def kill_cluster(self, cluster: Command) -> Kill:
        """Kill a cluster's own process, as the loss of its host would."""
        pids = frozenset(self.workers(cluster))
        at_s = time.monotonic()
        cluster.kill()
        self._chaos.tell(f"kill cluster {cluster.pid} of {sorted(pids)}")
        self.clusters.remove(cluster)
        return Kill(at_s, pids, is_host=True)

    def kill_scheduler(self) -> float:
        """Kill the scheduler; when that was."""
        self.scheduler.kill()
        self._chaos.tell(f"kill scheduler {self.scheduler.pid}")
        return time.monotonic()

    def restart_scheduler(self) -> float:
        """Start another at the same address; when it listened."""
        self.scheduler = self._start(self._listens)
        self._chaos.tell(f"start scheduler {self.scheduler.pid}")
        return time.monotonic()


def tree(pid: int) -> list[int]:
    """A process and all below it, from the top."""
    return [pid, *(below for child in children(pid) for below in tree(child))]


def children(pid: int) -> list[int]:
    """The living processes right below one, in the order of their names; none if it is gone."""
    try:
        return sorted(child.pid for child in psutil.Process(pid).children() if is_alive(child.pid))
    except psutil.NoSuchProcess:
        return []


@contextlib.contextmanager
def place_in(folder: Path) -> Iterator[Place]:
    """A place for this process: what it starts is at home there; whatever is alive at the end is killed."""
    place = Place(folder)
    os.environ.update(place.environment)
    try:
        yield place
    finally:
        place.close()


def left_behind(place: Place) -> int:
    """End what was started, as its users would, and count what does not end with it."""
    place.end_commands()
    with contextlib.suppress(GaveUpError):
        wait_until(lambda: not place.processes(), "no process is left", STOP_S)
    return len(place.processes())


def log_lines(commands: Sequence[Command], text: str) -> int:
    """How many lines of their logs have this text."""
    return sum(text in line for command in commands for line in command.out.splitlines())
