"""Slow calls at once, and batches of quick ones: `python -m examples.patterns.article_remote_functions`."""

import time

from examples.patterns.connection import connected


def slow_square(number: int) -> int:
    """The square, after a second."""
    time.sleep(1)
    return number**2


def square_all(batch: list[int]) -> list[int]:
    """What is too quick to be a task of its own goes by the batch."""
    return [number**2 for number in batch]


with connected(4) as client:
    client.wait_for_workers()
    began = time.perf_counter()
    futures = [client.submit(slow_square, number) for number in range(4)]
    print("results:", client.gather(futures))
    print(f"in {time.perf_counter() - began:.2f} s")

    batches = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    print("batches:", client.map(square_all, batches))
