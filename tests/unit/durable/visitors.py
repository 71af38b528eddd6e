"""Clients of one durable work that do by chance what real ones may do: each has a real ledger, and may die with it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from scaler.core.events import Event, PeerJoined, Received, Send
from scaler.ids import BatchId, Epoch, Incarnation, TaskId
from scaler.ledger import events as ledger
from scaler.ledger.ledger import Ledger
from scaler.protocol import Acknowledged, BatchOptions, Cause, ClearClient, Failure, RunSpan, WorkBatches, WorkOpened
from scaler.protocol.columns import VALUE, Frame
from scaler.protocol.inputs import Dependencies
from tests.unit.core.examples import CODES, F, G, arguments, ranges
from tests.unit.core.needs import Needs, value_of

NAME = "nightly"
ROOM_BYTES = 1 << 20
OPTIONS = (
    BatchOptions(name="f", durable=NAME),
    BatchOptions(name="f", durable=NAME, priority=1, retries=2, retry_delay_s=0.05),
)


@dataclass
class History:
    """What is known of all that was submitted to the work, by whomever."""

    sizes: dict[BatchId, int] = field(default_factory=dict)
    #: batches that somebody may have cleared
    cleared: set[BatchId] = field(default_factory=set)
    cancelled: set[TaskId] = field(default_factory=set)
    #: so many of the first tasks of each are on disk, as the scheduler has said
    acknowledged: dict[BatchId, int] = field(default_factory=dict)
    outcomes: dict[TaskId, tuple[bool, str]] = field(default_factory=dict)

    def ended(self, task: TaskId, outcome: tuple[bool, str]) -> None:
        """Somebody was told how a task has ended: everybody is told the same."""
        if task.batch not in self.cleared:
            assert self.outcomes.setdefault(task, outcome) == outcome, (task, self.outcomes[task], outcome)


class WorkNeeds(Needs):
    """What tasks of the work need."""

    def __init__(self, chance: Random, cancelled: set[TaskId]) -> None:
        super().__init__(chance)
        self._cancelled = cancelled

    def check(self, message: RunSpan, frames: tuple[Frame, ...]) -> None:
        """Those that were cancelled before they were sent have lost what they need, and may begin nevertheless."""
        if not any(TaskId(message.batch, index) in self._cancelled for index in range(message.lo, message.hi)):
            super().check(message, frames)

    def draw_from(self, candidates: list[TaskId], batch: BatchId, lo: int, hi: int) -> Dependencies:
        """[lo, hi) are submitted: which of them need some of those that their client knows."""
        for index in range(lo, hi):
            if candidates and self._chance.random() < 0.3:
                count = min(len(candidates), self._chance.choice((1, 1, 2)))
                self._needs[TaskId(batch, index)] = tuple(self._chance.sample(candidates, count))
        return self.of(batch, lo, hi)


@dataclass
class Submitted:
    """A batch of one visitor."""

    options: BatchOptions
    size: int = 0
    is_closed: bool = False


class Visitor:
    """One client process at the work, from its start to its death."""

    def __init__(self, peer: Incarnation, chance: Random, needs: WorkNeeds, history: History) -> None:
        self.peer = peer
        self._chance = chance
        self._needs = needs
        self._history = history
        self.ledger = Ledger(work=NAME)
        self.is_linked = False
        self.inbox: deque[Send] = deque()
        self.batches: dict[BatchId, Submitted] = {}
        self.listed: dict[BatchId, int] = {}
        self.resolved: set[TaskId] = set()
        self.waited: set[TaskId] = set()
        #: the tasks that its calls may need
        self._known: list[TaskId] = []
        self._work = Incarnation(0)
        self._next = peer << 8

    # ---- its link

    def join(self, now: float) -> list[Event]:
        """Come, for the first time or again, without anything of an earlier link."""
        self.is_linked = True
        self.inbox.clear()
        joined = PeerJoined(self.peer, "client", "", "client")
        return [joined, *self._handle([ledger.LinkUp(Epoch(1), resumed=False)], now)]

    def cut(self, now: float) -> None:
        """Its link is lost, with what was on its way."""
        self.is_linked = False
        self.inbox.clear()
        self._handle([ledger.LinkDown()], now)

    def hear(self, now: float, most: int) -> list[Event]:
        """Take in some of what it was told."""
        said: list[Event] = []
        for _ in range(min(most, len(self.inbox))):
            one = self.inbox.popleft()
            said += self._handle([ledger.Received(one.message, one.frames)], now)
        return [*said, *self._handle([], now)]

    def _handle(self, events: list[ledger.Event], now: float) -> list[Event]:
        said: list[Event] = []
        for command in self.ledger.handle(events, now, ROOM_BYTES):
            match command:
                case ledger.Say(message, frames):
                    assert self.is_linked
                    if isinstance(message, ClearClient):
                        self._history.cleared |= self._history.sizes.keys() - self.batches.keys()
                    said.append(Received(self.peer, message, frames))
                case ledger.Resolve(batch, column):
                    for index in range(column.lo, column.hi):
                        self._ended(TaskId(batch, index), column.one(index))
                case ledger.Reject(batch, parts, failure):
                    self._rejected([TaskId(batch, index) for lo, hi in parts for index in range(lo, hi)], failure)
                case ledger.Learned(message):
                    said += self._learn(message, now)
        return said

    def _ended(self, task: TaskId, outcome: tuple[int, tuple[object, ...]]) -> None:
        self._resolve(task)
        status, data = outcome
        if status == VALUE:
            assert b"".join(map(bytes, data)) == value_of(task)  # type: ignore[arg-type]  # frames
        self._history.ended(task, (status == VALUE, ""))

    def _rejected(self, tasks: Iterable[TaskId], failure: Failure) -> None:
        for task in tasks:
            self._resolve(task)
            if failure.cause is Cause.OBJECT_LOST and not failure.task:
                assert task in self._history.cancelled or task.batch in self._history.cleared, (task, failure)
            else:
                self._history.ended(task, (False, failure.text))

    def _resolve(self, task: TaskId) -> None:
        assert task in self.waited, task
        assert task not in self.resolved, task
        self.resolved.add(task)

    def _learn(self, message: object, now: float) -> list[Event]:
        match message:
            case WorkBatches(batches) if not self._work:
                self.listed |= {one.batch: one.appended for one in batches}
            case WorkOpened(_, incarnation, refused):
                assert not refused
                assert self._work in {0, incarnation}
                is_new, self._work = not self._work, incarnation
                if is_new and self._chance.random() < 0.7:
                    return self.attach(now)
            case Acknowledged(batch, hi):
                acknowledged = self._history.acknowledged
                acknowledged[batch] = max(acknowledged.get(batch, 0), hi)
        return []

    # ---- its caller

    def attach(self, now: float) -> list[Event]:
        """Wait for all that the work had when it was opened."""
        options = OPTIONS[0]
        events = [ledger.BatchAttached(batch, F, options, appended) for batch, appended in self.listed.items()]
        for batch, appended in self.listed.items():
            tasks = [TaskId(batch, index) for index in range(appended)]
            self.waited.update(tasks)
            self._known += tasks[-4:]
        return self._handle([*events], now)

    def act(self, now: float) -> list[Event]:
        """One thing a caller may do."""
        if not self._work:
            return []
        draw = self._chance.random()
        if draw < 0.01:
            return self._clear(now)
        batch = self._chance.choice([*self.batches, None])
        if batch is None:
            return self._open(now) if len(self.batches) < 4 else []
        if draw < 0.15:
            return self._cancel(batch, now)
        if self.batches[batch].is_closed:
            return []
        return self.close(batch, now) if draw < 0.3 else self._append(batch, now)

    def _open(self, now: float) -> list[Event]:
        name = BatchId(self._work, self._next)
        self._next += 1
        function, options = self._chance.choice((F, G)), self._chance.choice(OPTIONS)
        self.batches[name] = Submitted(options)
        self._history.sizes[name] = 0
        opened = ledger.BatchOpened(name, function, options)
        said = self._handle([ledger.FunctionPickled(function, CODES[function]), opened], now)
        return [*said, *self._append(name, now)]

    def _append(self, name: BatchId, now: float) -> list[Event]:
        batch = self.batches[name]
        lo, hi = batch.size, batch.size + self._chance.choice((1, 1, 3, 20))
        batch.size = self._history.sizes[name] = hi
        needs = self._needs.draw_from(self._known[-12:], name, lo, hi)
        tasks = [TaskId(name, index) for index in range(lo, hi)]
        self._known += tasks
        self.waited.update(tasks)
        return self._handle([ledger.TasksAppended(name, arguments(lo, hi), needs)], now)

    def close(self, name: BatchId, now: float) -> list[Event]:
        """No more calls of one."""
        self.batches[name].is_closed = True
        return self._handle([ledger.BatchClosed(name)], now)

    def _cancel(self, name: BatchId, now: float) -> list[Event]:
        lo = self._chance.randrange(self.batches[name].size)
        hi = min(self.batches[name].size, lo + self._chance.choice((1, 2, 9)))
        tasks = {TaskId(name, index) for index in range(lo, hi)}
        self._history.cancelled |= tasks
        if self._chance.random() < 0.3:
            return self._handle([ledger.CancelAsked(name, ranges((lo, hi)))], now)
        self.waited -= tasks - self.resolved
        return self._handle([ledger.Unwanted(name, ranges((lo, hi)))], now)

    def _clear(self, now: float) -> list[Event]:
        self._history.cleared |= self._history.sizes.keys()
        self.batches.clear()
        self.waited &= self.resolved
        return self._handle([ledger.ClearAsked()], now)

    def end(self, now: float) -> list[Event]:
        """Submit nothing more."""
        return [event for name, one in self.batches.items() if not one.is_closed for event in self.close(name, now)]

    @property
    def is_done(self) -> bool:
        """Whether it waits for nothing."""
        return not self.inbox and not self.ledger.unresolved and self.ledger.next_deadline() is None
