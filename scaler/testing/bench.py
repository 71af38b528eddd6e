"""What waits to be run in this process: the runs of an in-process cluster, each on the bench of whoever submitted it.

Each client has one, and each task one for what clients inside of it submit. Of each bench one task runs at a time.
Whoever touches a bench holds the lock of its hub.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable
from itertools import pairwise

from scaler.ids import Range
from scaler.protocol import RunSpan, SpanResult
from scaler.protocol.columns import ArgumentColumn, Frame, words
from scaler.protocol.inputs import Inputs, split_off

#: what waits is left to the threads that will wait for it, so long; then it runs in a thread of its own
PATIENCE_S = 0.5
#: the same where that has just happened: nobody seems to wait
SOON_S = 0.02


class Work:
    """A run: calls of one batch, some of which wait, run, or are done and kept until they are delivered."""

    def __init__(self, message: RunSpan, frames: tuple[Frame, ...]) -> None:
        self.message = message
        self.id = message.run
        count = message.hi - message.lo
        frames, inputs = split_off(frames, message.input_frames)
        column = ArgumentColumn.from_frames(message.lo, count, frames)
        #: the values that its calls need, if they need any
        self.inputs = Inputs.from_frames(count, inputs) if inputs else None
        offsets = words(column.offsets).tolist()
        data = memoryview(column.data[0] if len(column.data) == 1 else b"".join(column.data))
        self._calls = [data[start - offsets[0] : end - offsets[0]] for start, end in pairwise(offsets)]
        #: how many have not ended, and are not taken back
        self.left = count
        #: indices that have not begun, in order
        self.queued = deque(range(message.lo, message.hi))
        #: those that nobody wants though they run
        self.cancelled: set[int] = set()
        #: what was said of those that are done, to be said again where it is asked for
        self.done: dict[int, tuple[SpanResult, tuple[Frame, ...]]] = {}

    @property
    def order(self) -> tuple[bool, int, int]:
        """What is for all workers goes first, then by priority, then by age."""
        options = self.message.options
        return not options.everywhere, -options.priority, self.id.n

    def call(self, index: int) -> Frame:
        """The bytes of a call."""
        return self._calls[index - self.message.lo]

    def take_back(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        """Let those of these not begin that have not; which ones these were."""
        first, last = self.message.lo, self.message.hi
        wanted = {index for lo, hi in ranges for index in range(max(lo, first), min(hi, last))}
        gone = [index for index in self.queued if index in wanted]
        self.queued = deque(index for index in self.queued if index not in wanted)
        self.left -= len(gone)
        return joined(gone)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to be run or told any more."""
        return not self.left and not self.done


def joined(indices: list[int]) -> tuple[Range, ...]:
    """Indices in order as ranges."""
    ranges: list[Range] = []
    for index in indices:
        if ranges and ranges[-1].hi == index:
            ranges[-1] = Range(ranges[-1].lo, index + 1)
        else:
            ranges.append(Range(index, index + 1))
    return tuple(ranges)


class Bench:
    """Runs in the order in which they are served."""

    def __init__(self) -> None:
        self._works: list[Work] = []
        #: a task of it runs now
        self.is_busy = False
        #: threads that run its tasks while they wait
        self.attendants = 0
        #: a thread of its own runs its tasks
        self.is_served = False
        #: since when it has been left alone with what waits, and how long that may be
        self.alone_since: float | None = None
        self.patience_s = PATIENCE_S

    def add(self, work: Work) -> None:
        """One more run."""
        insort(self._works, work, key=lambda one: one.order)

    def next(self) -> tuple[Work, int] | None:
        """Take the call that is to be run now, if there is one and none runs."""
        while not self.is_busy and self._works:
            work = self._works[0]
            if work.queued:
                return work, work.queued.popleft()
            del self._works[0]
        return None

    @property
    def has_more(self) -> bool:
        """Whether something waits."""
        return any(work.queued for work in self._works)

    def due(self, now: float) -> float | None:
        """When to look whether a thread of its own is to run what waits, since nobody does."""
        if not self.has_more:
            self.alone_since = None
            return None
        if self.is_busy or self.attendants or self.is_served:
            self.alone_since = None
            return now + self.patience_s
        if self.alone_since is None:
            self.alone_since = now
        return self.alone_since + self.patience_s
