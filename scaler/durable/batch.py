"""A batch of a durable work: what of it is on disk. Pure."""

from scaler.ids import BatchId, FunctionId, Range
from scaler.protocol import BatchOptions
from scaler.ranges import RangeSet


class WorkBatchRecord:
    """What was said of a batch, and what has become of its tasks."""

    __slots__ = ("appended", "ended", "function", "has_repeats", "id", "is_closed", "options", "said")

    def __init__(self, batch: BatchId, function: FunctionId, options: BatchOptions) -> None:
        self.id = batch
        self.function = function
        self.options = options
        #: tasks below were said by a client, and are on disk
        self.said = self.appended = 0
        #: those with an outcome on disk
        self.ended = RangeSet()
        #: some of these have several, of which the first on disk is true
        self.has_repeats = False
        self.is_closed = False

    def end(self, lo: int, hi: int) -> list[Range]:
        """The next outcomes are on disk; of [lo, hi) the parts that had none."""
        new = self.ended.missing(lo, hi)
        self.has_repeats |= new != [(lo, hi)]
        self.ended.add(lo, hi)
        return new
