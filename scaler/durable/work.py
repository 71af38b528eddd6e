"""One durable work: a ledger whose client is a log on disk, and whose windows are clients that come and go.

Whatever is said of it is first a row on disk, then true: calls go to the core, outcomes are acknowledged to it, and
clients are told of both, only behind that. For the core it is a client that never leaves. Pure.
"""

from collections import deque
from collections.abc import Iterable

from scaler.core import events as core
from scaler.core.requests import DURABLE
from scaler.durable.batch import WorkBatchRecord
from scaler.durable.checks import calls_in, empty_calls
from scaler.durable.events import DeleteRows, Doings, ReadEnds
from scaler.durable.intake import Intake
from scaler.durable.outlet import Outlet, Unwritten
from scaler.durable.records import CANCELLED, outcome_in
from scaler.durable.replay import Replay
from scaler.durable.rows import Row
from scaler.durable.windows import Windows
from scaler.ids import BatchId, Epoch, Incarnation, Range, TaskId
from scaler.ledger import events as ledger
from scaler.ledger.ledger import Ledger
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    DefineFunction,
    ExplainTask,
    Explanation,
    Failure,
    FromClient,
    NeedFunction,
    NeedInputs,
    OpenBatch,
    Output,
    QueueFull,
    Results,
    Resume,
    Taken,
    TasksBegan,
    TasksFailed,
    TasksWait,
    ToClient,
    WorkBatch,
    WorkBatches,
    WorkOpened,
    WorkSummary,
)
from scaler.protocol.columns import Frame
from scaler.protocol.work_messages import MOST_LISTED
from scaler.ranges import RangeSet

#: not a client
NOBODY = Incarnation(0)
#: what may wait for the disk before clients are asked to keep their calls, and the core its outcomes
MOST_UNWRITTEN_BYTES = 64 << 20
#: what the ledger may say to the core in one turn
ROOM_BYTES = 8 << 20
LOST_CALL = Failure(Cause.OBJECT_LOST, "its call, or its function, is damaged on the disk of the scheduler")
#: what a client says of batches
OfBatches = (
    DefineFunction | OpenBatch | AppendTasks | CloseBatch | CancelTasks | Taken | Resume | ExplainTask | ClearClient
)


