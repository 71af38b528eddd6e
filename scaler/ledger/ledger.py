"""The client's ledger: the truth about what its caller waits for. Pure; durable work uses the same object.

Each index is resolved once, whatever a scheduler repeats; every copy of a result is acknowledged. Arguments are kept
until their results are here, so that any scheduler can be told everything anew.
"""

from collections import OrderedDict
from collections.abc import Iterable

from scaler.ids import BatchId, FunctionId, Range
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import (
    BatchClosed,
    BatchOpened,
    Began,
    ClearAsked,
    Command,
    Event,
    FunctionPickled,
    Learned,
    Leaving,
    LinkDown,
    LinkUp,
    Received,
    Reject,
    Resolve,
    Say,
    ShutdownAsked,
    TasksAppended,
    Unwanted,
)
from scaler.protocol import (
    CancelTasks,
    ClearClient,
    CloseBatch,
    DefineFunction,
    Goodbye,
    NeedFunction,
    NeedTasks,
    OpenBatch,
    Results,
    Resume,
    Resumed,
    ShutdownScheduler,
    Taken,
    TasksBegan,
    TasksFailed,
    ToClient,
)
from scaler.protocol.codec import HEADER_BYTES
from scaler.protocol.columns import Frame, ResultColumn
from scaler.ranges import RangeSet

#: acknowledgements of results are gathered for so long, or until they stand for so much
TAKEN_DELAY_S = 0.05
TAKEN_MESSAGES = 64
TAKEN_BYTES = 1 << 20
#: functions no batch uses are remembered while there are at most so many
IDLE_FUNCTIONS = 64


class _Function:
    __slots__ = ("defined", "frames", "uses")

    def __init__(self, frames: tuple[Frame, ...]) -> None:
        self.frames = frames
        self.uses = 0
        self.defined = False


