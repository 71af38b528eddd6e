"""Everything that is due at some time: back-offs, releases, reports and second looks."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from scaler.core.batches import Batch
from scaler.ids import RunId


class Backoff(NamedTuple):
    """The pause of a task before its next attempt."""

    due: float
    serial: int
    batch: Batch
    index: int  # type: ignore[assignment]  # a tuple has a method of this name


class Began(NamedTuple):
    """A task seen running; if it still does when this is due, its client is told."""

    due: float
    run: RunId
    index: int  # type: ignore[assignment]  # a tuple has a method of this name


class Timers:
    """Deadlines by kind; all move when the shell overslept."""

    def __init__(self) -> None:
        self._serial = 0
        self.backoffs: list[Backoff] = []
        self.began: deque[Began] = deque()
        #: until then clusters may tell what they had of an earlier scheduler
        self.recovers_until = 0.0
        #: when HELD tasks of some batch may be released, and claims of unknown batches given up
        self.release_at: float | None = None
        #: when a placement that was put off is tried again
        self.place_at: float | None = None
        #: when results that were asked for, and that have not come, are waited for no longer
        self.ask_at: float | None = None
        #: when to see whether what clients inside tasks have submitted begins
        self.children_at: float | None = None
        #: when to go on with what was too much for one turn
        self.again_at: float | None = None

    def back_off(self, due: float, batch: Batch, index: int) -> None:
        """A task waits until then."""
        self._serial += 1
        heapq.heappush(self.backoffs, Backoff(due, self._serial, batch, index))

    def ended_backoffs(self, now: float) -> Iterator[tuple[Batch, int]]:
        """The tasks whose pause is over, the earliest first; each is told once."""
        while self.backoffs and self.backoffs[0].due <= now:
            entry = heapq.heappop(self.backoffs)
            yield entry.batch, entry.index

    def place_by(self, due: float) -> None:
        """Try to place again at this time or before."""
        self.place_at = due if self.place_at is None else min(due, self.place_at)

    def release_by(self, due: float) -> None:
        """Look for what may be released at this time or before."""
        self.release_at = due if self.release_at is None else min(due, self.release_at)

    def ask_by(self, due: float) -> None:
        """Look for what clusters were asked for in vain at this time or before."""
        self.ask_at = due if self.ask_at is None else min(due, self.ask_at)

    def next_deadline(self) -> float | None:
        """When the core wants to be called at the latest."""
        known = (self.release_at, self.place_at, self.ask_at, self.children_at, self.again_at)
        due = [deadline for deadline in known if deadline is not None]
        if self.backoffs:
            due.append(self.backoffs[0].due)
        if self.began:
            due.append(self.began[0].due)
        return min(due, default=None)

    def shift(self, seconds: float) -> None:
        """The shell overslept: nothing is due because of that."""
        self.backoffs = [entry._replace(due=entry.due + seconds) for entry in self.backoffs]
        self.began = deque(entry._replace(due=entry.due + seconds) for entry in self.began)
        self.recovers_until += seconds
        self.release_at = None if self.release_at is None else self.release_at + seconds
        self.place_at = None if self.place_at is None else self.place_at + seconds
        self.ask_at = None if self.ask_at is None else self.ask_at + seconds
        self.children_at = None if self.children_at is None else self.children_at + seconds
