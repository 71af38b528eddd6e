"""What clients say of the batches of a durable work, looked at and put in order before it is written. Pure.

A client that comes back says what it waits for, is asked for what is not on disk of that, and goes on meanwhile: what
it says then of a batch it was asked for, or needs a task that is not here yet, waits until it has answered.
"""

from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from scaler.core.chunks import check_offsets
from scaler.durable.batch import WorkBatchRecord
from scaler.durable.checks import calls_in, check_calls, check_function, check_number, check_options
from scaler.durable.records import CANCELLED, Said
from scaler.durable.windows import Windows
from scaler.errors import ProtocolError
from scaler.ids import BatchId, FunctionId, Incarnation, Range, TaskId
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    DefineFunction,
    Failure,
    NeedFunction,
    NeedTasks,
    OpenBatch,
    Resume,
    TasksFailed,
)
from scaler.protocol.columns import Frame
from scaler.protocol.options import MAX_INDEX
from scaler.ranges import RangeSet

#: a client that comes back leaves out so many calls at a time
MOST_LEFT_OUT = 1 << 24
#: for tasks that had ended for their client when the scheduler lost the work, or had not heard of them
LEFT_OUT = Failure(Cause.OBJECT_LOST, "it had ended when its durable work was lost, or was cancelled then")
#: what is said of a batch that is there
_OfOne = AppendTasks | CloseBatch | CancelTasks
#: what is written
Heard = DefineFunction | OpenBatch | Resume | ClearClient | _OfOne
_Write = Callable[[Said, tuple[Frame, ...], Incarnation], None]


class _Asked:
    """What a client was asked for of a batch that it has resumed."""

    __slots__ = ("calls", "resume")

    def __init__(self, calls: RangeSet, resume: Resume | None) -> None:
        self.calls = calls
        #: what opens the batch, once its function is here
        self.resume = resume


class _Speaker:
    """A client that was asked for something, or has said what cannot be written yet."""

    __slots__ = ("asked", "blocked", "waiting")

    def __init__(self) -> None:
        self.asked: dict[int, _Asked] = {}
        #: oldest first
        self.waiting: deque[tuple[_OfOne, tuple[Frame, ...]]] = deque()
        #: the batches of these
        self.blocked: set[int] = set()

    def wait(self, message: _OfOne, frames: tuple[Frame, ...] = ()) -> None:
        """Come back to this later."""
        self.waiting.append((message, frames))
        self.blocked.add(message.batch.n)

    def will_say(self, task: TaskId) -> bool:
        """Whether a task is still to come from this client, as far as is known."""
        asked = self.asked.get(task.batch.n)
        if asked is not None and (asked.resume is not None or task.index in asked.calls):
            return True
        return task.batch.n in self.blocked


