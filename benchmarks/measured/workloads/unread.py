"""A client that does not read its large results, and another one beside it whose round trips must not suffer."""

import statistics
import time

import numpy
import procs
import tasks
from adapters._base import Base


def run(peer: Base, gigabytes: float = 10.0, megabytes: int = 10, seconds: float = 60.0) -> dict[str, float]:
    """By how much the scheduler grows meanwhile, and the p99 of the others' round trips in times of that before."""
    peer.start(2)
    peer.warm_up(2)
    scheduler = peer.scheduler_pids()
    other = peer.another()
    quiet = _p99_ms(other, seconds / 4)
    before = procs.pss(scheduler)
    n = round(gigabytes * 1000 / megabytes)
    futures = [peer.submit(numpy.ones, megabytes * 125_000) for _ in range(n)]
    while not all(future.done() for future in futures):
        time.sleep(0.1)
    loud = _p99_ms(other, seconds)
    grown = procs.pss(scheduler) - before
    for future in futures[:: max(1, n // 20)]:
        assert float(future.result().sum()) == megabytes * 125_000, "a wrong result"
    return {"grown_mb": grown / 1e6, "p99_ms": loud, "p99_before_ms": quiet, "x_before": loud / quiet}


def _p99_ms(peer: Base, seconds: float) -> float:
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        assert peer.result(peer.submit(tasks.noop, 1)) == 2, "a wrong result"
        found.append(1000 * (time.perf_counter() - started))
        time.sleep(0.005)
    return statistics.quantiles(found, n=100)[98]
