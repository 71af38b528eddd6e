"""Ten independent items of a second each on four workers: `python -m examples.patterns.article_map`."""

import time

from examples.patterns.connection import connected


def process_item(item: int) -> int:
    """The square of the item, after a second of something else."""
    time.sleep(1)
    return item**2


with connected(4) as client:
    client.wait_for_workers()
    began = time.perf_counter()
    results = client.map(process_item, range(10))
    print(f"distributed: {time.perf_counter() - began:.2f} s", results, flush=True)

began = time.perf_counter()
print("equal:", [process_item(item) for item in range(10)] == results)
print(f"sequential: {time.perf_counter() - began:.2f} s")
