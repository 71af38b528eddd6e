"""n times: submit one no-op and wait for its result, with nothing else to do."""

import statistics
import time

import tasks
from adapters._base import Base


def run(peer: Base, n: int = 2_000, workers: int = 2) -> dict[str, float]:
    """Median and 99th percentile of a lone round trip."""
    peer.start(workers)
    peer.warm_up(workers)
    latencies = []
    for x in range(n):
        started = time.perf_counter()
        assert peer.result(peer.submit(tasks.noop, x)) == x + 1, "wrong result"
        latencies.append((time.perf_counter() - started) * 1000)
    return {"p50_ms": statistics.median(latencies), "p99_ms": statistics.quantiles(latencies, n=100)[98]}
