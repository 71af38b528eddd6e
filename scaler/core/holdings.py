"""What the scheduler has in memory of each client: counted where it comes and goes, read where it may be too much."""

from collections import Counter

from scaler.ids import FunctionId

#: what a batch takes, about, beside its calls
BATCH_BYTES = 1024


class Holding:
    """What is here of one client, and of what its tasks have submitted."""

    __slots__ = ("argument_bytes", "batches", "functions", "input_bytes")

    def __init__(self) -> None:
        #: columns of calls whose tasks have not all ended
        self.argument_bytes = 0
        #: values of tasks that others need
        self.input_bytes = 0
        #: batches that are not over
        self.batches = 0
        #: how many of these name each function
        self.functions = Counter[FunctionId]()

    @property
    def size_bytes(self) -> int:
        """All of it but functions, which may be of several clients."""
        return self.argument_bytes + self.input_bytes + BATCH_BYTES * self.batches
