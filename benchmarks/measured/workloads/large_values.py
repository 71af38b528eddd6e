"""n tasks, each with a large array as its argument and another as its result."""

import time

import numpy
import tasks
from adapters._base import Base


def run(peer: Base, n: int = 64, megabytes: int = 4, workers: int = 2) -> dict[str, float]:
    """Gigabytes of arguments and results a second, from the call until all results are there; found right after it."""
    arrays = [numpy.full(megabytes * 125_000, index, dtype=float) for index in range(n)]
    peer.start(workers)
    peer.warm_up(workers)
    started = time.perf_counter()
    results = peer.map(tasks.negate, arrays)
    seconds = time.perf_counter() - started
    assert all((result == -array).all() for result, array in zip(results, arrays, strict=True)), "wrong results"
    return {"gb_per_s": 2e-3 * n * megabytes / seconds, "seconds": seconds}
