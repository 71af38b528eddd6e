"""One batch as its ledger sees it: what was appended, what was sent, and what is still waited for."""

from scaler.ids import BatchId, FunctionId, Range
from scaler.protocol import AppendTasks, BatchOptions
from scaler.protocol.columns import ArgumentColumn
from scaler.protocol.store import ColumnStore
from scaler.ranges import RangeSet


class LedgerBatch:
    """A batch from its opening until every index is resolved and it is closed."""

    def __init__(
        self, batch: BatchId, function: FunctionId, options: BatchOptions
    ) -> None:
        self.id = batch
        self.function = function
        self.options = options
        self.columns = ColumnStore()
        #: indices appended and not resolved
        self.unresolved = RangeSet()
        #: indices given up before they were sent: cancelled as soon as they are
        self.unwanted_unsent = RangeSet()
        #: indices whose arguments the scheduler asked for again
        self.wanted_again = RangeSet()
        #: every index below has been appended
        self.appended = 0
        #: every index below has been sent, to this scheduler or an earlier one
        self.sent = 0
        self.closed = False
        #: whether the present scheduler knows it, and whether any ever did
        self.announced = False
        self.ever_announced = False
        self.close_said = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to say or to wait for."""
        return (
            self.closed
            and self.close_said
            and not self.unresolved
            and self.sent == self.appended
        )

    @property
    def has_more_to_say(self) -> bool:
        """Whether arguments or the closing wait for room."""
        return bool(
            self.sent < self.appended
            or self.wanted_again
            or (self.closed and not self.close_said)
        )

    def append(self, column: ArgumentColumn) -> None:
        """The caller's next calls."""
        self.columns.add(column)
        self.unresolved.add(column.lo, column.hi)
        self.appended = column.hi

    def resolve(self, lo: int, hi: int) -> list[Range]:
        """What of [lo, hi) was still waited for; its arguments go when nothing of their column is."""
        newly = self.unresolved.remove(lo, hi)
        for part in newly:
            self._drop_columns(part)
        return newly

    def _drop_columns(self, part: Range) -> None:
        for column in self.columns.overlapping(part.lo, part.hi):
            if column.hi <= self.sent and not self.unresolved.intersects(
                column.lo, column.hi
            ):
                self.columns.drop(column)

    def next_append(self) -> tuple[AppendTasks, ArgumentColumn] | None:
        """The next arguments to send, new ones or those asked for again; counts them as sent."""
        while self.wanted_again:
            first = next(iter(self.wanted_again))
            wanted = self.unresolved.within(first.lo, first.hi)
            column = self.columns.head(wanted[0].lo, wanted[0].hi) if wanted else None
            if column is None:
                self.wanted_again.remove(first.lo, first.hi)
                continue
            self.wanted_again.remove(first.lo, column.hi)
            return AppendTasks(self.id, column.lo, column.count), column
        column = self.columns.head(self.sent, self.appended)
        if column is None:
            return None
        self.sent = column.hi
        self._drop_columns(Range(column.lo, column.hi))
        return AppendTasks(self.id, column.lo, column.count), column

    def unwanted_now(self) -> list[Range]:
        """What was given up before it was sent and has been sent by now."""
        return self.unwanted_unsent.remove(0, self.sent)
