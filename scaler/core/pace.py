"""How fast a cluster gets on with what it has ahead.

A slot is expected to do a second of work in a second. It does less where its processors have more slots than they can
serve, or where some tasks take far longer than most: what is sent ahead by the estimates alone would then be there for
seconds, and whatever comes behind it would wait as long.
"""

#: a measurement takes so long at least …
WINDOW_S = 0.05
#: … and until so many tasks a slot have ended, so that it does not see only the ends of what began together
ROUNDS = 2
#: whatever was seen, so much is expected
LEAST = 0.02
#: a measurement raises what is expected to so much of it at most …
GROWTH = 1.5
#: … and, but for the first, lowers it to so much of it at most: for a moment everything may have stood still
DECLINE = 0.25


class Pace:
    """Seconds of work, as estimated, that a slot of one cluster gets done in a second: 1 at most."""

    __slots__ = ("_began_at", "_has_lacked", "_is_measured", "_tasks", "_work_s", "part")

    def __init__(self) -> None:
        self.part = 1.0
        self._is_measured = False
        #: since when the present measurement runs, if it does
        self._began_at: float | None = None
        self._work_s = 0.0
        self._tasks = 0
        #: whether the cluster had nothing ahead at some time of it
        self._has_lacked = False

    def ended(self, tasks: int, estimate_s: float, now: float, *, slots: int, free: int) -> None:
        """So many tasks of such an estimate ended in these slots; `free` of them had nothing, below 0 if more waits."""
        if slots <= 0:
            return
        if free >= 0:
            self._has_lacked = True
        if self._began_at is None:
            self._began_at = now
            return
        self._tasks += tasks
        self._work_s += tasks * estimate_s
        took_s = now - self._began_at
        if took_s < WINDOW_S or self._tasks < ROUNDS * slots:
            return
        seen = self._work_s / (took_s * slots)
        if self._has_lacked:  # it could do more than was seen
            seen = max(seen * GROWTH, self.part)
        elif self._is_measured:
            seen = max(seen, self.part * DECLINE)
        self.part = max(LEAST, min(1.0, seen, self.part * GROWTH))
        self._is_measured = True
        self._began_at, self._work_s, self._tasks, self._has_lacked = now, 0.0, 0, False
