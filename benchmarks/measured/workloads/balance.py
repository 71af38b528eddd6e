"""n sleeps of heavy-tailed length (lognormal, mean about 20 ms, at most 1 s) on many workers."""

import math
import random
import time

import tasks
from adapters._base import Base
from schedules import list_schedule

MEAN_S, SIGMA, LONGEST_S = 0.02, 1.5, 1.0


def run(peer: Base, n: int = 2_000, workers: int = 32, seed: int = 1) -> dict[str, float]:
    """The makespan, and how many times that of perfect in-order list scheduling it is."""
    rng = random.Random(seed)
    location = math.log(MEAN_S) - SIGMA**2 / 2
    durations = [min(LONGEST_S, rng.lognormvariate(location, SIGMA)) for _ in range(n)]
    perfect = list_schedule(durations, workers)
    peer.start(workers)
    seen = peer.warm_up(workers)
    started = time.perf_counter()
    peer.map(tasks.sleep, durations)
    seconds = time.perf_counter() - started
    return {"ratio": seconds / perfect, "seconds": seconds, "perfect_s": perfect, "workers_seen": seen}
