"""Whoever submits tasks and waits for them, in a client or inside a task: the real ledger, and a judge of answers."""

from array import array
from collections.abc import Callable, Mapping
from itertools import accumulate
from random import Random

from scaler.ids import BatchId, FunctionId, Incarnation, Range, TaskId, function_id
from scaler.ledger import events as ledger
from scaler.ledger.ledger import Ledger
from scaler.link import events as link
from scaler.protocol import BatchOptions, Cause, Failure, FetchChunks, NeedFunction
from scaler.protocol.codec import decode_failure, encode_failure
from scaler.protocol.columns import (
    CONTENT,
    FAILED,
    RAISED,
    RAISED_RETRYABLE,
    REFERENCE,
    SUCCESSES,
    VALUE,
    ArgumentColumn,
    ResultColumn,
)
from scaler.protocol.references import read_record
from tests.simulation.objects import CallerObjects
from tests.simulation.plan import ARCHIVE, CODES
from tests.simulation.slots import results_of
from tests.simulation.stored import CallerStored
from tests.simulation.workload import error_of, raised_by, value_of
from tests.simulation.world import World

#: Says why an answer to a call, "raised", "retryable" or the cause of a failure, is not permitted, or nothing; what is
#: raised names the call that raised it.
Judge = Callable[[bytes, str, bytes], str | None]

Tell = Callable[[list[ledger.Event]], None]

_GIVEN_UP = ledger.KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "given up")),))


