"""Outcomes that other tasks of the same ledger need: kept from when they come until nobody who needs them is left.

The scheduler forgets an outcome that its client has taken, so whatever scheduler it is, it may ask for one again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from scaler.errors import ProtocolError
from scaler.ids import BatchId, TaskId
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import Command, KnownInput, KnownOutcome, Restored, Say, TasksAppended
from scaler.protocol import Cause, Failure, InputKnown
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, REFERENCE, ResultColumn
from scaler.protocol.references import read_record
from scaler.ranges import members_within

#: values that lie elsewhere and are needed only if others are lost may take so much together: the oldest go first
SPARE_BYTES = 1 << 30
_CUT = KnownOutcome(
    FAILED,
    (
        encode_failure(
            Failure(
                Cause.OBJECT_LOST,
                "a value that was not read yet was lost with its worker cluster, and so is what it was made of",
            )
        ),
    ),
)


#: for who needs a task that was cleared
_GONE = KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "the task was cancelled")),))


class LedgerInput:
    """A task that others need."""

    __slots__ = ("outcome", "users", "waiting")

    def __init__(self) -> None:
        #: tasks that need it and are not resolved; those of them that have no value yet
        self.users = 0
        self.waiting = 0
        #: None until there is one
        self.outcome: KnownOutcome | None = None


class LedgerInputs:
    """Every task that is needed by one that is not resolved."""

    def __init__(self) -> None:
        self._by_task: dict[TaskId, LedgerInput] = {}
        #: those whose users all have values, which lie elsewhere, and how much their own take
        self._spare: OrderedDict[TaskId, int] = OrderedDict()
        self._spare_bytes = 0

    def learn(self, task: TaskId, outcome: KnownOutcome) -> None:
        """A task that ended before is about to be needed."""
        known = self._by_task.setdefault(task, LedgerInput())
        if known.outcome is None or known.outcome is _CUT:
            known.outcome = outcome

    def appended(self, batch: LedgerBatch, event: TasksAppended, batches: Mapping[BatchId, LedgerBatch]) -> None:
        """Calls of the batch have come, some of which may need tasks of any of the batches."""
        for task, outcome in event.known:
            self.learn(task, outcome)
        for index, tasks in event.dependencies.items():
            self._depend(batch, index, tasks, batches)

    def restored(self, event: Restored, batches: Mapping[BatchId, LedgerBatch]) -> None:
        """Batches that an earlier scheduler was told of are known again, all of them."""
        for task, outcome in event.known:
            self.learn(task, outcome)
        for one in event.batches:
            for index, tasks in one.needs.items():
                self._depend(batches[one.batch], index, tasks, batches)

    def _depend(
        self, batch: LedgerBatch, index: int, tasks: tuple[TaskId, ...], batches: Mapping[BatchId, LedgerBatch]
    ) -> None:
        batch.needs[index] = tasks
        self.need(tasks)
        for task in tasks:
            needed = batches.get(task.batch)
            if needed is not None and task.index in needed.unresolved:
                needed.wanted.add(task.index)
            else:  # it has ended; if nobody told how, it was cleared
                self.learn(task, _GONE)

    def need(self, tasks: Iterable[TaskId]) -> None:
        """One more task needs these, each once."""
        for task in tasks:
            known = self._by_task.setdefault(task, LedgerInput())
            known.users += 1
            known.waiting += 1
            self._no_spare(task)

    def resolved(self, batch: LedgerBatch, column: ResultColumn, attempts: int) -> None:
        """These have an outcome."""
        for index in members_within(batch.wanted, column.lo, column.hi):
            self._end(batch, index, KnownOutcome(*column.one(index), attempts))

    def failed(self, batch: LedgerBatch, lo: int, hi: int, failure: Failure) -> None:
        """These ended without a result of their own."""
        if not batch.wanted:
            return
        outcome = KnownOutcome(FAILED, (encode_failure(failure),))
        for index in members_within(batch.wanted, lo, hi):
            self._end(batch, index, outcome)

    def _end(self, batch: LedgerBatch, index: int, outcome: KnownOutcome) -> None:
        batch.wanted.discard(index)
        known = self._by_task.get(TaskId(batch.id, index))
        if known is not None and (known.outcome is None or known.outcome.status == REFERENCE):
            known.outcome = outcome

    def lies(self, batch: LedgerBatch, index: int, outcome: KnownOutcome) -> None:
        """A value lies where it was made, perhaps anew: it may be lost, and another one come."""
        known = self._by_task.get(TaskId(batch.id, index)) if index in batch.wanted else None
        if known is not None:
            known.outcome = outcome

    def spare(self, batch: LedgerBatch, index: int) -> None:
        """A task has its first value, which lies elsewhere: what it needed is needed again if that is lost."""
        for task in batch.needs.get(index, ()):
            known = self._by_task[task]
            known.waiting -= 1
            self._look_whether_spare(task, known)

    def _look_whether_spare(self, task: TaskId, known: LedgerInput) -> None:
        size_bytes = 0 if known.waiting or task in self._spare else _size_elsewhere(known.outcome)
        if size_bytes:
            self._spare[task] = size_bytes
            self._spare_bytes += size_bytes
        while self._spare_bytes > SPARE_BYTES:
            oldest = next(iter(self._spare))
            self._no_spare(oldest)
            self._by_task[oldest].outcome = _CUT

    def _no_spare(self, task: TaskId) -> None:
        self._spare_bytes -= self._spare.pop(task, 0)

    def release(self, batch: LedgerBatch, lo: int, hi: int) -> None:
        """These are resolved: what they needed may go."""
        for index in members_within(batch.needs, lo, hi):
            for task in batch.needs.pop(index):
                known = self._by_task[task]
                known.users -= 1
                known.waiting -= index not in batch.stored
                if not known.users:
                    self._no_spare(task)
                    del self._by_task[task]
                else:
                    self._look_whether_spare(task, known)

    def outcome(self, task: TaskId) -> KnownOutcome | None:
        """What became of a task, if it is needed and has ended."""
        known = self._by_task.get(task)
        return known.outcome if known is not None else None

    def tell(self, tasks: Iterable[TaskId]) -> list[Command]:
        """Say of tasks that the scheduler asks for what became of those that have ended."""
        known = ((task, self.outcome(task)) for task in tasks)
        return [Say(InputKnown(task, one.status, one.attempts), one.frames) for task, one in known if one is not None]

    def known(self, batch: LedgerBatch, lo: int, hi: int) -> dict[int, tuple[KnownInput, ...]]:
        """What those of [lo, hi) need that need something, and what became of it."""
        return {
            index: tuple(KnownInput(task, self.outcome(task)) for task in tasks)
            for index, tasks in batch.needs.items()
            if lo <= index < hi
        }

    def check(self, batches: Iterable[LedgerBatch]) -> None:
        """Users are counted right."""
        users: dict[TaskId, int] = {}
        waiting: dict[TaskId, int] = {}
        for batch in batches:
            for index, tasks in batch.needs.items():
                assert index in batch.unresolved, (batch.id, index)
                for task in tasks:
                    users[task] = users.get(task, 0) + 1
                    waiting[task] = waiting.get(task, 0) + (index not in batch.stored)
        assert users == {task: known.users for task, known in self._by_task.items()}
        assert waiting == {task: known.waiting for task, known in self._by_task.items()}
        assert all(not self._by_task[task].waiting for task in self._spare)
        assert self._spare_bytes == sum(self._spare.values()) <= SPARE_BYTES


def _size_elsewhere(outcome: KnownOutcome | None) -> int:
    """How much a value takes where a worker has made it; 0 of others."""
    if outcome is None or outcome.status != REFERENCE:
        return 0
    try:
        return read_record(b"".join(outcome.frames)).size_bytes
    except ProtocolError:
        return 0