class Work:
    """All of it; what is to be done about it is put into `doings`."""

    def __init__(self, name: str, owner: str, incarnation: Incarnation, doings: Doings) -> None:
        self.name = name
        self.owner = owner
        self.incarnation = incarnation
        self._doings = doings
        self._ledger = Ledger()
        self._now = 0.0
        self._batches: dict[int, WorkBatchRecord] = {}
        self._windows = Windows(name, incarnation, self._batches, doings)
        self._outlet = Outlet(name, doings)
        self._intake = Intake(name, incarnation, self._batches, self._windows, self._outlet.write)
        #: so many rows have been written and are true
        self._settled = 0
        #: what the core wants to know, once so many are: the answer may be on its way to the disk
        self._questions: deque[tuple[int, NeedInputs]] = deque()
        #: what is to be cancelled unless it has begun, and is not on disk
        self._unasked: dict[int, RangeSet] = {}
        #: what is on disk and waits for what those before it need from there
        self._written: deque[Unwritten] = deque()
        #: so many reads are on their way for the head of these, or of the restart
        self._reads = 0
        self._read: list[tuple[TaskId, ledger.KnownOutcome]] = []
        self._is_prepared = False
        self._restart: Replay | None = None
        self._is_full = False
        #: the core waits for room for outcomes
        self._awaited_bytes = 0
        self.has_joined = False
        self.size_bytes = 0

    def check(self) -> None:
        """Raise unless every invariant holds."""
        self._ledger.check()
        self._windows.check()

    def is_idle(self) -> bool:
        """Whether nothing is on its way, and nobody waits for anything."""
        work = self._outlet, self._written, self._reads, self._ledger.unresolved
        return not any((*work, self._intake, self._intake.cleared, self._unasked, self._windows))

    # ---- the beginning

    def begin(self, replay: Replay, now: float) -> None:
        """Its log has been read: go on with what has not ended."""
        self._now = now
        self._batches.update(replay.batches)
        self._intake.functions.update(replay.functions)
        self._restart = replay
        for n, ranges in replay.lost().items():
            self._outlet.write(TasksFailed(BatchId(self.incarnation, n), ranges, LOST_CALL), (), NOBODY)
        for task in replay.needed():
            self._read_for_itself(task)
        self._go_on()

    def _read_for_itself(self, task: TaskId) -> None:
        self._reads += 1
        self._doings.disk.append(ReadEnds(self.name, task.batch.n, task.index, task.index + 1, 0))

    def _join(self, replay: Replay) -> None:
        known, self._read = tuple(self._read), []
        restored = tuple(one for one in replay.restored() if one.function in self._intake.functions)
        self._tell([ledger.Restored(restored, self._intake.functions, known)])
        self.has_joined = True
        self._doings.core.append(core.PeerJoined(self.incarnation, DURABLE, self.name))
        self._tell([ledger.LinkUp(Epoch(0), resumed=False)])

    # ---- windows

    def opened(self, peer: Incarnation, now: float) -> None:
        """A client has come."""
        self._now = now
        self._windows.come(peer)
        listed = [
            WorkBatch(known.id, known.function, known.options.name, known.appended, len(known.ended))
            for known in self._batches.values()
            if known.appended
        ]
        for at in range(0, len(listed), MOST_LISTED):
            self._windows.say(peer, WorkBatches(tuple(listed[at : at + MOST_LISTED])))
        self._windows.say(peer, WorkOpened(self.name, self.incarnation))
        if self._is_full:
            self._windows.say(peer, QueueFull(full=True, why=self._why_full()))

    def left(self, peer: Incarnation) -> None:
        """A client is gone: nothing is given up."""
        self._windows.leave(peer)
        self._intake.left(peer)

    def drop(self, why: str) -> None:
        """It is no more."""
        self._windows.say_to_all(WorkOpened(self.name, self.incarnation, why))
        if self.has_joined:
            self._doings.core.append(core.PeerLost(self.incarnation, why))

    def summary(self) -> WorkSummary:
        """It in figures."""
        ended = sum(len(known.ended) for known in self._batches.values())
        appended = sum(known.appended for known in self._batches.values())
        return WorkSummary(
            self.name,
            max(appended - ended, 0),
            ended,
            self.size_bytes + self._outlet.written_bytes,
            self._outlet.problem,
        )

    # ---- what clients say

    def heard(self, peer: Incarnation, message: OfBatches, frames: tuple[Frame, ...], now: float) -> None:
        """A client at it said something of batches; `ProtocolError` where that cannot be."""
        self._now = now
        match message:
            case CancelTasks(unless_begun=True):
                self._ask_to_cancel(message)
            case Taken(batch, ranges):
                self._windows.taken(peer, batch.n, ranges)
            case ExplainTask():
                self._doings.core.append(core.Received(self.incarnation, message))
            case _:
                self._intake.heard(peer, message, frames)
        self._go_on()

    def _ask_to_cancel(self, message: CancelTasks) -> None:
        """Cancel what has not begun: of what is not on disk that is said once it is."""
        known = self._record(message.batch)
        if known is None:
            return
        ranges = RangeSet(message.ranges)
        self._tell([ledger.CancelAsked(message.batch, tuple(ranges.within(0, known.appended)))])
        for lo, hi in ranges.within(known.appended, known.said):
            self._unasked.setdefault(message.batch.n, RangeSet()).add(lo, hi)

    def _record(self, batch: BatchId) -> WorkBatchRecord | None:
        """A batch, unless it is about to be cleared: one of the same name that follows is another."""
        if any(batch.n in ended for ended in self._intake.cleared):
            return None
        return self._batches.get(batch.n)

    # ---- what the core says

    def told(self, message: ToClient, frames: tuple[Frame, ...], now: float) -> None:
        """The core said something to it as a client."""
        self._now = now
        match message:
            case Results(batch, lo, hi):
                self._outcome(message, frames, batch, ((lo, hi),))
            case TasksFailed(batch, ranges):
                self._outcome(message, frames, batch, ranges)
            case TasksBegan() | Explanation() | Output() | TasksWait():
                self._windows.say_to_all(message, frames)
            case NeedFunction(function):
                known = self._intake.functions.get(function)
                if known is not None:
                    define = DefineFunction(function, sum(map(len, known)))
                    self._doings.core.append(core.Received(self.incarnation, define, known))
            case NeedInputs():
                self._questions.append((self._outlet.asked, message))
            case QueueFull():
                self._tell([ledger.Received(message)])
                self._windows.say_to_all(message)
            case _:
                self._tell([ledger.Received(message, frames)])
        self._go_on()

    def _outcome(
        self,
        message: Results | TasksFailed,
        frames: tuple[Frame, ...],
        batch: BatchId,
        ranges: Iterable[Range] | tuple[tuple[int, int], ...],
    ) -> None:
        known = self._record(batch)
        if known is None or not any(known.ended.missing(lo, hi) for lo, hi in ranges):
            self._tell([ledger.Received(message, frames)])  # a repeat is acknowledged, too
        else:
            self._outlet.write(message, frames, NOBODY)

    def room(self, room_bytes: int) -> None:
        """The core asks to be told when so much more may come."""
        self._awaited_bytes = max(room_bytes, 1)
        self._go_on()

    # ---- the disk

    def persisted(self, now: float) -> None:
        """The oldest of what was to be written is on disk."""
        self._now = now
        self._written.append(self._outlet.written())
        self._go_on()

    def not_persisted(self, reason: str, now: float) -> None:
        """Nothing of what was to be written is on disk, nor will be: it is tried again."""
        self._now = now
        self._outlet.failed(reason, now)
        self._go_on()

    def tick(self, now: float) -> None:
        """Time has passed."""
        self._now = now
        self._outlet.tick(now)
        due = self._ledger.next_deadline()
        if self.has_joined and (self._ledger.has_more_to_say or (due is not None and due <= now)):
            self._tell([])

    def next_deadline(self) -> float | None:
        """When to call `tick`."""
        if self.has_joined and self._ledger.has_more_to_say:
            return self._now
        times = [time for time in (self._outlet.retry_at, self._ledger.next_deadline()) if time is not None]
        return min(times, default=None)

    # ---- what is true since it is on disk

    def _go_on(self) -> None:
        """Do what can be done now."""
        while self._written and not self._reads and (self.has_joined or self._restart is not None):
            one = self._written[0]
            if not self._settle(one):
                break
            self._written.popleft()
            self._settled += 1
        while self._questions and self._questions[0][0] <= self._settled:
            self._tell([ledger.Received(self._questions.popleft()[1])])
        if self._restart is not None and not self._reads and not self._outlet:
            replay, self._restart = self._restart, None
            self._join(replay)
            self._go_on()
            return
        self._look_whether_full()

    def _settle(self, one: Unwritten) -> bool:
        """What was said is on disk: whoever is concerned hears of it; False if something has to be read before."""
        message, frames = one.message, one.frames
        match message:
            case DefineFunction(function):
                self._tell([ledger.FunctionPickled(function, frames)])
            case OpenBatch(batch, function, options):
                pickled = self._intake.functions[function]
                self._tell([ledger.FunctionPickled(function, pickled), ledger.BatchOpened(batch, function, options)])
            case AppendTasks():
                return self._appended(message, frames, one.window)
            case CloseBatch(batch):
                self._tell([ledger.BatchClosed(batch)])
            case CancelTasks(batch, ranges):
                self._tell([ledger.Unwanted(batch, ranges)])
                self._ended(TasksFailed(batch, ranges, CANCELLED), (), ranges)
            case Results(batch) | TasksFailed(batch) if self._record(batch) is None:
                pass  # it is cleared next: the core need not know of it
            case Results(_, lo, hi):
                self._tell([ledger.Received(message, frames)])
                self._ended(message, frames, ((lo, hi),))
            case TasksFailed(_, ranges):
                self._tell([ledger.Received(message, frames)])
                self._ended(message, frames, ranges)
            case ClearClient():
                self._clear()
        return True

    def _appended(self, message: AppendTasks, frames: tuple[Frame, ...], peer: Incarnation) -> bool:
        known = self._record(message.batch)
        if known is None:  # it was cleared since
            self._is_prepared, self._read = False, []
            return True
        column, needs = calls_in(message, frames, self.incarnation)
        if needs and not self._is_prepared:
            self._is_prepared = True
            for task in {task for tasks in needs.values() for task in tasks}:
                of = self._batches.get(task.batch.n)
                if of is not None and task.index in of.ended:
                    self._read_for_itself(task)
            if self._reads:
                return False
        self._is_prepared = False
        outcomes, self._read = tuple(self._read), []
        if known.appended < column.lo:
            left_out = Range(known.appended, column.lo)
            self._tell([ledger.TasksAppended(known.id, empty_calls(*left_out)), ledger.Unwanted(known.id, (left_out,))])
        known.appended = column.hi
        self._tell([ledger.TasksAppended(message.batch, column, needs, outcomes)])
        self._windows.acknowledge(peer, known)
        if unasked := self._unasked.pop(known.id.n, None):
            self._ask_to_cancel(CancelTasks(known.id, unasked.ranges()))
        return True

    def _ended(
        self, message: Results | TasksFailed, frames: tuple[Frame, ...], ranges: Iterable[tuple[int, int]]
    ) -> None:
        """What is first on disk of a task is how it has ended."""
        known = self._record(message.batch)
        if known is not None:
            new = tuple(part for lo, hi in ranges for part in known.end(lo, hi))
            self._windows.ended(message, frames, new)

    def _clear(self) -> None:
        cleared = sorted(self._intake.cleared.popleft())
        for n in cleared:
            self._unasked.pop(n, None)
            if n not in self._batches:
                self._doings.disk.append(DeleteRows(self.name, n))
        self._windows.cleared(cleared)
        self._tell([ledger.ClearAsked()])

    def _look_whether_full(self) -> None:
        is_full = bool(self._outlet.problem) or self._outlet.waiting_bytes > MOST_UNWRITTEN_BYTES // (
            2 if self._is_full else 1
        )
        if is_full is not self._is_full:
            self._is_full = is_full
            self._windows.say_to_all(QueueFull(is_full, self._why_full() if is_full else ""))
        if self._awaited_bytes and self._outlet.waiting_bytes <= MOST_UNWRITTEN_BYTES // 2:
            self._doings.core.append(core.RoomFound(self.incarnation, max(self._awaited_bytes, ROOM_BYTES)))
            self._awaited_bytes = 0

    def _why_full(self) -> str:
        return self._outlet.problem or "what is submitted to the durable work comes faster than its disk writes"

    # ---- what is read

    def read(self, asked: ReadEnds, rows: Iterable[Row], now: float) -> None:
        """What was asked for was read; what is missing of it is damaged."""
        self._now = now
        if asked.reader:
            self._windows.read(asked, rows)
        else:
            self._read_needed(asked, rows)
        self._go_on()

    def _read_needed(self, asked: ReadEnds, rows: Iterable[Row]) -> None:
        """What became of a task that others need."""
        self._reads -= 1
        task = TaskId(BatchId(self.incarnation, asked.batch), asked.lo)
        self._read.append((task, outcome_in(task.index, rows)))

    # ---- the ledger

    def _tell(self, events: list[ledger.Event]) -> None:
        for command in self._ledger.handle(events, self._now, ROOM_BYTES):
            if isinstance(command, ledger.Say):
                said: FromClient = command.message
                self._doings.core.append(core.Received(self.incarnation, said, command.frames))
