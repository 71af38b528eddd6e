"""When faults are due: they are given out in their time, until the work is done."""

import time
from collections.abc import Callable, Iterator

from benchmarks.chaos.system import POLL_S
from benchmarks.measured.faults import Fault


def strike(planned: Iterator[Fault], is_over: Callable[[], bool], within_s: float) -> Iterator[Fault]:
    """Each fault when it is due, until the work is over, or has taken too long."""
    started = time.monotonic()
    for fault in planned:
        while (passed_s := time.monotonic() - started) < fault.at_s:
            if is_over() or passed_s > within_s:
                return
            time.sleep(POLL_S)
        yield fault
