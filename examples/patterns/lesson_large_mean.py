"""A mean over 200 million points, in chunks on two workers: `python -m examples.patterns.lesson_large_mean`.

The same in this process alone is done slice by slice too, since its arrays as wholes would take 10 GB.
"""

import resource
import sys
import time

import dask.array as da
import numpy as np

from examples.patterns.connection import connected

POINTS, CHUNK = 200_000_000, 2_000_000


def mean_root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """For NumPy's arrays a number; for dask's the graph that makes it."""
    return np.mean((-b + np.sqrt(b**2 - 4 * a * c)) / (2 * a))


chance = da.random.default_rng(5)
output = mean_root(
    chance.uniform(5, 10, POINTS, chunks=CHUNK),
    chance.uniform(10, 20, POINTS, chunks=CHUNK),
    chance.uniform(-0.1, 0.1, POINTS, chunks=CHUNK),
)
print(f"{POINTS:,} points in {len(output.dask.layers)} layers and {POINTS // CHUNK} chunks")

with connected(2) as client:
    client.wait_for_workers()
    began = time.perf_counter()
    mean = client.compute(output).result()
    seconds = time.perf_counter() - began
print(f"2 workers: mean {mean:.1e} in {seconds:.1f} s", flush=True)
if len(sys.argv) == 1:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"  {used.ru_utime + used.ru_stime:.1f} s of a processor in all, no process over {used.ru_maxrss / 1000:.0f} MB"
    )

alone = np.random.default_rng(5)
began, used_s = time.perf_counter(), time.process_time()
means = [
    mean_root(alone.uniform(5, 10, CHUNK), alone.uniform(10, 20, CHUNK), alone.uniform(-0.1, 0.1, CHUNK))
    for _ in range(POINTS // CHUNK)
]
print(f"NumPy alone: mean {np.mean(means):.1e} in {time.perf_counter() - began:.1f} s")
print(f"  {time.process_time() - used_s:.1f} s of a processor")
