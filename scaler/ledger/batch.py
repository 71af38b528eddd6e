"""One batch as its ledger sees it: what was appended, what was sent, and what is still waited for."""

from collections.abc import Callable, Iterable

from scaler.ids import BatchId, FunctionId, ObjectId, Range, TaskId
from scaler.ledger.events import RestoredBatch
from scaler.protocol import BatchOptions
from scaler.protocol.columns import ArgumentColumn
from scaler.protocol.store import ColumnStore
from scaler.ranges import RangeSet, members_within

#: calls that need more tasks together go in several messages: a scheduler takes them in one by one
MOST_NEEDS = 1 << 14


class LedgerBatch:
    """A batch from its opening until every index is resolved and it is closed."""

    __slots__ = (
        "acknowledged",
        "announced",
        "appended",
        "asked",
        "attached",
        "close_said",
        "closed",
        "columns",
        "ever_announced",
        "function",
        "id",
        "needs",
        "options",
        "sent",
        "stored",
        "unresolved",
        "unwanted",
        "wanted",
        "wanted_again",
    )

    def __init__(self, batch: BatchId, function: FunctionId, options: BatchOptions) -> None:
        self.id = batch
        self.function = function
        self.options = options
        #: the arguments of all that is unresolved or unsent, and of their neighbours
        self.columns = ColumnStore()
        #: indices appended and not resolved
        self.unresolved = RangeSet()
        #: those of them whose value lies where it was made, and is told to the caller: its name
        self.stored: dict[int, ObjectId] = {}
        #: indices given up, of which the scheduler has not been told: it must know them first
        self.unwanted = RangeSet()
        #: unresolved indices to be cancelled unless they have begun, of which the scheduler is to be told
        self.asked = RangeSet()
        #: indices whose arguments the scheduler asked for again
        self.wanted_again = RangeSet()
        #: of those of its calls that need other tasks and are not resolved, these tasks
        self.needs: dict[int, tuple[TaskId, ...]] = {}
        #: those of its unresolved indices that others need
        self.wanted: set[int] = set()
        #: every index below has been appended
        self.appended = 0
        #: every index below has been sent, to this scheduler or an earlier one
        self.sent = 0
        self.closed = False
        #: whether the present scheduler knows it, and whether any ever did
        self.announced = False
        self.ever_announced = False
        self.close_said = False
        #: every index below is on disk, in a durable work
        self.acknowledged = 0
        #: another process has its arguments, and appends to it
        self.attached = False

    def attach(self, appended: int) -> None:
        """It is one that another process has submitted: these are waited for, and nothing is ever sent of it."""
        self.attached = self.closed = True
        self.appended = self.sent = self.acknowledged = appended
        self.unresolved.add(0, appended)

    @classmethod
    def restored(cls, known: RestoredBatch) -> "LedgerBatch":
        """One that an earlier scheduler was told of."""
        batch = cls(known.batch, known.function, known.options)
        for column in known.columns:
            batch.columns.add(column)
        batch.unresolved = RangeSet(known.unresolved)
        batch.appended = batch.sent = known.appended
        batch.closed = known.closed
        batch.ever_announced = True
        return batch

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to wait for or to say."""
        return self.closed and not self.unresolved and not self.has_more_to_say

    @property
    def has_more_to_say(self) -> bool:
        """Whether arguments, a cancellation or the closing wait for a link with room."""
        return bool(self.sent < self.appended or self.wanted_again or self.unwanted or self.asked or self.must_close)

    @property
    def must_close(self) -> bool:
        """Whether the closing is still to be said; nobody is told of a batch that never had a call."""
        can_be = self.closed and not self.attached
        return can_be and not self.close_said and (self.ever_announced or self.appended > 0)

    def append(self, column: ArgumentColumn) -> None:
        """The caller's next calls."""
        self.columns.add(column)
        self.unresolved.add(column.lo, column.hi)
        self.appended = column.hi

    def close(self) -> None:
        """No more calls follow."""
        self.closed = True
        self._cut_tail()

    def resolve(self, lo: int, hi: int) -> list[Range]:
        """What of [lo, hi) was still waited for; its arguments go when nothing of their column is."""
        newly = self.unresolved.remove(lo, hi)
        for part in newly:
            self._drop_columns(part.lo, part.hi)
            self.asked.remove(part.lo, part.hi)
        return newly

    def give_up(self, lo: int, hi: int) -> None:
        """Nobody waits for [lo, hi) any more: the scheduler is to be told what of it it was not done with."""
        for part in self.resolve(lo, hi):
            self.unwanted.add(part.lo, part.hi)
        if self.closed:
            self._cut_tail()

    def without_values(self, ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
        """These but for what has a value that lies where it was made: who holds that lets go of it."""
        if not self.stored:
            return ranges
        rest = RangeSet(ranges)
        for index in [index for part in rest.ranges() for index in members_within(self.stored, *part)]:
            rest.remove(index, index + 1)
        return rest.ranges()

    def ask(self, lo: int, hi: int) -> None:
        """[lo, hi) is to be cancelled unless it has begun; it is waited for until the scheduler says more."""
        for part in self.unresolved.within(lo, hi):
            self.asked.add(part.lo, part.hi)

    def next_append(self, is_said: Callable[[TaskId], bool] = lambda _: True) -> ArgumentColumn | None:
        """The next arguments to send, new ones or those asked for again; counts them as sent.

        `is_said`: whether the scheduler knows of a task, which has to be so before it hears of one that needs it.
        """
        while self.wanted_again:
            first = next(iter(self.wanted_again))
            wanted = self.unresolved.within(first.lo, first.hi)
            column = self.columns.head(*wanted[0]) if wanted else None
            self.wanted_again.remove(first.lo, column.hi if column is not None else first.hi)
            if column is not None:
                return column
        column = self.columns.head(self.sent, self.appended)
        if column is not None and self.needs:
            column = self._without_untold(column, is_said)
        if column is None:
            return None
        self.sent = column.hi
        self._drop_columns(column.lo, column.hi)
        return column

    def _without_untold(self, column: ArgumentColumn, is_said: Callable[[TaskId], bool]) -> ArgumentColumn | None:
        """The calls before the first that needs a task the scheduler does not know yet, or too many others."""
        count = 0
        for index in range(column.lo, column.hi):
            needed = self.needs.get(index, ())
            count += len(needed)
            if index > column.lo and count > MOST_NEEDS:
                return column.slice(column.lo, index)
            for task in needed:
                if not is_said(task) and not (task.batch == self.id and task.index < index):
                    return column.slice(column.lo, index) if index > column.lo else None
        return column

    def want_again(self, lo: int, hi: int) -> None:
        """The scheduler asks for the arguments of [lo, hi) that are here."""
        for part in () if self.attached else self.unresolved.within(lo, min(hi, self.sent)):
            self.wanted_again.add(part.lo, part.hi)

    def unwanted_now(self) -> list[Range]:
        """What was given up and can be cancelled, since it has been sent."""
        return self.unwanted.remove(0, self.sent)

    def asked_now(self) -> list[Range]:
        """What can be asked for now, since it has been sent."""
        return self.asked.remove(0, self.sent)

    def tell_anew(self) -> None:
        """The present scheduler is a new one: it knows nothing of this batch, nor of what was given up.

        One that has durable work has read of both, and is told what was given up since.
        """
        self.announced = self.close_said = False
        self.wanted_again = RangeSet()
        if not self.options.durable:
            self.unwanted.remove(0, self.sent)

    def check(self) -> None:
        """Raise unless every invariant holds."""
        assert 0 <= self.sent <= self.appended, self.id
        assert not self.is_over, self.id
        assert all(hi <= self.sent for _, hi in self.wanted_again), self.id
        assert all(hi <= self.appended for _, hi in (*self.unwanted, *self.unresolved)), self.id
        assert not any(self.unresolved.intersects(lo, hi) for lo, hi in self.unwanted), self.id
        assert all(index in self.unresolved for index in (*self.needs, *self.wanted, *self.stored)), self.id
        assert all(self.unresolved.within(lo, hi) == [(lo, hi)] for lo, hi in self.asked), self.id
        assert not self.attached or self.sent == self.appended, self.id
        for lo, hi in () if self.attached else (*self.unresolved, (self.sent, self.appended)):
            assert self.columns.extent(lo) >= hi, (self.id, lo, hi)
        for column in self.columns.overlapping(0, self.sent):
            assert min(column.hi, self.appended) > self.sent or self.unresolved.intersects(column.lo, column.hi), (
                self.id,
                column.lo,
            )

    def _drop_columns(self, lo: int, hi: int) -> None:
        for column in self.columns.overlapping(lo, hi):
            if min(column.hi, self.appended) <= self.sent and not self.unresolved.intersects(column.lo, column.hi):
                self.columns.drop(column)

    def _cut_tail(self) -> None:
        """What was given up before it was sent need not be sent if nothing follows it."""
        last = max(self.sent, self.unresolved.end)
        self.unwanted.remove(last, self.appended)
        for column in self.columns.overlapping(last, self.appended):
            if column.lo >= last:
                self.columns.drop(column)
        self.appended = last
        self._drop_columns(last - 1, last)