class Intake:
    """Between the clients of a work and its log; `write` puts a row in."""

    def __init__(
        self, name: str, incarnation: Incarnation, batches: dict[int, WorkBatchRecord], windows: Windows, write: _Write
    ) -> None:
        self._name = name
        self._incarnation = incarnation
        self._batches = batches
        self._windows = windows
        self._write = write
        self.functions: dict[FunctionId, tuple[Frame, ...]] = {}
        self._speakers: dict[Incarnation, _Speaker] = {}
        #: of each clearing that is not on disk, oldest first, the batches that it ends
        self.cleared: deque[frozenset[int]] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return any(speaker.waiting for speaker in self._speakers.values())

    def left(self, peer: Incarnation) -> None:
        """A client is gone: nobody will answer for it."""
        self._speakers.pop(peer, None)

    def heard(self, peer: Incarnation, message: Heard, frames: tuple[Frame, ...]) -> None:
        """A client said something; `ProtocolError` where that cannot be."""
        match message:
            case DefineFunction():
                self._define(message, frames, peer)
            case OpenBatch():
                self._open(message, peer)
            case Resume():
                self._resume(message, peer)
            case ClearClient():
                self._clear(peer)
            case _:
                self._say(peer, message, frames)

    # ---- what stands by itself

    def _define(self, message: DefineFunction, frames: tuple[Frame, ...], peer: Incarnation) -> None:
        check_function(message, frames)
        if message.function in self.functions:
            return
        self.functions[message.function] = frames
        self._write(message, frames, peer)
        for other, speaker in list(self._speakers.items()):
            for asked in speaker.asked.values():
                if asked.resume is not None and asked.resume.function == message.function:
                    self._open_resumed(asked.resume, other)
                    asked.resume = None
            self._look_again(other, speaker)

    def _open(self, message: OpenBatch, peer: Incarnation) -> None:
        batch, options = message.batch, message.options
        if batch.owner != self._incarnation or batch.n in self._batches:
            raise ProtocolError(f"batch {batch} is opened twice or by another")
        if message.function not in self.functions:
            raise ProtocolError(f"batch {batch} is opened before its function {message.function.hex()} is told")
        check_number(batch.n)
        check_options(options)
        options = replace(options, durable=self._name)
        self._batches[batch.n] = WorkBatchRecord(batch, message.function, options)
        self._write(replace(message, options=options), (), peer)

    def _clear(self, peer: Incarnation) -> None:
        self.cleared.append(frozenset(self._batches))
        self._batches.clear()
        self._speakers.pop(peer, None)
        self._windows.want_nothing(peer)
        self._write(ClearClient(), (), peer)

    # ---- clients that come back

    def _resume(self, message: Resume, peer: Incarnation) -> None:
        batch, unresolved = message.batch, RangeSet(message.unresolved)
        self._require_own(batch)
        check_number(batch.n)
        check_options(message.options)
        lacks_function = batch.n not in self._batches and message.function not in self.functions
        if lacks_function:
            self._windows.say(peer, NeedFunction(message.function))
        elif batch.n not in self._batches:
            self._open_resumed(message, peer)
        known = self._batches.get(batch.n)
        calls = RangeSet(unresolved.within(known.said if known is not None else 0, MAX_INDEX))
        for lo, hi in calls:
            self._windows.say(peer, NeedTasks(batch, lo, hi))
        self._windows.want(peer, batch.n, message.unresolved)
        if known is not None:
            self._windows.acknowledge(peer, known)
        speaker = self._speakers.setdefault(peer, _Speaker())
        if calls or lacks_function:
            speaker.asked[batch.n] = _Asked(calls, message if lacks_function else None)
        if message.size is not None:
            speaker.wait(CloseBatch(batch, message.size))
        self._look_again(peer, speaker)

    def _open_resumed(self, resume: Resume, peer: Incarnation) -> None:
        if resume.batch.n not in self._batches:
            self._open(OpenBatch(resume.batch, resume.function, resume.options), peer)

    # ---- what is said of a batch

    def _require_own(self, batch: BatchId) -> None:
        if batch.owner != self._incarnation:
            raise ProtocolError(f"batch {batch} is not of the durable work {self._name!r}")

    def _say(self, peer: Incarnation, message: _OfOne, frames: tuple[Frame, ...]) -> None:
        self._require_own(message.batch)
        speaker = self._speakers.get(peer)
        if speaker is None:
            speaker = _Speaker()
        elif (asked := speaker.asked.get(message.batch.n)) is not None:
            if self._answers(peer, asked, message):
                self._do(peer, message, frames)
            else:
                speaker.wait(message, frames)
            self._look_again(peer, speaker)
            return
        if not self._can_do(speaker, message, frames):
            self._speakers[peer] = speaker
            speaker.wait(message, frames)
            self._look_again(peer, speaker)
        else:
            self._do(peer, message, frames)

    def _answers(self, peer: Incarnation, asked: _Asked, message: _OfOne) -> bool:
        """Whether these are calls that a client was asked for; those before them have ended for it."""
        match message:
            case AppendTasks(_, lo, count) if asked.resume is None and asked.calls.intersects(lo, lo + count):
                asked.calls.remove(0, lo + count)
                return True
            case CancelTasks(batch, ranges):
                for lo, hi in ranges:  # they are not told any more
                    self._windows.unwant(peer, batch.n, asked.calls.remove(lo, hi))
                if not asked.calls:
                    asked.resume = None
        return False

    def _look_again(self, peer: Incarnation, speaker: _Speaker) -> None:
        """Do what need not wait any more."""
        for n in [n for n, one in speaker.asked.items() if one.resume is None and not one.calls]:
            del speaker.asked[n]
        goes_on = True
        while goes_on and speaker.waiting:
            waiting, speaker.waiting, speaker.blocked, goes_on = speaker.waiting, deque(), set(), False
            for message, frames in waiting:
                if self._can_do(speaker, message, frames):
                    goes_on = True
                    self._do(peer, message, frames)
                else:
                    speaker.wait(message, frames)
        if not speaker.asked and not speaker.waiting:
            self._speakers.pop(peer, None)

    def _can_do(self, speaker: _Speaker, message: _OfOne, frames: tuple[Frame, ...]) -> bool:
        """Whether all is here that this follows, or will not come any more."""
        if message.batch.n in speaker.asked or message.batch.n in speaker.blocked:
            return False
        if not isinstance(message, AppendTasks) or not message.dependency_frames:
            return True
        _, needs = calls_in(message, frames, self._incarnation)
        return not any(speaker.will_say(task) for tasks in needs.values() for task in tasks)

    def _do(self, peer: Incarnation, message: _OfOne, frames: tuple[Frame, ...]) -> None:
        known = self._batches.get(message.batch.n)
        match message:
            case AppendTasks(batch, lo, count) if known is None:  # another client has cleared the work
                self._windows.say(peer, TasksFailed(batch, (Range(lo, lo + count),), CANCELLED))
            case CancelTasks(batch, ranges) if known is None:
                self._windows.unwant(peer, batch.n, ranges)
            case _ if known is None:
                pass
            case AppendTasks():
                self._append(known, message, frames, peer)
            case CloseBatch():
                if not known.is_closed:
                    known.is_closed = True
                    self._write(message, (), peer)
            case CancelTasks(_, ranges):
                said = tuple(part for lo, hi in ranges for part in RangeSet(((lo, hi),)).within(0, known.said))
                if said:
                    self._write(replace(message, ranges=said), (), peer)

    def _append(
        self, known: WorkBatchRecord, message: AppendTasks, frames: tuple[Frame, ...], peer: Incarnation
    ) -> None:
        lo, hi = message.lo, message.lo + message.count
        check_calls(message, frames)
        column, needs = calls_in(message, frames, self._incarnation)
        check_offsets(column)
        if hi <= known.said:  # said before, to a scheduler that was killed before it could answer
            self._windows.acknowledge(peer, known)
            return
        if known.is_closed:  # somebody has cleared the work, and it was opened anew
            self._windows.say(peer, TasksFailed(known.id, (Range(max(lo, known.said), hi),), CANCELLED))
            return
        if lo < known.said or hi > MAX_INDEX:
            raise ProtocolError(f"calls [{lo}, {hi}) of batch {message.batch} do not follow {known.said}")
        if any(task.batch == known.id and task.index >= index for index, tasks in needs.items() for task in tasks):
            raise ProtocolError(f"a task of batch {message.batch} needs itself, or one that follows it")
        if known.function not in self.functions:
            raise ProtocolError(f"the function of batch {message.batch} is damaged on disk: open another batch")
        if lo - known.said > MOST_LEFT_OUT:
            raise ProtocolError(f"calls [{lo}, {hi}) of batch {message.batch} are too far behind {known.said}")
        left_out = Range(known.said, lo)
        known.said = hi
        self._windows.want(peer, known.id.n, ((lo, hi),))
        self._write(message, frames, peer)
        if left_out.lo < left_out.hi:
            self._write(TasksFailed(known.id, (left_out,), LEFT_OUT), (), peer)
