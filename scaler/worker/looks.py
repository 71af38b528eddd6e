"""When to look at a worker's ring without being called: a result must not wait behind a long task. Pure.

A worker calls its cluster at most every 5 ms while it finishes tasks, and when it runs out of work. What it finishes
after a call and before a long task is found by looking again, soon at first, then ever later while nothing is new.
"""

FIRST_S = 0.005
LAST_S = 0.1


class Looks:
    """The timer of one worker; `due` is when to look next, None while it rests."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._wait_s = FIRST_S

    def given(self, now: float) -> None:
        """Work was sent to it."""
        self._wait_s = FIRST_S
        if self.due is None or self.due > now + FIRST_S:
            self.due = now + FIRST_S

    def looked(self, now: float, *, is_idle: bool, is_news: bool) -> None:
        """The ring was emptied; whether the worker rests, and whether it has called or had finished anything."""
        self._wait_s = FIRST_S if is_news else min(LAST_S, self._wait_s * 2)
        self.due = None if is_idle else now + self._wait_s