class Caller:
    """One caller; `tell` has what it does taken in at its next turn."""

    def __init__(self, world: World, name: str, incarnation: Incarnation, judge: Judge, tell: Tell) -> None:
        self._world = world
        self._name = name
        self._incarnation = incarnation
        self._judge = judge
        self._tell = tell
        #: drawn apart, so that histories without such values stay as they are
        chance = Random(incarnation)
        self.stored = CallerStored(world.clock, chance, self._tell_objects, self._judge_anew)
        self.ledger = Ledger(self.stored)
        self.objects = CallerObjects(incarnation, self._tell_objects)
        #: nothing more is appended
        self.has_ended = False
        self._has_cleared = False
        self._turns = 0
        self._calls: dict[BatchId, list[bytes]] = {}
        #: the size of each batch
        self.sizes: dict[BatchId, int] = {}
        #: "value", "raised", "cancelled" or the cause of the failure of every task that has its answer
        self.answers: dict[tuple[BatchId, int], str] = {}
        #: the same as other tasks may need it
        self._outcomes: dict[tuple[BatchId, int], ledger.KnownOutcome] = {}
        #: how many tasks of each batch the ledger has been told of
        self._told: dict[BatchId, int] = {}

    def _tell_objects(self, events: list[ledger.Event]) -> None:
        if not self.has_ended:
            self._tell(events)

    # ---- what the caller does

    @property
    def next_batch(self) -> BatchId:
        """The name of the batch it submits next."""
        return BatchId(self._incarnation, len(self.sizes) + 1)

    def submit(
        self,
        function: FunctionId,
        options: BatchOptions,
        calls: list[bytes],
        parts: list[int],
        every_s: float,
        needs: Mapping[int, tuple[TaskId, ...]],
    ) -> BatchId:
        """Open a batch, append its calls in parts of these sizes, one every so often, and close it."""
        batch = self.next_batch
        self.sizes[batch] = len(calls)
        self._calls[batch] = calls
        # what a function comes with is told before it, or once it is asked for
        archive = [ledger.FunctionPickled(function_id((ARCHIVE,)), (ARCHIVE,))]
        events: list[ledger.Event] = [
            *archive[: batch.n % 2],
            ledger.FunctionPickled(function, (CODES[function],)),
            ledger.BatchOpened(batch, function, options),
        ]
        for number, (lo, size) in enumerate(zip(accumulate(parts, initial=0), parts, strict=False)):
            column = _arguments(lo, calls[lo : lo + size])
            if every_s:
                self._world.clock.after(
                    number * every_s, lambda column=column, events=events: self._append(batch, column, needs, events)
                )
                events = []
            else:
                events.append(self._appended(batch, column, needs))
        events.append(ledger.BatchClosed(batch))
        self._world.clock.after(len(parts) * every_s, lambda: self._tell(events))
        self._world.clock.after(len(parts) * every_s, lambda: self.objects.submitted(batch))
        return batch

    def submitted(self) -> list[TaskId]:
        """The tasks that its ledger has been told of."""
        return [TaskId(batch, index) for batch, count in self._told.items() for index in range(count)]

    def _append(
        self,
        batch: BatchId,
        column: ArgumentColumn,
        needs: Mapping[int, tuple[TaskId, ...]],
        before: list[ledger.Event],
    ) -> None:
        if not self.has_ended:
            self._tell([*before, self._appended(batch, column, needs)])

    def _appended(
        self, batch: BatchId, column: ArgumentColumn, needs: Mapping[int, tuple[TaskId, ...]]
    ) -> ledger.TasksAppended:
        self._told[batch] = column.hi
        needed = {index: needs[index] for index in range(column.lo, column.hi) if index in needs}
        known = []
        for task in dict.fromkeys(task for tasks in needed.values() for task in tasks):
            outcome = (
                self.stored.outcome(task)
                or self._outcomes.get((task.batch, task.index))
                or self.objects.outcome(batch, task)
            )
            if outcome is not None:
                known.append((task, outcome))
        return ledger.TasksAppended(batch, column, needed, tuple(known))

    def cancel(self, batch: BatchId, lo: int, hi: int) -> list[int]:
        """Give up what is not answered of [lo, hi), all of it appended before; which tasks."""
        wanted = [index for index in range(lo, hi) if (batch, index) not in self.answers]
        for index in wanted:
            self._give_up(batch, index)
        if wanted:
            self._tell([ledger.Unwanted(batch, (Range(lo, hi),))])
        return wanted

    def ask_to_cancel(self, batch: BatchId, lo: int, hi: int) -> list[int]:
        """Have those of [lo, hi) cancelled that have not begun; which may be, since they have no answer yet."""
        self._tell([ledger.CancelAsked(batch, (Range(lo, hi),))])
        return [index for index in range(lo, hi) if (batch, index) not in self.answers]

    def clear(self) -> list[tuple[BatchId, int]]:
        """Drop everything that is not answered; which tasks."""
        tasks = ((batch, index) for batch, size in self.sizes.items() for index in range(size))
        wanted = [task for task in tasks if task not in self.answers]
        for task in wanted:
            self._give_up(*task)
        self.stored.drop()
        self._has_cleared = True
        self._tell([ledger.ClearAsked()])
        return wanted

    def appended(self, batch: BatchId) -> int:
        """How many tasks its ledger has seen of a batch; 0 when it is over."""
        known = self.ledger._batches.get(batch)
        return known.appended if known is not None else 0

    def _give_up(self, batch: BatchId, index: int) -> None:
        self.answers[batch, index] = "cancelled"
        self._outcomes[batch, index] = _GIVEN_UP

    @property
    def is_done(self) -> bool:
        """Whether every task has its answer."""
        return len(self.answers) == sum(self.sizes.values())

    # ---- turns

    def turn(self, told: list[ledger.Event], room_bytes: int) -> list[link.DialledEvent]:
        """Take in what has happened; what is to be said."""
        now, log = self._world.clock.now, self._world.log
        said: list[link.DialledEvent] = []
        due = self.ledger.next_deadline()
        if told or self.ledger.has_more_to_say or (due is not None and due <= now):
            for command in self.ledger.handle(told, now, room_bytes):
                if log is not None:
                    log(f"{now:.6f} {self._name} {command}")
                self._perform(command, said)
        self._turns += 1
        if self._turns % self._world.check_every == 0:
            self.ledger.check()
        return said

    def _perform(self, command: ledger.Command, said: list[link.DialledEvent]) -> None:
        match command:
            case ledger.Say(message, frames):
                said.append(link.Outgoing(message, frames))
            case ledger.Resolve(batch, column):
                self._resolved(batch, column, command.kept)
            case ledger.Fetched(name):
                self.stored.fetched(name)
            case ledger.NotThere(name):
                self.stored.not_there(name)
            case ledger.Reject(batch, ranges, failure):
                for lo, hi in ranges:
                    for index in range(lo, hi):
                        self._failed(batch, index, failure)
            case ledger.Learned(NeedFunction(function) as wanted) if function == function_id((ARCHIVE,)):
                self._tell([ledger.FunctionPickled(function, (ARCHIVE,)), ledger.Received(wanted)])
            case ledger.Learned(FetchChunks() as wanted):
                said += [link.Outgoing(one.message, one.frames) for one in self.objects.answer(wanted)]
            case ledger.Began() | ledger.Learned():
                return

    # ---- judgement

    def _resolved(self, batch: BatchId, column: ResultColumn, kept: Mapping[int, object]) -> None:
        calls = self._calls[batch]
        for index, status, data in results_of(column):
            if status == REFERENCE:
                data = read_record(data).token  # noqa: PLW2901  # the value itself, see `stored`
                assert data == value_of(calls[index]), f"{batch} {index} was answered {data!r}"
                self._outcomes[batch, index] = ledger.KnownOutcome(VALUE, (data,))
                self.stored.came(TaskId(batch, index), kept[index])
                self._note(batch, index, "value", data)
                continue
            self._outcomes[batch, index] = ledger.KnownOutcome(status, (data,))
            if status in (VALUE, CONTENT):
                assert data == value_of(calls[index]), f"{batch} {index} was answered {data!r}"
                self._note(batch, index, "value", data)
            elif status == FAILED:
                self._failed(batch, index, decode_failure(data))
            else:
                assert status in (RAISED, RAISED_RETRYABLE), f"{batch} {index} ended with status {status}"
                origin = raised_by(data)
                assert data == error_of(origin), f"{batch} {index} raised {data!r}"
                self._judged(batch, index, "raised" if status == RAISED else "retryable", data, origin)

    def _judge_anew(self, task: TaskId, outcome: ledger.KnownOutcome) -> None:
        """A value that was lost has been made anew: it is the same, or there is a reason why there is none."""
        call = self._calls[task.batch][task.index]
        data = b"".join(outcome.frames)
        if outcome.status in SUCCESSES:
            data = read_record(data).token if outcome.status == REFERENCE else data
            assert data == value_of(call), f"{task} was made anew and is {data!r}"
            return
        if outcome.status == FAILED and self._has_cleared and decode_failure(data).cause is Cause.OBJECT_LOST:
            problem = None
        elif outcome.status == FAILED:
            problem = self._judge(call, decode_failure(data).cause.value, b"")
        else:
            problem = self._judge(call, "raised" if outcome.status == RAISED else "retryable", raised_by(data))
        assert problem is None, f"{task} was made anew and failed, but {problem}"

    def _failed(self, batch: BatchId, index: int, failure: Failure) -> None:
        self._outcomes[batch, index] = ledger.KnownOutcome(FAILED, (encode_failure(failure),))
        self._judged(batch, index, failure.cause.value, failure)

    def _judged(self, batch: BatchId, index: int, answer: str, what: object, origin: bytes = b"") -> None:
        self._note(batch, index, answer, what)
        problem = self._judge(self._calls[batch][index], answer, origin)
        assert problem is None, f"{batch} {index} was answered {what}, but {problem}"

    def _note(self, batch: BatchId, index: int, answer: str, what: object) -> None:
        assert index < self.sizes[batch], "an answer to a question nobody asked"
        assert (batch, index) not in self.answers, f"{batch} {index} was answered twice: {what}"
        self.answers[batch, index] = answer


def _arguments(lo: int, calls: list[bytes]) -> ArgumentColumn:
    offsets = array("Q", accumulate(map(len, calls), initial=0)).tobytes()
    return ArgumentColumn(lo, len(calls), offsets, (b"".join(calls),))
