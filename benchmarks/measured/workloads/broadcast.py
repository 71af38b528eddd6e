"""One large array, sent once and summed by n tasks, a slice each."""

import math
import os
import time

import numpy
import procs
import tasks
from adapters._base import Base


def run(peer: Base, n: int = 64, megabytes: int = 128, workers: int = 2) -> dict[str, float]:
    """Seconds from before it is sent until the sum of all is there, and how much memory grew meanwhile, in arrays."""
    array = numpy.arange(megabytes * 125_000, dtype=float)
    peer.start(workers)
    peer.warm_up(workers)
    with procs.PeakMemory(lambda: [os.getpid(), *peer.pids()]) as memory:
        started = time.perf_counter()
        reference = peer.put(array)
        total = sum(peer.results([peer.submit(tasks.sum_slice, reference, index, n) for index in range(n)]))
        seconds = time.perf_counter() - started
    assert math.isclose(total, array.sum()), "wrong sum"
    return {"seconds": seconds, "arrays": memory.growth_bytes / array.nbytes}
