"""Work that counts its own runs, while the peer's workers, or its scheduler, are killed; and the same work undisturbed.

The clock starts before the first submit and stops when the last future has told its outcome, or patience is over. A
scheduler that is a process of its own is started again by its own command line, two seconds later.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import procs
from adapters._base import Base
from faults import faults, points
from runs import Kill, count, counted, read_runs, value_of

POLL_S = 0.01
DOWN_S = 2.0


class Killer(threading.Thread):
    """Kills as long as the work goes on."""

    def __init__(self, peer: Base, path: Path, strikes: Callable[["Killer"], Iterator[Kill]]) -> None:
        super().__init__(daemon=True)
        self.peer = peer
        self.path = path
        self.kills: list[Kill] = []
        self.is_over = threading.Event()
        self._strikes = strikes

    def run(self) -> None:
        self.kills.extend(itertools.takewhile(lambda _: not self.is_over.is_set(), self._strikes(self)))

    def end(self) -> list[Kill]:
        """No more kills from now on; those that there were."""
        self.is_over.set()
        self.join(DOWN_S)
        return list(self.kills)


def strike_workers(seed: int, every_s: float) -> Callable[[Killer], Iterator[Kill]]:
    """Kill one process after the other of those that run tasks, as their lines tell."""

    def strikes(killer: Killer) -> Iterator[Kill]:
        started = time.monotonic()
        for fault in faults(seed, every_s):
            if killer.is_over.wait(max(0.0, started + fault.at_s - time.monotonic())):
                return
            ours = set(procs.descendants(os.getpid()))
            workers = sorted({run.pid for run in read_runs(killer.path)} & ours)
            if workers:
                pid = fault.pick(workers)
                kill = Kill(time.monotonic(), frozenset({pid}))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                yield kill

    return strikes


def strike_scheduler(seed: int, kills: int, tasks: int) -> Callable[[Killer], Iterator[Kill]]:
    """Kill the scheduler when so many runs have ended, and start it again."""

    def strikes(killer: Killer) -> Iterator[Kill]:
        for point in points(seed, kills, tasks):
            while sum(run.ended_s is not None for run in read_runs(killer.path)) < point:
                if killer.is_over.wait(10 * POLL_S):
                    return
            pids = killer.peer.scheduler_pids()
            commands = [procs.command(pid) for pid in pids]
            at_s = time.monotonic()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            time.sleep(DOWN_S)
            for command in commands:
                subprocess.Popen(command, stdout=subprocess.DEVNULL)
            yield Kill(at_s, frozenset(pids))

    return strikes


def outcomes(peer: Base, path: Path, tasks: int, seconds: float, patience_s: float) -> dict[str, float]:
    """Submit all and wait for each, no longer than patience lasts; what became of them, and the seconds it took."""
    found = {"lost": 0.0, "wrong": 0.0, "errors": 0.0}
    started = time.monotonic()
    futures: list[Any] = []
    for index in range(tasks):
        try:
            futures.append(peer.submit(counted, str(path), index, seconds))
        except Exception:  # noqa: BLE001  # whatever a broken peer raises
            found["errors"] += 1
            futures.append(None)
    for index, future in enumerate(futures):
        left_s = max(POLL_S, started + patience_s - time.monotonic())
        if future is None:
            continue
        try:
            found["wrong"] += peer.result_within(future, left_s) != value_of(index)
        except TimeoutError:
            found["lost"] += 1
        except Exception:  # noqa: BLE001  # as above
            found["errors"] += 1
    return found | {"wall_s": time.monotonic() - started}


def run(
    peer: Base,
    n: int = 10_000,
    workers: int = 4,
    seconds: float = 0.005,
    every_s: float = 1.0,
    kills: int = 0,
    seed: int = 1,
    patience_s: float = 90.0,
) -> dict[str, float]:
    """Without `kills` workers are killed, else the scheduler so often."""
    peer.start(workers)
    if kills:
        peer.scheduler_pids()  # says so where there is none
    peer.warm_up(workers)
    with tempfile.TemporaryDirectory() as folder:
        calm = outcomes(peer, Path(folder) / "calm", n, seconds, patience_s)
        path = Path(folder) / "runs"
        strikes = strike_scheduler(seed, kills, n) if kills else strike_workers(seed, every_s)
        killer = Killer(peer, path, strikes)
        killer.start()
        storm = outcomes(peer, path, n, seconds, patience_s)
        done = killer.end()
        counts = count(read_runs(path), n, done)
    return storm | {
        "kills": float(len(done)),
        "re_runs": float(counts.re_runs),
        "running": float(counts.running),
        "x_calm": storm["wall_s"] / calm["wall_s"],
    }
