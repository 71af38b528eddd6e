"""The log of a durable work read from the beginning: which tasks it has, which have ended, and the calls of the others.

Pure. What is damaged costs what it said: outcomes are made anew, calls are lost and their tasks fail.
"""

from scaler.durable.batch import WorkBatchRecord
from scaler.durable.records import said_in
from scaler.durable.rows import Row
from scaler.errors import ProtocolError
from scaler.ids import FunctionId, Incarnation, Range, TaskId
from scaler.ledger.events import RestoredBatch
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    ClearClient,
    CloseBatch,
    DefineFunction,
    OpenBatch,
    Results,
    TasksFailed,
)
from scaler.protocol.columns import ArgumentColumn, Frame
from scaler.protocol.inputs import Dependencies, read_dependencies, split_off
from scaler.ranges import RangeSet, members_within


class Replay:
    """What rows say, one after another."""

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self.batches: dict[int, WorkBatchRecord] = {}
        self.functions: dict[FunctionId, tuple[Frame, ...]] = {}
        #: the calls of tasks that have not ended, and what they need, by batch
        self._columns: dict[int, list[ArgumentColumn]] = {}
        self._needs: dict[int, dict[int, tuple[TaskId, ...]]] = {}
        #: rows that said nothing
        self.damaged = 0

    def add(self, row: Row) -> None:
        """The next row."""
        try:
            self._add(row)
        except ProtocolError:
            self.damaged += 1

    def _add(self, row: Row) -> None:
        message = said_in(row)
        match message:
            case DefineFunction(function):
                self.functions[function] = row.frames
                return
            case ClearClient():
                for state in (self.batches, self._columns, self._needs):
                    state.clear()
                return
            case OpenBatch(batch, function, options):
                self.batches[batch.n] = WorkBatchRecord(batch, function, options)
                return
        known = self.batches.get(message.batch.n)
        if known is None or message.batch.owner != self._incarnation:
            raise ProtocolError(f"batch {message.batch} was never opened")
        match message:
            case AppendTasks():
                self._append(known, message, row.frames)
            case CloseBatch():
                known.is_closed = True
            case Results(_, lo, hi):
                self._end(known, ((lo, hi),))
            case TasksFailed(_, ranges) | CancelTasks(_, ranges):
                self._end(known, ranges)

    def _append(self, known: WorkBatchRecord, message: AppendTasks, frames: tuple[Frame, ...]) -> None:
        frames, behind = split_off(frames, message.dependency_frames)
        column = ArgumentColumn.from_frames(message.lo, message.count, frames)
        known.said = known.appended = column.hi
        self._columns.setdefault(known.id.n, []).append(column)
        if behind:
            needs = read_dependencies(message.lo, message.count, behind)
            self._needs.setdefault(known.id.n, {}).update(needs)

    def _end(self, known: WorkBatchRecord, ranges: tuple[tuple[int, int], ...]) -> None:
        for lo, hi in ranges:
            if lo < (last := min(hi, known.appended)):
                known.end(lo, last)
        columns = self._columns.get(known.id.n, [])
        columns[:] = [one for one in columns if known.ended.missing(one.lo, one.hi)]
        needs = self._needs.get(known.id.n)
        for lo, hi in ranges if needs else ():
            for index in members_within(needs or {}, lo, hi):
                del (needs or {})[index]

    def lost(self) -> dict[int, tuple[Range, ...]]:
        """Tasks that have not ended and cannot run, since their calls or their function are damaged; by batch."""
        found = {}
        for n, known in self.batches.items():
            calls = RangeSet((column.lo, column.hi) for column in self._columns.get(n, ()))
            waiting = known.ended.missing(0, known.appended)
            if known.function in self.functions:
                waiting = [part for lo, hi in waiting for part in calls.missing(lo, hi)]
            if waiting:
                found[n] = tuple(waiting)
        return found

    def needed(self) -> set[TaskId]:
        """Tasks that have ended and that others need which have not."""
        tasks = {task for needs in self._needs.values() for needed in needs.values() for task in needed}
        return {task for task in tasks if (of := self.batches.get(task.batch.n)) is not None and task.index in of.ended}

    def restored(self) -> tuple[RestoredBatch, ...]:
        """What a ledger waits for; what is lost has to have ended before."""
        return tuple(
            RestoredBatch(
                known.id,
                known.function,
                known.options,
                tuple(self._columns.get(n, ())),
                known.appended,
                tuple(waiting),
                known.is_closed,
                self._unended_needs(n),
            )
            for n, known in self.batches.items()
            if (waiting := known.ended.missing(0, known.appended)) or not known.is_closed
        )

    def _unended_needs(self, n: int) -> Dependencies:
        ended = self.batches[n].ended
        return {index: tasks for index, tasks in self._needs.get(n, {}).items() if index not in ended}