class Ledger:
    """What was submitted, what came back, what is left; see the module."""

    def __init__(self) -> None:
        self._linked = False
        self._batches: OrderedDict[BatchId, LedgerBatch] = OrderedDict()
        #: all and only batches with `has_more_to_say`
        self._talking: OrderedDict[BatchId, LedgerBatch] = OrderedDict()
        self._functions: OrderedDict[FunctionId, _Function] = OrderedDict()
        self._taken: OrderedDict[BatchId, RangeSet] = OrderedDict()
        self._taken_messages = 0
        self._taken_bytes = 0
        self._taken_due: float | None = None

    @property
    def unresolved(self) -> int:
        """How many tasks are waited for."""
        return sum(len(batch.unresolved) for batch in self._batches.values())

    @property
    def has_more_to_say(self) -> bool:
        """Whether arguments wait for room in the link."""
        return bool(self._talking)

    def handle(
        self, events: Iterable[Event], now: float, room_bytes: int
    ) -> list[Command]:
        """What happened since, in order; what to say and what to settle. `room_bytes` is the link's room."""
        commands: list[Command] = []
        for event in events:
            commands += self._handle_one(event, now)
        if self._linked:
            commands += self._talk(room_bytes)
            if self._taken_due is not None and now >= self._taken_due:
                commands += self._say_taken()
        return commands

    def next_deadline(self) -> float | None:
        """When acknowledgements that were gathered must go."""
        return self._taken_due if self._linked else None

    def check(self) -> None:
        """Raise unless every invariant holds, looked at the slow way."""
        for name, batch in self._batches.items():
            assert batch.has_more_to_say == (name in self._talking), name  # noqa: S101  # this is what check is for
            assert batch.sent <= batch.appended, name  # noqa: S101
            for lo, hi in batch.unresolved:
                assert batch.columns.extent(lo) >= hi, (name, lo, hi)  # noqa: S101
        for name, function in self._functions.items():
            uses = sum(batch.function == name for batch in self._batches.values())
            assert uses == function.uses, name  # noqa: S101

    def _handle_one(self, event: Event, now: float) -> list[Command]:
        match event:
            case TasksAppended(batch, column):
                known = self._batches[batch]
                known.append(column)
                self._talking[batch] = known
                return []
            case Received(message, frames):
                return self._received(message, frames, now)
            case FunctionPickled(function, frames):
                self._learn_function(function, frames)
                return []
            case BatchOpened(batch, function, options):
                self._functions[function].uses += 1
                self._batches[batch] = LedgerBatch(batch, function, options)
                return []
            case BatchClosed(batch):
                self._close(batch)
                return []
            case Unwanted(batch, ranges):
                return self._give_up(batch, ranges)
            case LinkUp(_, resumed):
                self._linked = True
                return [] if resumed else self._tell_anew()
            case LinkDown():
                self._linked = False
                return []
            case ClearAsked():
                return self._clear()
            case Leaving():
                return [Say(Goodbye("the client disconnects"))] if self._linked else []
            case ShutdownAsked():
                return [Say(ShutdownScheduler())]

    # ---- the caller's side

    def _learn_function(self, function: FunctionId, frames: tuple[Frame, ...]) -> None:
        if function in self._functions:
            self._functions.move_to_end(function)
            return
        self._functions[function] = _Function(frames)
        idle = [
            name
            for name, known in self._functions.items()
            if not known.uses and name != function
        ]
        for name in idle[: max(0, len(idle) - IDLE_FUNCTIONS)]:
            del self._functions[name]

    def _close(self, batch: BatchId) -> None:
        known = self._batches.get(batch)
        if known is not None and not known.closed:
            known.closed = True
            self._talking[batch] = known

    def _give_up(self, batch: BatchId, ranges: tuple[Range, ...]) -> list[Command]:
        known = self._batches.get(batch)
        if known is None:
            return []
        cancelled: list[Range] = []
        for lo, hi in ranges:
            for part in known.resolve(lo, hi):
                sent = Range(part.lo, min(part.hi, known.sent))
                cancelled += [sent] if sent.lo < sent.hi else []
                known.unwanted_unsent.add(max(part.lo, known.sent), part.hi)
        self._end_if_over(known)
        return (
            [Say(CancelTasks(batch, tuple(cancelled)))]
            if cancelled and self._linked
            else []
        )

    def _clear(self) -> list[Command]:
        for batch in list(self._batches.values()):
            batch.unresolved = RangeSet()
            self._forget(batch)
        return [Say(ClearClient())] if self._linked else []

    # ---- the scheduler's side

    def _received(
        self, message: ToClient, frames: tuple[Frame, ...], now: float
    ) -> list[Command]:
        match message:
            case Results(batch, lo, hi, base, place, attempts):
                column = ResultColumn.from_frames(lo, hi, base, frames)
                self._note_taken(batch, lo, hi, column.size_bytes, now)
                return [
                    Resolve(batch, column.slice(part.lo, part.hi), place, attempts)
                    for part in self._resolve(batch, lo, hi)
                ]
            case TasksFailed(batch, ranges, failure):
                newly = [
                    part for lo, hi in ranges for part in self._fail(batch, lo, hi, now)
                ]
                return [Reject(batch, tuple(newly), failure)] if newly else []
            case NeedTasks(batch, lo, hi):
                known = self._batches.get(batch)
                if known is not None:
                    for part in known.unresolved.within(lo, min(hi, known.sent)):
                        known.wanted_again.add(part.lo, part.hi)
                        self._talking[batch] = known
                return []
            case NeedFunction(function):
                return self._define(function)
            case TasksBegan(batch, ranges):
                return [Began(batch, ranges)]
            case _:
                return [Learned(message)]

    def _resolve(self, batch: BatchId, lo: int, hi: int) -> list[Range]:
        known = self._batches.get(batch)
        if known is None:
            return []
        newly = known.resolve(lo, hi)
        self._end_if_over(known)
        return newly

    def _fail(self, batch: BatchId, lo: int, hi: int, now: float) -> list[Range]:
        self._note_taken(batch, lo, hi, 0, now)
        return self._resolve(batch, lo, hi)

    def _note_taken(
        self, batch: BatchId, lo: int, hi: int, size: int, now: float
    ) -> None:
        self._taken.setdefault(batch, RangeSet()).add(lo, hi)
        self._taken_messages += 1
        self._taken_bytes += size
        if self._taken_messages >= TAKEN_MESSAGES or self._taken_bytes >= TAKEN_BYTES:
            self._taken_due = now
        elif self._taken_due is None:
            self._taken_due = now + TAKEN_DELAY_S

    def _say_taken(self) -> list[Command]:
        said: list[Command] = [
            Say(Taken(batch, ranges.ranges())) for batch, ranges in self._taken.items()
        ]
        self._taken.clear()
        self._taken_messages = self._taken_bytes = 0
        self._taken_due = None
        return said

    def _define(self, function: FunctionId) -> list[Command]:
        known = self._functions.get(function)
        if known is None:
            return []
        known.defined = True
        return [
            Say(DefineFunction(function, sum(map(len, known.frames))), known.frames)
        ]

    def _tell_anew(self) -> list[Command]:
        """The scheduler knows nothing of us: what it must know to go on, without a single argument."""
        for function in self._functions.values():
            function.defined = False
        self._taken.clear()
        self._taken_messages = self._taken_bytes = 0
        self._taken_due = None
        said: list[Command] = []
        for batch in list(self._batches.values()):
            batch.announced = False
            batch.wanted_again = RangeSet()
            batch.close_said = False
            if batch.ever_announced:
                said += self._resume(batch)
        return [*said, Say(Resumed())]

    def _resume(self, batch: LedgerBatch) -> list[Command]:
        whole = batch.closed and batch.sent == batch.appended
        batch.announced = True
        batch.close_said = whole
        unresolved = tuple(batch.unresolved.within(0, batch.sent))
        if batch.has_more_to_say:
            self._talking[batch.id] = batch
        else:
            self._talking.pop(batch.id, None)
        self._end_if_over(batch)
        size = batch.appended if whole else None
        return (
            [Say(Resume(batch.id, batch.function, batch.options, size, unresolved))]
            if unresolved or not whole
            else []
        )

    # ---- talking

    def _talk(self, room_bytes: int) -> list[Command]:
        said: list[Command] = []
        while self._talking and room_bytes > 0:
            batch = next(iter(self._talking.values()))
            said += self._announce(batch)
            room_bytes -= self._talk_of(batch, said)
            if batch.has_more_to_say:
                self._talking.move_to_end(batch.id)
            else:
                self._talking.pop(batch.id, None)
                self._end_if_over(batch)
        return said

    def _announce(self, batch: LedgerBatch) -> list[Command]:
        if batch.announced:
            return []
        batch.announced = batch.ever_announced = True
        said = (
            []
            if self._functions[batch.function].defined
            else self._define(batch.function)
        )
        return [*said, Say(OpenBatch(batch.id, batch.function, batch.options))]

    def _talk_of(self, batch: LedgerBatch, said: list[Command]) -> int:
        size = HEADER_BYTES
        append = batch.next_append()
        if append is not None:
            message, column = append
            size += column.size_bytes
            said.append(Say(message, column.frames()))
            unwanted = batch.unwanted_now()
            if unwanted:
                said.append(Say(CancelTasks(batch.id, tuple(unwanted))))
        if batch.closed and not batch.close_said and batch.sent == batch.appended:
            batch.close_said = True
            said.append(Say(CloseBatch(batch.id, batch.appended)))
        return size

    def _end_if_over(self, batch: LedgerBatch) -> None:
        if batch.is_over:
            self._forget(batch)

    def _forget(self, batch: LedgerBatch) -> None:
        if self._batches.pop(batch.id, None) is not None:
            self._talking.pop(batch.id, None)
            self._functions[batch.function].uses -= 1
