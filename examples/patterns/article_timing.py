"""How long each item takes, as the tasks and as the futures tell: `python -m examples.patterns.article_timing`."""

import time
from typing import NamedTuple

from examples.patterns.connection import connected


class Timed(NamedTuple):
    """A result, and the seconds it took to make it."""

    result: int
    seconds: float


def process_with_timing(item: int) -> Timed:
    """A tenth of a second of waiting and some arithmetic."""
    began = time.perf_counter()
    time.sleep(0.1)
    result = sum(number * number for number in range(item * 1000))
    return Timed(result, time.perf_counter() - began)


with connected(4) as client:
    client.wait_for_workers()
    began = time.perf_counter()
    futures = client.map_async(process_with_timing, range(20))
    timed = futures.get()
    seconds = time.perf_counter() - began

    total = sum(one.seconds for one in timed)
    print(f"average time per item: {total / len(timed):.2f} s")
    print(f"in tasks {total:.2f} s, passed {seconds:.2f} s: {total / seconds:.1f} at once")

    # Nothing has to be measured by hand for that: every future knows.
    told = [future.profiling_info() for future in futures]
    print(f"average as the futures tell: {sum(one.duration_s for one in told) / len(told):.2f} s")
    print(f"of which processor time: {sum(one.cpu_time_s for one in told) / len(told):.2f} s")
    print(f"workers: {len({one.worker for one in told})}")
