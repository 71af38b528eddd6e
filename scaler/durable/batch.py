"""A batch of a durable work: what of it is on disk. Pure."""

from scaler.ids import BatchId, FunctionId
from scaler.protocol import BatchOptions
from scaler.ranges import RangeSet


class WorkBatchRecord:
    """What was said of a batch, and what has become of its tasks."""

    __slots__ = ("appended", "ended", "function", "id", "is_closed", "options", "said")

    def __init__(self, batch: BatchId, function: FunctionId, options: BatchOptions) -> None:
        self.id = batch
        self.function = function
        self.options = options
        #: tasks below were said by a client, and are on disk
        self.said = self.appended = 0
        #: those with an outcome on disk
        self.ended = RangeSet()
        self.is_closed = False
