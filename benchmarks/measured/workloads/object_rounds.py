"""Rounds of n tasks with a large argument and a large result each: what is left in memory when they are over."""

import gc
import os
import time

import numpy
import procs
import tasks
from adapters._base import Base

#: memory is looked at until it has not shrunk for so long
REST_S = 3.0


def run(peer: Base, n: int = 1000, kilobytes: int = 1024, rounds: int = 10, workers: int = 2) -> dict[str, float]:
    """By how much memory has grown from the end of the first round to that of the last, in percent, and in MB."""
    peer.start(workers)
    peer.warm_up(workers)
    left = []
    for number in range(rounds):
        arrays = [numpy.full(kilobytes * 125, number * n + index, dtype=float) for index in range(n)]
        results = peer.map(tasks.negate, arrays)
        assert all((result == -array).all() for result, array in zip(results, arrays, strict=True)), "wrong results"
        del arrays, results
        gc.collect()
        left.append(_at_rest(peer))
    return {"growth_percent": 100 * (left[-1] / left[0] - 1), "mb": left[-1] / 1e6, "first_mb": left[0] / 1e6}


def _at_rest(peer: Base) -> float:
    least, since = float("inf"), time.monotonic()
    while time.monotonic() < since + REST_S:
        now = procs.memory([os.getpid(), *peer.pids()])
        if now < least - 1e6:
            least, since = now, time.monotonic()
        time.sleep(0.2)
    return least
