"""Equal sleeps on many workers: how close to the ideal, and what processor time the scheduling takes."""

import os
import time

import procs
import tasks
from adapters._base import Base


def run(peer: Base, n: int = 6_400, workers: int = 64, sleep_s: float = 0.05) -> dict[str, float]:
    """The makespan over n x sleep / workers, and the seconds of processor time used meanwhile."""
    peer.start(workers)
    seen = peer.warm_up(workers)
    pids = [os.getpid(), *peer.pids()]
    cpu_s = procs.cpu_seconds(pids)
    started = time.perf_counter()
    peer.map(tasks.sleep, [sleep_s] * n)
    seconds = time.perf_counter() - started
    cpu_s = procs.cpu_seconds(pids) - cpu_s
    return {"ratio": seconds / (n * sleep_s / workers), "cpu_s": cpu_s, "seconds": seconds, "workers_seen": seen}
