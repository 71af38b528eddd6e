"""n tasks of x + 1 by one map."""

import time

import tasks
from adapters._base import Base


def run(peer: Base, n: int = 1_000_000, workers: int = 2) -> dict[str, float]:
    """Tasks a second, from the call of map until the list of all results is there and found right."""
    peer.start(workers)
    peer.warm_up(workers)
    started = time.perf_counter()
    results = peer.map(tasks.noop, range(n))
    seconds = time.perf_counter() - started
    assert list(results) == list(range(1, n + 1)), "wrong results"
    return {"tasks_per_s": n / seconds, "seconds": seconds}
