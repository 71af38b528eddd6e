"""Clients and clusters that do by chance what real ones may do, clients inside tasks of theirs among them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

import msgspec

from scaler.core.events import AwaitRoom, Event, PeerJoined, Received, RoomFound, Send
from scaler.core.flow import size_of
from scaler.core.nesting import Nesting, below
from scaler.ids import BatchId, FunctionId, Incarnation, RunId, TaskId
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    ChildSays,
    ClearClient,
    DefineFunction,
    Delivered,
    Forget,
    Goodbye,
    NeedFunction,
    NeedInputs,
    NeedResults,
    NeedTasks,
    Results,
    Resumed,
    Retract,
    Returned,
    ReturnReason,
    RunSpan,
    TasksFailed,
    TellChild,
)
from scaler.protocol.columns import Frame, ResultColumn
from scaler.ranges import RangeSet, joined
from tests.unit.core.examples import (
    CODES,
    DIED,
    FINE,
    MISTAKE,
    TRY_AGAIN,
    F,
    G,
    answers,
    appends,
    begins,
    cancels,
    client,
    closes,
    confirms,
    finishes,
    held,
    holds,
    opens,
    outcomes,
    ready,
    resumes,
    takes,
)
from tests.unit.core.needs import Needs, ending

OPTIONS = (
    BatchOptions(),
    BatchOptions(priority=1, retries=2, retry_delay_s=0.05),
    BatchOptions(tag="gpu", retries=1, retry_delay_s=0.0),
    BatchOptions(resources=(("licence", 1.0),)),
    BatchOptions(everywhere=True, priority=9),
)
#: a few results
WINDOW_BYTES = 500
ENDINGS = (FINE,) * 12 + (DIED, TRY_AGAIN, MISTAKE)


@dataclass
class FakeBatch:
    name: BatchId
    options: BatchOptions
    function: FunctionId
    unresolved: RangeSet = field(default_factory=RangeSet)
    size: int = 0
    is_closed: bool = False


class FakeClient:
    """Resolves each call once, and expects of one scheduler to hear of it once."""

    def __init__(self, peer: Incarnation, chance: Random, needs: Needs, nesting: Nesting | None = None) -> None:
        self.peer = peer
        self.chance = chance
        self.needs = needs
        self.nesting = nesting
        self.batches: dict[BatchId, FakeBatch] = {}
        self.is_linked = False
        self.resolved = 0
        #: the room that is awaited on its link, and how much of the window is taken
        self.awaited: int | None = None
        self.unread_bytes = 0
        #: what this link brought so far
        self.told: dict[BatchId, RangeSet] = {}
        self.taken: list[Event] = []
        self._numbers = count(1)

    def join(self) -> list[Event]:
        self.is_linked = True
        self.told.clear()
        self.taken.clear()
        self.awaited = None
        self.unread_bytes = 0
        said = [client(self.peer)]
        for batch in list(self.batches.values()):
            unresolved = batch.unresolved.ranges()
            if batch.is_closed and not unresolved:
                del self.batches[batch.name]
                continue
            size = batch.size if batch.is_closed else None
            said.append(resumes(batch.name, size, *unresolved, options=batch.options, function=batch.function))
        return [*said, Received(self.peer, Resumed())]

    def act(self) -> list[Event]:
        """One thing a client may do."""
        batch = self.chance.choice([*self.batches.values(), None])
        if batch is None:
            return self._open() if len(self.batches) < 4 else []
        if batch.is_closed or self.chance.random() < 0.2:
            return self._cancel(batch)
        if self.chance.random() < 0.3:
            batch.is_closed = True
            return [closes(batch.name, batch.size)]
        return self._append(batch, self.chance.choice((1, 2) if self.nesting is not None else (1, 3, 20)))

    def _open(self) -> list[Event]:
        name = BatchId(self.peer, next(self._numbers))
        options = self.chance.choice(OPTIONS)
        if self.nesting is not None:
            parent, depth, root, _ = self.nesting
            options = msgspec.structs.replace(options, everywhere=False, parent=parent, depth=depth, root=root)
        batch = FakeBatch(name, options, self.chance.choice((F, G)))
        self.batches[name] = batch
        number = self.chance.choice((1, 2) if self.nesting is not None else (1, 8))
        return [opens(name, batch.options, batch.function), *self._append(batch, number)]

    def _append(self, batch: FakeBatch, number: int) -> list[Event]:
        lo, batch.size = batch.size, batch.size + number
        batch.unresolved.add(lo, batch.size)
        # what every worker calls neither needs others nor is needed
        needs = {} if batch.options.everywhere else self.needs.draw(batch.name, lo, batch.size)
        return [appends(batch.name, lo, batch.size, needs)]

    def _cancel(self, batch: FakeBatch) -> list[Event]:
        unresolved = batch.unresolved.ranges()
        if not unresolved or self.chance.random() < 0.8:
            return []
        lo, hi = self.chance.choice(unresolved)
        return [cancels(batch.name, (lo, min(hi, lo + 2)))]

    def hear(self, command: Send | AwaitRoom) -> list[Event]:
        """What the scheduler says to it, or wants to know of its link."""
        if not self.is_linked:
            return []
        if isinstance(command, AwaitRoom):
            assert self.awaited is None
            self.awaited = command.room_bytes
            return []
        match command.message:
            case Results(batch, lo, hi, base, place):
                # one message may exceed the room, in parts; what is passed on by a task that failed has no place
                assert self.unread_bytes < WINDOW_BYTES or isinstance(command.frames[0], memoryview) or not place
                self.unread_bytes += size_of(command.frames)
                self.needs.learn(batch, ResultColumn.from_frames(lo, hi, base, command.frames))
                self._resolve(batch, lo, hi)
            case TasksFailed(batch, parts, failure):
                for lo, hi in parts:
                    self.needs.learn_failed(batch, lo, hi, failure)
                    self._resolve(batch, lo, hi)
            case NeedInputs(tasks):
                return self.needs.tell(tasks)
            case NeedTasks(batch, lo, hi):
                known = self.batches.get(batch)
                wanted = known.unresolved.within(lo, hi) if known else []
                return [appends(batch, *part, self.needs.of(batch, *part)) for part in wanted]
            case NeedFunction(function):
                return [Received(self.peer, DefineFunction(function, 4), CODES[function])]
        return []

    def _resolve(self, name: BatchId, lo: int, hi: int) -> None:
        told = self.told.setdefault(name, RangeSet())
        assert not told.intersects(lo, hi), (name, lo, hi)
        told.add(lo, hi)
        self.taken.append(takes(name, (lo, hi)))
        batch = self.batches.get(name)
        if batch is not None:
            self.resolved += sum(part.hi - part.lo for part in batch.unresolved.remove(lo, hi))

    def reads(self) -> list[Event]:
        """It has read what was sent."""
        self.unread_bytes = 0
        return self.finds_room()

    def finds_room(self) -> list[Event]:
        room = max(0, WINDOW_BYTES - self.unread_bytes)
        if self.awaited is None or room < self.awaited:
            return []
        self.awaited = None
        return [RoomFound(self.peer, room)]

    def acknowledge(self) -> list[Event]:
        taken, self.taken = self.taken, []
        for batch in list(self.batches.values()):
            if batch.is_closed and not batch.unresolved:
                del self.batches[batch.name]
        return taken

    def clear(self) -> list[Event]:
        self.batches.clear()
        self.taken.clear()
        return [Received(self.peer, ClearClient())]


class Nest:
    """The clients inside tasks of one cluster: they go with their tasks, whatever they wait for."""

    def __init__(self, peer: Incarnation, chance: Random, needs: Needs) -> None:
        self._peer = peer
        self._chance = chance
        self._needs = needs
        self._children: dict[Incarnation, tuple[FakeClient, RunId, int]] = {}
        self._numbers = count(peer * 1000)
        #: nothing more is submitted
        self.is_quiet = False

    def _pass_on(self, child: Incarnation, said: Iterable[Event]) -> list[Event]:
        _, run, index = self._children[child]
        passed_on: list[Event] = []
        for event in said:
            if isinstance(event, Received):
                message = ChildSays(child, run, index, event.message)  # type: ignore[arg-type]  # of a client
                passed_on.append(Received(self._peer, message, event.frames))
        return passed_on

    def act(self, running: "Sequence[tuple[FakeRun, int]]") -> list[Event]:
        """A task that runs may make itself a client; those that are there do something."""
        if running and not self.is_quiet and len(self._children) < 3 and self._chance.random() < 0.2:
            name = Incarnation(next(self._numbers))
            run, index = self._chance.choice(running)
            nesting = below(run.batch, index, run.options)
            self._children[name] = (FakeClient(name, self._chance, self._needs, nesting), run.name, index)
        said: list[Event] = []
        for name, (child, _, _) in self._children.items():
            said += self._pass_on(name, [*([] if self.is_quiet else child.act()), *child.acknowledge()])
        return said

    def has_inside(self, run: RunId, index: int) -> bool:
        """Whether a client is inside of a task that may submit more: it mostly waits for what it has submitted."""
        return not self.is_quiet and (run, index) in [(of, at) for _, of, at in self._children.values()]

    def hear(self, message: TellChild, frames: tuple[Frame, ...]) -> list[Event]:
        if message.child not in self._children:
            return []
        assert not isinstance(message.message, Goodbye) or "wanted no more" in message.message.reason
        if isinstance(message.message, Goodbye):  # it closes its line, which its cluster tells
            said = self._pass_on(message.child, [Received(message.child, message.message)])
            del self._children[message.child]
            return said
        child = self._children[message.child][0]
        child.reads()  # the room is that of the cluster's link
        return self._pass_on(message.child, child.hear(Send(message.child, message.message, frames)))

    def join(self) -> list[Event]:
        return [event for name, (child, *_) in self._children.items() for event in self._pass_on(name, child.join())]

    def keep(self, runs: "dict[RunId, FakeRun]") -> list[Event]:
        """Say goodbye for those whose tasks run no more."""
        said: list[Event] = []
        for name, (_, run, index) in list(self._children.items()):
            if run not in runs or index not in runs[run].running:
                said += self._pass_on(name, [Received(name, Goodbye("its task has ended"))])
                del self._children[name]
        return said


@dataclass
class FakeRun:
    name: RunId
    batch: BatchId
    function: FunctionId
    options: BatchOptions
    queued: RangeSet
    running: list[int] = field(default_factory=list)
    finished: dict[int, tuple[int, bytes]] = field(default_factory=dict)


class FakeCluster:
    """Runs what it is sent, in any order; answers at once or later."""

    def __init__(self, peer: Incarnation, chance: Random, needs: Needs, ends_in_s: float | None) -> None:
        self.peer = peer
        self.chance = chance
        self.needs = needs
        self.tags = ("gpu",) if peer % 2 else ()
        self.ends_in_s = ends_in_s
        self.is_linked = False
        self.runs: dict[RunId, FakeRun] = {}
        self.functions: set[FunctionId] = set()
        self.inbox: list[Send] = []
        self.slots = self.chance.choice((1, 2, 4))
        self.nest = Nest(peer, chance, needs)
        #: the room that is awaited on its link
        self.awaited: int | None = None

    def join(self) -> list[Event]:
        """Come, or come back with all that is still here; results that were not delivered follow."""
        self.is_linked = True
        self.awaited = None
        self.inbox.clear()
        said = [
            PeerJoined(self.peer, "worker"),
            ready(self.peer, self.slots, self.tags, (("licence", 2.0),), self.ends_in_s),
        ]
        runs = list(self.runs.values())
        if runs:
            told = [
                held(run.batch, run.name, run.queued.ranges(), tuple(run.running), joined(_ones(run.finished)))
                for run in runs
            ]
            said.append(holds(self.peer, *told))
            said += [self._result(run, lo, hi) for run in runs for lo, hi in joined(_ones(run.finished))]
        self.nest.keep(self.runs)
        return [*said, *self.nest.join()]

    def _in_slots(self) -> tuple[tuple[RunId, int], ...]:
        return tuple((run.name, index) for run in self.runs.values() for index in run.running)

    def _result(self, run: FakeRun, lo: int, hi: int) -> Event:
        column = outcomes(lo, [run.finished[index] for index in range(lo, hi)], run_us=20_000)
        return finishes(self.peer, run.name, column, *self._in_slots())

    def act(self) -> list[Event]:
        """Answer what was asked, begin what fits the slots, finish some of what runs."""
        said: list[Event] = []
        while self.inbox and self.chance.random() < 0.8:
            said += self._do(self.inbox.pop(0))
        for run in list(self.runs.values()):
            for lo, hi in run.queued.ranges():
                room = self.slots - len(self._in_slots())
                if run.function in self.functions and room > 0:
                    run.running += range(lo, min(hi, lo + room))
                    run.queued.remove(lo, min(hi, lo + room))
        if self.chance.random() < 0.5:
            said.append(begins(self.peer, *self._in_slots()))
        said += self.nest.act([(run, index) for run in self.runs.values() for index in run.running])
        if self.awaited is not None and self.chance.random() < 0.5:
            said.append(RoomFound(self.peer, self.awaited))
            self.awaited = None
        for run in list(self.runs.values()):
            said += self._finish_some(run)
        if self.chance.random() < 0.05:
            said += self._give_back()
        said += self.nest.keep(self.runs)
        for name in list(self.runs):
            self._settle(name)
        return said

    def _finish_some(self, run: FakeRun) -> Iterator[Event]:
        for index in list(run.running):
            if self.chance.random() < (0.03 if self.nest.has_inside(run.name, index) else 0.6):
                run.running.remove(index)
                run.finished[index] = ending(TaskId(run.batch, index), *self.chance.choice(ENDINGS))
                yield self._result(run, index, index + 1)

    def _give_back(self) -> Iterator[Event]:
        reason = self.chance.choice((ReturnReason.NOT_BEGUN, ReturnReason.EXPIRED, ReturnReason.BYSTANDER))
        for run in list(self.runs.values()):
            parts = run.queued.ranges() if reason is ReturnReason.NOT_BEGUN else joined(_ones(run.running))
            if parts:
                if reason is ReturnReason.NOT_BEGUN:
                    run.queued = RangeSet()
                else:
                    run.running.clear()
                yield Received(self.peer, Returned(run.name, parts, reason))

    def _do(self, command: Send) -> list[Event]:
        match message := command.message:
            case RunSpan(name, batch, lo, hi, function, options):
                assert name not in self.runs
                self.needs.check(message, command.frames)
                self.runs[name] = FakeRun(name, batch, function, options, RangeSet(((lo, hi),)))
                if function not in self.functions or self.chance.random() < 0.05:
                    self.functions.discard(function)
                    return [Received(self.peer, NeedFunction(function))]
            case DefineFunction(function):
                self.functions.add(function)
            case Retract(name, lo, hi):
                run = self.runs.get(name)
                parts = run.queued.remove(lo, hi) if run else []
                back = [Received(self.peer, Returned(name, tuple(parts), ReturnReason.RETRACTED))] if parts else []
                return [*back, answers(self.peer, name, lo, hi)]
            case CancelRun(name, parts):
                return self._stop(name, parts)
            case Delivered(runs):
                for name, parts in runs:
                    run = self.runs.get(name)
                    for lo, hi in parts if run else ():
                        for index in range(lo, hi):
                            run.finished.pop(index, None)
                    self._settle(name)
            case NeedResults(name, parts):
                run = self.runs.get(name)
                kept = RangeSet(_ones(run.finished) if run else ())
                return [self._result(run, *part) for lo, hi in parts for part in kept.within(lo, hi) if run]
            case Forget(name):
                self.runs.pop(name, None)
            case TellChild():
                return self.nest.hear(message, command.frames)
        return []

    def _stop(self, name: RunId, parts: tuple[tuple[int, int], ...]) -> list[Event]:
        run = self.runs.get(name)
        if run is None:
            return []
        stopped = [part for lo, hi in parts for part in run.queued.remove(lo, hi)]
        for index in list(run.running):
            if any(lo <= index < hi for lo, hi in parts):
                run.running.remove(index)
                stopped.append((index, index + 1))
        self._settle(name)
        return [confirms(self.peer, name, *joined(stopped))] if stopped else []

    def _settle(self, name: RunId) -> None:
        run = self.runs.get(name)
        if run is not None and not (run.queued or run.running or run.finished):
            del self.runs[name]


def _ones(indices: Iterable[int]) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in indices]
