"""When to look at a worker's ring without being called: a result must not wait behind a long task. Pure.

A worker calls its cluster when it runs out of work, and with a result unless it has called within the last 5 ms. What
it finishes after a call and before a long task is found by one more look 5 ms later. Should the worker have been held
up between reading its clock and writing its result, a look every 0.1 s finds that too.
"""

FIRST_S = 0.005
LAST_S = 0.1


class Looks:
    """The timer of one worker; `due` is when to look next, None while it rests."""

    def __init__(self) -> None:
        self.due: float | None = None

    def given(self, now: float) -> None:
        """Work was sent to it."""
        if self.due is None or self.due > now + FIRST_S:
            self.due = now + FIRST_S

    def looked(self, now: float, *, is_idle: bool, is_news: bool) -> None:
        """The ring was emptied; whether the worker rests, and whether it has called or had finished anything."""
        self.due = None if is_idle else now + (FIRST_S if is_news else LAST_S)
