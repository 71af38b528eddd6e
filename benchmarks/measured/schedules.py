"""What a perfect scheduler would have done, and how fair a real one was: arithmetic without clocks."""

import heapq
import itertools
from collections.abc import Container, Sequence

STEP_S = 0.01
WINDOW_S = 1.0
#: of a window's completions, where two equal clusters work: nine tenths of half
FAIR_SHARE = 0.9 / 2

Completion = tuple[int, float]


def list_schedule(durations: Sequence[float], workers: int) -> float:
    """The makespan if, without any cost, whichever worker is free first takes the next task in order."""
    free_at = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


def fair_after(done: Sequence[Completion], newcomers: Container[int], joined: float) -> float:
    """Seconds from joining until the first window in which the newcomers complete their share; infinity without one.

    `done` says who completed a task and when, in order of time. A window that ends after the last one says nothing.
    """
    for step in itertools.count():
        begin = joined + step * STEP_S
        if not done or begin + WINDOW_S > done[-1][1]:
            break
        theirs = [pid in newcomers for pid, moment in done if begin <= moment < begin + WINDOW_S]
        if theirs and sum(theirs) >= FAIR_SHARE * len(theirs):
            return step * STEP_S
    return float("inf")
