"""Telling from outside when processes have finished what they were given: when they stop using the processor."""

import time
from collections.abc import Callable

import procs

SAMPLE_S = 0.05
#: the share of a core below which processes are quiet, and for how long they must be
QUIET_SHARE = 0.15
QUIET_S = 1.0


def last_busy(pids: Callable[[], list[int]], timeout_s: float) -> float | None:
    """Wait until the processes are quiet; the monotonic time they last were not at, or None if they never rest."""
    end = time.monotonic() + timeout_s
    moment = busy_until = time.monotonic()
    used_s = procs.cpu_seconds(pids())
    while moment < end:
        time.sleep(SAMPLE_S)
        now, now_used_s = time.monotonic(), procs.cpu_seconds(pids())
        # A tick of the kernel's clock is 10 ms: one alone says nothing.
        if now_used_s - used_s > max(0.01, QUIET_SHARE * (now - moment)) + 1e-9:
            busy_until = now
        elif now - busy_until > QUIET_S:
            return busy_until
        moment, used_s = now, now_used_s
    return None
