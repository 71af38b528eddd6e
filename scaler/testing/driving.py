"""How a thread that waits runs tasks meanwhile, one after another, until that has come which it waits for."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from scaler.payload.nested import Attempt
from scaler.testing.bench import Bench

#: while nothing can run here it is looked so often whether something can
LOOK_S = 0.005
#: so often it is looked whether all that was said has arrived, and so long at most
ARRIVAL_S = 0.0005
MOST_ARRIVAL_S = 0.05


class Runs(Protocol):
    """An in-process cluster, as those who run its tasks see it."""

    def attend(self, bench: Bench) -> None:
        """A thread that waits runs the tasks of a bench."""
        ...

    def leave_alone(self, bench: Bench) -> None:
        """It does no more."""
        ...

    def is_settled(self, bench: Bench) -> bool:
        """Whether all that was said has arrived."""
        ...

    def step(self, bench: Bench) -> bool:
        """Run one task, if there is one to be run; whether there was."""
        ...


def drive(benches: Sequence[tuple[Runs, Bench]], attempt: Attempt, timeout_s: float | None) -> bool:
    """Wait at most `timeout_s` seconds for what `attempt` tells of, and run tasks meanwhile; whether it came.

    Before each task all has arrived that was said before, so that what runs, and in which order, depends on that alone.
    """
    if attempt(0):
        return True
    until = None if timeout_s is None else time.monotonic() + timeout_s
    for runs, bench in benches:
        runs.attend(bench)
    turns = deque(benches)
    try:
        while (left_s := _left(until)) > 0:
            if _arrives(benches, attempt, left_s):
                return True
            if not _step(turns) and attempt(min(left_s, LOOK_S)):
                return True
        return attempt(0)
    finally:
        for runs, bench in benches:
            runs.leave_alone(bench)


def _step(turns: "deque[tuple[Runs, Bench]]") -> bool:
    """Run one task of the first bench that has one, whose turn is the last one then; whether there was one."""
    for place in turns:
        runs, bench = place
        if runs.step(bench):
            turns.remove(place)
            turns.append(place)
            return True
    return False


def _left(until: float | None) -> float:
    return LOOK_S if until is None else until - time.monotonic()


def _arrives(benches: Sequence[tuple[Runs, Bench]], attempt: Attempt, most_s: float) -> bool:
    """Wait until all has arrived that was said; whether that came with it which is waited for."""
    ends_at = time.monotonic() + min(most_s, MOST_ARRIVAL_S)
    while not all(runs.is_settled(bench) for runs, bench in benches) and time.monotonic() < ends_at:
        if attempt(ARRIVAL_S):
            return True
    return attempt(0)
