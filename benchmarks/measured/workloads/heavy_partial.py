"""A `functools.partial` over a large value: submitted n times, beside the same by one `map`."""

import functools
import time

import tasks
from adapters._base import Base


def run(peer: Base, n: int = 100, megabytes: int = 500, workers: int = 2) -> dict[str, float]:
    """Seconds by `submit` and by `map`, each with a value that nobody has seen, and the former x the latter."""
    peer.start(workers)
    peer.warm_up(workers)
    started = time.perf_counter()
    found = peer.map(functools.partial(tasks.item, b"1" * (megabytes * 1_000_000)), range(n))
    by_map = time.perf_counter() - started
    assert found == [ord("1")] * n, "wrong results"
    started = time.perf_counter()
    heavy = functools.partial(tasks.item, b"2" * (megabytes * 1_000_000))
    found = peer.results([peer.submit(heavy, index) for index in range(n)])
    by_submit = time.perf_counter() - started
    assert found == [ord("2")] * n, "wrong results"
    return {"by_submit": by_submit, "by_map": by_map, "x_map": by_submit / by_map}
