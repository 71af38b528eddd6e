"""The client's ledger: the truth about what its caller waits for. Pure; durable work uses the same object.

Each index is resolved once, whatever a scheduler repeats; every copy of a result is acknowledged. Arguments are kept
until their results are here, so that any scheduler can be told everything anew.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import assert_never

from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.arrivals import Arrivals, Holder, Nobody
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import (
    BatchAttached,
    BatchClosed,
    BatchOpened,
    Began,
    CancelAsked,
    ClearAsked,
    Command,
    DropAsked,
    Event,
    ExplainAsked,
    FlushAsked,
    FlushGivenUp,
    FunctionPickled,
    Learned,
    Leaving,
    LetGo,
    LinkDown,
    LinkUp,
    ObjectFreed,
    ObjectMade,
    Received,
    Restored,
    Say,
    ShutdownAsked,
    TasksAppended,
    Unwanted,
    ValueAsked,
    WorksAsked,
)
from scaler.ledger.fetches import LedgerFetches
from scaler.ledger.functions import FunctionShelf
from scaler.ledger.inputs import LedgerInputs
from scaler.ledger.objects import LedgerObjects
from scaler.ledger.requests import Requests, asked_by
from scaler.ledger.sayings import append, cancel, resume, unsent_because
from scaler.ledger.taken import TakenNotes
from scaler.ledger.works import LedgerWork
from scaler.protocol import (
    Acknowledged,
    Cause,
    ClearClient,
    CloseBatch,
    ExplainTask,
    Explanation,
    Failure,
    FetchChunks,
    FreeObjects,
    Goodbye,
    KnownTags,
    NeedFunction,
    NeedInputs,
    NeedTasks,
    ObjectChunk,
    ObjectLocated,
    ObjectsLost,
    OpenBatch,
    Output,
    QueueFull,
    Results,
    Resumed,
    ShutdownAnswer,
    TasksBegan,
    TasksFailed,
    TasksWait,
    ToClient,
    WorkBatches,
    WorkDropped,
    WorkersReady,
    WorkOpened,
    WorksListed,
)
from scaler.protocol.codec import HEADER_BYTES
from scaler.protocol.columns import Frame

_CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")


class Ledger:
    """What was submitted, what came back, what is left; see the module. `work` names the durable work that it is of."""

    def __init__(self, holder: Holder | None = None, work: str = "") -> None:
        self._linked = False
        #: the scheduler has as much of ours as it may, and by which limit
        self._is_held = False
        self._held_by = ""
        self._batches: OrderedDict[BatchId, LedgerBatch] = OrderedDict()
        #: all and only batches with `has_more_to_say`, in the order of their turns
        self._talking: OrderedDict[BatchId, LedgerBatch] = OrderedDict()
        self._functions = FunctionShelf()
        self._inputs = LedgerInputs()
        self._objects = LedgerObjects()
        self._fetches = LedgerFetches()
        self._taken = TakenNotes()
        self._work = LedgerWork(work, self._batches)
        self._arrivals = Arrivals(
            self._batches, self._functions, self._inputs, self._taken, self._settle, holder or Nobody()
        )
        #: said before all else
        self._requests = Requests()
        #: tasks of which it was asked in this turn where they stand
        self._asked: list[TaskId] = []

    @property
    def unresolved(self) -> int:
        """How many tasks are waited for."""
        return sum(len(batch.unresolved) for batch in self._batches.values())

    @property
    def has_more_to_say(self) -> bool:
        """Whether something waits for a link with room."""
        return bool(self._talking) and not self._is_held

    def handle(self, events: Iterable[Event], now: float, room_bytes: int) -> list[Command]:
        """What happened since, in order; what to say and what to settle. `room_bytes` is the link's room."""
        commands: list[Command] = []
        for event in events:
            match event:
                case LinkUp(_, resumed) if not resumed:
                    # What was said in this turn was meant for the scheduler before.
                    commands = [command for command in commands if not isinstance(command, Say)]
                    commands += self._tell_anew()
                case _:
                    commands += self._handle_one(event, now)
        if self._linked:
            commands += self._objects.say()
            commands += self._fetches.say()
            commands += self._answer() if self._is_held else self._talk(room_bytes)
            if self._taken.due is not None and now >= self._taken.due:
                commands += self._taken.say()
        asked, self._asked = self._asked, []
        for task in asked:
            commands += self._explain(task)
        return [*commands, *self._work.flushed()] if self._work.is_awaited else commands

    def next_deadline(self) -> float | None:
        """When acknowledgements that were gathered must go."""
        return self._taken.due if self._linked else None

    def check(self) -> None:
        """Raise unless every invariant holds, looked at the slow way."""
        for batch in self._batches.values():
            batch.check()
            assert batch.has_more_to_say == (batch.id in self._talking), batch.id
        assert all(name in self._batches for name in self._talking)
        self._functions.check(Counter(batch.function for batch in self._batches.values() if not batch.attached))
        self._taken.check()
        self._objects.check()
        self._fetches.check()
        self._inputs.check(self._batches.values())

    def _handle_one(self, event: Event, now: float) -> list[Command]:
        match event:
            case TasksAppended():
                self._append(event)
                return []
            case Received(message, frames):
                return self._received(message, frames, now)
            case BatchOpened(batch, function, options):
                self._functions.use(function)
                self._batches[batch] = LedgerBatch(batch, function, options)
                return []
            case BatchClosed(batch):
                if (known := self._batches.get(batch)) is not None:
                    known.close()
                    self._settle(known)
                return []
            case Unwanted(batch, ranges):
                return self._give_up(batch, ranges)
            case CancelAsked(batch, ranges):
                return self._ask_to_cancel(batch, ranges)
            case FunctionPickled() | Restored() | FlushAsked() | FlushGivenUp():
                self._hear(event)
                return []
            case ObjectMade() | ObjectFreed() | LetGo() | ValueAsked():
                self._hear_of_values(event, now)
                return []
            case BatchAttached():
                return self._attach(event)
            case LinkUp():
                return self._go_on()
            case LinkDown():
                self._linked = False
                return []
            case ClearAsked():
                return self._clear()
            case Leaving():
                return self._leave()
            case ShutdownAsked() | WorksAsked() | DropAsked():
                self._requests.ask(asked_by(event))
                return self._say_requests()
            case ExplainAsked(task):
                self._asked.append(task)
                return []
            case _:
                assert_never(event)

    def _hear(self, event: FunctionPickled | Restored | FlushAsked | FlushGivenUp) -> None:
        match event:
            case FunctionPickled(function, frames):
                self._functions.learn(function, frames)
            case Restored():
                self._functions.restored(event)
                self._batches |= {one.batch: LedgerBatch.restored(one) for one in event.batches}
                self._inputs.restored(event, self._batches)
            case FlushAsked() | FlushGivenUp():
                self._work.wait(event)
            case _:
                assert_never(event)

    def _hear_of_values(self, event: ObjectMade | ObjectFreed | LetGo | ValueAsked, now: float) -> None:
        match event:
            case ObjectMade() | ObjectFreed():
                self._objects.hear(event)
            case LetGo(task):
                self._arrivals.let_go(task, now)
            case ValueAsked():
                self._fetches.asked(event)
            case _:
                assert_never(event)

    def _go_on(self) -> list[Command]:
        """What nobody wants is told before any new call: who needs what that needed is to be asked for it anew."""
        self._linked = True
        said = self._say_requests()
        for batch in [one for one in self._batches.values() if one.attached and not one.announced]:
            said += resume(batch)
        for batch in list(self._talking.values()):
            said += cancel(batch)
            self._settle(batch)
        return said

    # ---- the caller's side

    def _append(self, event: TasksAppended) -> None:
        if (known := self._batches.get(event.batch)) is not None:  # else it was cleared while its caller went on
            known.append(event.column)
            self._talking[known.id] = known
            self._inputs.appended(known, event, self._batches)

    def _attach(self, event: BatchAttached) -> list[Command]:
        if event.batch in self._batches:
            return []
        batch = self._batches[event.batch] = LedgerBatch(event.batch, event.function, event.options)
        batch.attach(event.appended)
        return resume(batch) if self._linked else []

    def _give_up(self, batch: BatchId, ranges: tuple[Range, ...]) -> list[Command]:
        known = self._batches.get(batch)
        if known is None:
            return []
        for lo, hi in known.without_values(ranges):
            self._inputs.failed(known, lo, hi, _CANCELLED)
            known.give_up(lo, hi)
            if known.needs:
                self._inputs.release(known, lo, hi)
        said = cancel(known) if self._linked else []
        self._settle(known)
        return said

    def _ask_to_cancel(self, batch: BatchId, ranges: tuple[Range, ...]) -> list[Command]:
        known = self._batches.get(batch)
        if known is None:
            return []
        for lo, hi in ranges:
            known.ask(lo, hi)
        said = cancel(known) if self._linked and known.announced else []
        self._settle(known)
        return said

    def _clear(self) -> list[Command]:
        self._arrivals.cleared()
        for batch in list(self._batches.values()):
            self._forget(batch)
        self._functions.clear()
        self._objects.clear()
        self._requests.ask(ClearClient())
        return self._say_requests()

    def _explain(self, task: TaskId) -> list[Command]:
        """Ask the scheduler where a task stands, unless the answer lies here."""
        held_by = self._held_by if self._is_held else ""
        if here := unsent_because(self._batches.get(task.batch), task.index, held_by, is_linked=self._linked):
            return [Learned(Explanation(task, here))]
        self._requests.ask(ExplainTask(task))
        return self._say_requests()

    def _leave(self) -> list[Command]:
        """Nothing is said after a goodbye: nobody would acknowledge it, and a leaver waits for that."""
        said = [*self._taken.say(), Say(Goodbye("the client disconnects"))] if self._linked else []
        for batch in list(self._batches.values()):
            self._forget(batch)
        self._functions.clear()
        self._linked = False
        self._work.leave()
        return said

    def _say_requests(self) -> list[Command]:
        return self._requests.say() if self._linked else []

    # ---- the scheduler's side

    def _received(self, message: ToClient, frames: tuple[Frame, ...], now: float) -> list[Command]:
        match message:
            case Results():
                return self._arrivals.results(message, frames, now)
            case TasksFailed():
                return self._arrivals.failed(message, now)
            case TasksBegan(batch, ranges):
                known = self._batches.get(batch)
                waited = [part for span in ranges for part in known.unresolved.within(*span)] if known else []
                return [Began(batch, tuple(waited))] if waited else []
            case NeedTasks(batch, lo, hi):
                return self._want_again(batch, lo, hi)
            case NeedInputs(tasks):
                return self._inputs.tell(tasks)
            case NeedFunction(function):
                return self._functions.define(function) if function in self._functions else [Learned(message)]
            case Output():
                return []  # shown as it comes
            case QueueFull(full, why):
                self._is_held, self._held_by = full, why
                return []
            case ShutdownAnswer() | Explanation() | WorksListed() | WorkDropped():
                self._requests.answered(message)
                return [Learned(message)]
            case KnownTags() | WorkersReady() | TasksWait() | Goodbye() | FetchChunks() | FreeObjects():
                return [Learned(message)]
            case ObjectChunk():
                return self._fetches.arrived(message, frames)
            case ObjectsLost(names):
                return self._fetches.lost(names)
            case ObjectLocated():
                self._fetches.located(message)
                return []
            case WorkOpened() | WorkBatches() | Acknowledged():
                return self._work.received(message)
            case _:
                assert_never(message)

    def _want_again(self, batch: BatchId, lo: int, hi: int) -> list[Command]:
        if (known := self._batches.get(batch)) is not None and known.attached:
            return self._arrivals.lost(known, lo, hi)  # its calls are with another client, or nowhere
        if known is not None:
            known.want_again(lo, hi)
            self._settle(known)
        return []

    # ---- a scheduler that knows nothing of us

    def _tell_anew(self) -> list[Command]:
        """What it must know to go on, without a single argument."""
        self._linked = True
        self._is_held = False
        self._functions.nobody_knows()
        self._objects.tell_anew()
        self._fetches.linked()
        self._taken.forget()
        said = self._work.open()
        for batch in list(self._batches.values()):
            batch.tell_anew()
            if batch.ever_announced or batch.attached:
                said += resume(batch)
            self._settle(batch)
        self._requests.tell_anew(is_durable=bool(self._work.name))
        return [*said, *self._objects.say(), Say(Resumed()), *self._say_requests()]

    # ---- talking

    def _talk(self, room_bytes: int) -> list[Command]:
        said: list[Command] = []
        silent = 0
        while silent < len(self._talking) and room_bytes > 0:
            batch = next(iter(self._talking.values()))
            before = len(said)
            said += self._announce(batch)
            size_bytes = self._talk_of(batch, said)
            self._talking.move_to_end(batch.id)
            self._settle(batch)
            if len(said) > before:
                silent = 0
                room_bytes -= size_bytes
            else:  # its next call needs one that is not said yet
                silent += 1
        return said

    def _answer(self) -> list[Command]:
        """What the scheduler has asked for is said even while new tasks are held back, and what lets it forget."""
        said: list[Command] = []
        for batch in list(self._talking.values()):
            while batch.wanted_again:
                self._talk_of(batch, said)
            if batch.announced and batch.must_close and batch.sent == batch.appended:
                self._talk_of(batch, said)
            self._settle(batch)
        return said

    def _announce(self, batch: LedgerBatch) -> list[Command]:
        if batch.announced:
            return []
        batch.announced = batch.ever_announced = True
        said = [] if self._functions.is_defined(batch.function) else self._functions.define(batch.function)
        return [*said, Say(OpenBatch(batch.id, batch.function, batch.options))]

    def _talk_of(self, batch: LedgerBatch, said: list[Command]) -> int:
        size = HEADER_BYTES
        column = batch.next_append(self._is_said)
        if column is not None:
            said.append(calls := append(batch, column))
            size += sum(len(frame) for frame in calls.frames)
        said += cancel(batch)
        if batch.must_close and batch.sent == batch.appended:
            batch.close_said = True
            said.append(Say(CloseBatch(batch.id, batch.appended)))
        return size

    def _is_said(self, task: TaskId) -> bool:
        """Whether the scheduler knows a task of ours, or need not since it has ended."""
        known = self._batches.get(task.batch)
        return known is None or task.index < known.sent or task.index not in known.unresolved

    def _settle(self, batch: LedgerBatch) -> None:
        """Keep `_talking` true of a batch that changed, and forget it when it is over."""
        if batch.is_over:
            self._forget(batch)
        elif batch.has_more_to_say:
            self._talking[batch.id] = batch
        else:
            self._talking.pop(batch.id, None)

    def _forget(self, batch: LedgerBatch) -> None:
        del self._batches[batch.id]
        self._talking.pop(batch.id, None)
        if batch.needs:
            self._inputs.release(batch, 0, batch.appended)
        if not batch.attached:
            self._functions.leave(batch.function)
