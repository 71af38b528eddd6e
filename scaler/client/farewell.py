"""How a client leaves: what it has submitted of durable work has a moment to reach the disk; then it says goodbye."""

import time
from collections.abc import Callable

from scaler.ledger.events import FlushAsked, Leaving

#: how long leaving may take: the goodbye has to reach the scheduler, and before it what is submitted the disk
LEAVE_S = 1.0
#: by this number the client itself waits for the disk
LAST = 0


class Farewell:
    """The steps of it. Any thread may begin, the I/O thread goes on; what is posted comes before what says so."""

    def __init__(self, post: Callable[[FlushAsked | Leaving], object], *, is_durable: bool) -> None:
        self._post = post
        self._is_durable = is_durable
        self._flush_by: float | None = None
        #: when it has taken too long, once the goodbye is on its way
        self.stop_by: float | None = None

    @property
    def longest_s(self) -> float:
        """How long all of it may take."""
        return 2 * LEAVE_S if self._is_durable else LEAVE_S

    @property
    def is_begun(self) -> bool:
        """Whether the client leaves."""
        return self._flush_by is not None or self.stop_by is not None

    @property
    def due(self) -> float | None:
        """When to look again."""
        return self._flush_by if self.stop_by is None else self.stop_by

    def begin(self, *, flushes: bool = True) -> None:
        """Leave; with durable work not before it is on disk, unless there is no work any more."""
        if self._is_durable and flushes:
            self._post(FlushAsked(LAST))
            self._flush_by = time.monotonic() + LEAVE_S
        else:
            self.say()

    def look(self) -> None:
        """It may have taken too long until all was on disk."""
        if self.stop_by is None and self._flush_by is not None and self._flush_by <= time.monotonic():
            self.say()

    def say(self) -> None:
        """Say goodbye, once."""
        if self.stop_by is None:
            self._post(Leaving())
            self.stop_by = time.monotonic() + LEAVE_S
