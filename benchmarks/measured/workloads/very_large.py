"""Values of hundreds of megabytes: there and back, within the function of a `map`, and of gigabytes in a partial."""

import functools
import time

import numpy
import tasks
from adapters._base import Base


def run(
    peer: Base, megabytes: int = 512, closure_megabytes: int = 500, calls: int = 10_000, gigabytes: float = 5.0
) -> dict[str, float]:
    """Seconds for each of the three."""
    peer.start(2)
    peer.warm_up(2)
    started = time.perf_counter()
    array = numpy.arange(megabytes * 125_000, dtype=float)
    result = peer.result(peer.submit(tasks.negate, array))
    both_ways = time.perf_counter() - started
    assert (result == -array).all(), "a wrong result"
    del array, result
    held = b"7" * (closure_megabytes * 1_000_000)
    started = time.perf_counter()
    found = peer.map(lambda index: held[index] + index, range(calls))
    closure = time.perf_counter() - started
    assert found == [55 + index for index in range(calls)], "wrong results"
    heavy = functools.partial(tasks.item, b"3" * int(gigabytes * 1e9))
    started = time.perf_counter()
    found = peer.map(heavy, range(10))
    partial = time.perf_counter() - started
    assert found == [51] * 10, "wrong results"
    return {"both_ways_s": both_ways, "closure_s": closure, "partial_s": partial}
