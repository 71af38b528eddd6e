"""What was said of a durable work on its way to the disk, in order, however often that fails. Pure."""

from collections import deque
from typing import NamedTuple

from scaler.durable.events import Doings, Persist
from scaler.durable.records import Said, row_of
from scaler.ids import Incarnation
from scaler.protocol.columns import Frame

#: after a failure to write it is tried again so much later
RETRY_S = 1.0


class Unwritten(NamedTuple):
    """Something said that is not known to be on disk, and by which client, if by one."""

    message: Said
    frames: tuple[Frame, ...]
    window: Incarnation
    size_bytes: int


class Outlet:
    """Asks for rows to be written, again if they could not be."""

    def __init__(self, work: str, doings: Doings) -> None:
        self._work = work
        self._doings = doings
        #: oldest first
        self._waiting: deque[Unwritten] = deque()
        #: the size of all that waits, and of all that has been written
        self.waiting_bytes = self.written_bytes = 0
        #: so many rows were to be written by now
        self.asked = 0
        #: why nothing can be written; ""
        self.problem = ""
        #: when it is tried again
        self.retry_at: float | None = None

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def write(self, message: Said, frames: tuple[Frame, ...], window: Incarnation) -> None:
        """Put something on disk."""
        row = row_of(message, frames)
        self._waiting.append(Unwritten(message, frames, window, row.size_bytes))
        self.waiting_bytes += row.size_bytes
        self.asked += 1
        if self.retry_at is None:
            self._doings.disk.append(Persist(self._work, row))

    def written(self) -> Unwritten:
        """The oldest of what waits is on disk."""
        if self.problem:
            self._doings.notes.append(f"the durable work {self._work!r} is written again")
            self.problem = ""
        one = self._waiting.popleft()
        self.waiting_bytes -= one.size_bytes
        self.written_bytes += one.size_bytes
        return one

    def failed(self, reason: str, now: float) -> None:
        """Nothing of what waits is on disk, nor will be before it is tried again."""
        if not self.problem:
            note = f"the durable work {self._work!r} cannot be written, and takes nothing: {reason}"
            self._doings.notes.append(note)
        self.problem = reason
        self.retry_at = now + RETRY_S

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
            self._doings.disk += [Persist(self._work, row_of(one.message, one.frames)) for one in self._waiting]
