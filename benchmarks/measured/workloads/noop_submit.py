"""n tasks of x + 1, submitted one by one, then gathered."""

import time

import tasks
from adapters._base import Base


def run(peer: Base, n: int = 10_000, workers: int = 2) -> dict[str, float]:
    """Tasks a second, from the first submit until all results are there and found right."""
    peer.start(workers)
    peer.warm_up(workers)
    started = time.perf_counter()
    results = peer.results([peer.submit(tasks.noop, x) for x in range(n)])
    seconds = time.perf_counter() - started
    assert list(results) == list(range(1, n + 1)), "wrong results"
    return {"tasks_per_s": n / seconds, "seconds": seconds}
