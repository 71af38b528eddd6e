"""Outcomes as they come: each index is resolved once, whatever a scheduler repeats, and every copy is acknowledged.

A value that lies where it was made is no end yet. Its task is done for the caller and stays unresolved here, so that it
is run again if its maker is lost, until nobody here needs the value or it has been read.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from scaler.errors import ProtocolError
from scaler.ids import BatchId, ObjectId, Range, TaskId
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import Again, Command, KnownOutcome, Reject, Resolve, Say
from scaler.ledger.functions import FunctionShelf
from scaler.ledger.inputs import LedgerInputs
from scaler.ledger.taken import TakenNotes
from scaler.protocol import CancelTasks, Cause, Failure, Results, TasksFailed
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, Frame, ResultColumn
from scaler.protocol.references import read_record
from scaler.ranges import RangeSet, joined_indices, members_within

_LOST = Failure(Cause.OBJECT_LOST, "it is no more: its durable work was cleared, or lost with its disk")


class Holder(Protocol):
    """Knows who needs values that lie where they were made."""

    def hold(self, task: TaskId, outcome: KnownOutcome) -> object:
        """What is to be held by whoever needs what a task returned, which lies there; the same for all of them."""
        ...

    def replace(self, task: TaskId, outcome: KnownOutcome) -> None:
        """What a task returned was lost, and this is what it has come to since."""
        ...

    def is_held(self, task: TaskId) -> bool:
        """Whether anybody needs what a task returned."""
        ...


class Nobody:
    """Holds nothing: whatever lies elsewhere is dropped as soon as that is asked for."""

    def hold(self, task: TaskId, outcome: KnownOutcome) -> object:
        """Nothing."""
        return (task, outcome)

    def replace(self, task: TaskId, outcome: KnownOutcome) -> None:
        """Nobody is told."""

    def is_held(self, task: TaskId) -> bool:
        """No."""
        return not task


class Arrivals:
    """Takes outcomes in; `settle` is told of batches that changed."""

    def __init__(
        self,
        batches: dict[BatchId, LedgerBatch],
        functions: FunctionShelf,
        inputs: LedgerInputs,
        taken: TakenNotes,
        settle: Callable[[LedgerBatch], None],
        holder: Holder,
    ) -> None:
        self._batches = batches
        self._functions = functions
        self._inputs = inputs
        self._taken = taken
        self._settle = settle
        self._holder = holder

    def results(self, message: Results, frames: tuple[Frame, ...], now: float) -> list[Command]:
        """Tasks have outcomes of their own."""
        column = ResultColumn.from_frames(message.lo, message.hi, message.base, frames)
        known = self._batches.get(message.batch)
        stored = column.stored() if known is not None else []
        if known is None or not stored:
            return self._end(column, message, now)
        lying = RangeSet(joined_indices(stored))
        commands = [one for part in lying for one in self._lay(known, column.slice(*part), message, now)]
        for part in lying.missing(column.lo, column.hi):
            commands += self._end(column.slice(*part), message, now)
        return commands

    def failed(self, message: TasksFailed, now: float) -> list[Command]:
        """Tasks ended without a result of their own."""
        batch, ranges, failure = message.batch, message.ranges, message.failure
        self._taken.note(batch, ranges, 0, now)
        if (known := self._batches.get(batch)) is not None:
            for lo, hi in ranges:
                self._inputs.failed(known, lo, hi, failure)
        again = self._again(batch, [index for lo, hi in ranges for index in (lo, hi - 1)])
        newly = self._resolve(batch, ranges, lambda _: KnownOutcome(FAILED, (encode_failure(failure),)))
        return [Reject(batch, tuple(newly), failure, again)] if newly else []

    def lost(self, known: LedgerBatch, lo: int, hi: int) -> list[Command]:
        """The scheduler lacks the calls of [lo, hi), and so does the caller: another one has submitted them."""
        self._inputs.failed(known, lo, hi, _LOST)
        lost = tuple(known.resolve(lo, hi))
        self._settle(known)
        return [Say(CancelTasks(known.id, lost)), Reject(known.id, lost, _LOST)] if lost else []

    def _end(self, column: ResultColumn, message: Results, now: float) -> list[Command]:
        batch, attempts = message.batch, message.attempts
        known = self._batches.get(batch)
        if known is not None and known.wanted:
            self._inputs.resolved(known, column, attempts)
        ranges = ((column.lo, column.hi),)
        self._taken.note(batch, ranges, column.size_bytes, now)
        again = self._again(batch, column.unsuccessful())
        newly = self._resolve(batch, ranges, lambda index: KnownOutcome(*column.one(index), attempts))
        return [
            Resolve(batch, column.slice(part.lo, part.hi), message.place, attempts, message.host, again)
            for part in newly
        ]

    def _again(self, batch: BatchId, failed: list[int]) -> Again | None:
        """What it would take to submit tasks anew that failed, from the first of these to the last; before it goes."""
        known = self._batches.get(batch)
        if known is None or known.attached or not failed:
            return None
        columns = known.columns.overlapping(failed[0], failed[-1] + 1)
        frames = self._functions.frames(known.function)
        inputs = self._inputs.known(known, failed[0], failed[-1] + 1) if known.needs else {}
        return Again(known.function, frames, known.options, tuple(columns), inputs)

    def _resolve(
        self, batch: BatchId, ranges: Iterable[tuple[int, int]], outcome: Callable[[int], KnownOutcome]
    ) -> list[Range]:
        """What of these was waited for: those that have had a value that was lost are told here."""
        known = self._batches.get(batch)
        if known is None:
            return []
        newly = [part for lo, hi in ranges for part in known.resolve(lo, hi)]
        if known.needs:
            for lo, hi in newly:
                self._inputs.release(known, lo, hi)
        if known.stored:
            newly = self._replace(known, newly, outcome)
        self._settle(known)
        return newly

    def _replace(self, batch: LedgerBatch, newly: list[Range], outcome: Callable[[int], KnownOutcome]) -> list[Range]:
        rest = RangeSet(newly)
        for index in [index for part in newly for index in members_within(batch.stored, *part)]:
            del batch.stored[index]
            rest.remove(index, index + 1)
            self._holder.replace(TaskId(batch.id, index), outcome(index))
        return list(rest.ranges())

    # ---- values that lie where they were made

    def cleared(self) -> None:
        """All are dropped: what could not be kept is gone."""
        for batch in self._batches.values():
            for index in batch.stored:
                self._holder.replace(TaskId(batch.id, index), _CLEARED)

    def _lay(self, batch: LedgerBatch, column: ResultColumn, message: Results, now: float) -> list[Command]:
        """All values of a column lie elsewhere."""
        waited = RangeSet(batch.unresolved.within(column.lo, column.hi))
        for part in waited.missing(column.lo, column.hi):  # nobody needs it
            self._taken.note(batch.id, (part,), 0, now)
        kept: dict[int, object] = {}
        for index in [index for lo, hi in waited for index in range(lo, hi)]:
            outcome = KnownOutcome(*column.one(index), message.attempts)
            name = _name_in(outcome)
            before = batch.stored.get(index)
            if before == name:  # whoever has heard that it was lost looks once more
                self._holder.hold(TaskId(batch.id, index), outcome)
                continue
            batch.stored[index] = name
            token = self._holder.hold(TaskId(batch.id, index), outcome)
            self._inputs.lies(batch, index, outcome._replace(kept=token))
            if before is None:
                self._inputs.spare(batch, index)
                kept[index] = token
        return [
            Resolve(
                batch.id, column.slice(lo, hi), message.place, message.attempts, message.host, None,
                {index: kept[index] for index in range(lo, hi)},
            )
            for lo, hi in joined_indices(kept)
        ]  # fmt: skip

    def let_go(self, task: TaskId, now: float) -> None:
        """Nobody needs what a task returned, which lies elsewhere, unless somebody has asked for it since."""
        batch = self._batches.get(task.batch)
        index = task.index
        if batch is None or index not in batch.stored or self._holder.is_held(task):
            return
        if batch.needs:
            self._inputs.release(batch, index, index + 1)
        del batch.stored[index]
        batch.wanted.discard(index)
        batch.resolve(index, index + 1)
        self._taken.note(task.batch, ((index, index + 1),), 0, now)
        self._settle(batch)


_CLEARED = KnownOutcome(
    FAILED, (encode_failure(Failure(Cause.OBJECT_LOST, "its value was dropped by clear() before it was read")),)
)


def _name_in(outcome: KnownOutcome) -> ObjectId:
    """What a record names; one that names nothing is looked at where it is opened."""
    try:
        return read_record(b"".join(outcome.frames)).object
    except ProtocolError:
        return ObjectId(0, 0)  # type: ignore[arg-type]  # nobody's
