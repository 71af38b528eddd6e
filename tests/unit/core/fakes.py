"""Clients and clusters that do by chance what real ones may do, and a world that passes on what is said."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, Command, CutOff, Event, PeerJoined, PeerLost, Received, RoomFound, Send, Slept
from scaler.core.flow import size_of
from scaler.core.scheduler import SchedulerCore
from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, RunId
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    ClearClient,
    DefineFunction,
    Delivered,
    Forget,
    FromScheduler,
    Goodbye,
    NeedFunction,
    NeedResults,
    NeedTasks,
    Results,
    Resumed,
    Retract,
    Returned,
    ReturnReason,
    RunSpan,
    TasksFailed,
)
from scaler.ranges import RangeSet, joined
from tests.unit.core.examples import (
    CODES,
    DIED,
    FINE,
    MISTAKE,
    NAMES,
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

    def __init__(self, peer: Incarnation, chance: Random) -> None:
        self.peer = peer
        self.chance = chance
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
        return self._append(batch, self.chance.choice((1, 3, 20)))

    def _open(self) -> list[Event]:
        name = BatchId(self.peer, next(self._numbers))
        batch = FakeBatch(name, self.chance.choice(OPTIONS), self.chance.choice((F, G)))
        self.batches[name] = batch
        return [opens(name, batch.options, batch.function), *self._append(batch, self.chance.choice((1, 8)))]

    def _append(self, batch: FakeBatch, number: int) -> list[Event]:
        lo, batch.size = batch.size, batch.size + number
        batch.unresolved.add(lo, batch.size)
        return [appends(batch.name, lo, batch.size)]

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
            case Results(batch, lo, hi):
                # one message may exceed the room, in parts
                assert self.unread_bytes < WINDOW_BYTES or isinstance(command.frames[0], memoryview)
                self.unread_bytes += size_of(command.frames)
                self._resolve(batch, lo, hi)
            case TasksFailed(batch, parts):
                for lo, hi in parts:
                    self._resolve(batch, lo, hi)
            case NeedTasks(batch, lo, hi):
                known = self.batches.get(batch)
                wanted = known.unresolved.within(lo, hi) if known else []
                return [appends(batch, *part) for part in wanted]
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


@dataclass
class FakeRun:
    name: RunId
    batch: BatchId
    function: FunctionId
    queued: RangeSet
    running: list[int] = field(default_factory=list)
    finished: dict[int, tuple[int, bytes]] = field(default_factory=dict)


class FakeCluster:
    """Runs what it is sent, in any order; answers at once or later."""

    def __init__(self, peer: Incarnation, chance: Random, ends_in_s: float | None) -> None:
        self.peer = peer
        self.chance = chance
        self.tags = ("gpu",) if peer % 2 else ()
        self.ends_in_s = ends_in_s
        self.is_linked = False
        self.runs: dict[RunId, FakeRun] = {}
        self.functions: set[FunctionId] = set()
        self.inbox: list[FromScheduler] = []
        self.slots = self.chance.choice((1, 2, 4))

    def join(self) -> list[Event]:
        """Come, or come back with all that is still here; results that were not delivered follow."""
        self.is_linked = True
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
        return said

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
        for run in list(self.runs.values()):
            said += self._finish_some(run)
        if self.chance.random() < 0.05:
            said += self._give_back()
        for name in list(self.runs):
            self._settle(name)
        return said

    def _finish_some(self, run: FakeRun) -> Iterator[Event]:
        for index in list(run.running):
            if self.chance.random() < 0.6:
                run.running.remove(index)
                run.finished[index] = self.chance.choice(ENDINGS)
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

    def _do(self, message: FromScheduler) -> list[Event]:
        match message:
            case RunSpan(name, batch, lo, hi, function):
                assert name not in self.runs
                self.runs[name] = FakeRun(name, batch, function, RangeSet(((lo, hi),)))
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


class World:
    """One scheduler after another, and peers that come, go and come back."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.now = 0.0
        self.epoch = 0
        self.early_bytes = chance.choice((0, 5_000, 1 << 20))
        self.events: list[Event] = []
        self.clients = [FakeClient(Incarnation(peer), chance) for peer in (1, 2)]
        self.clusters = [
            FakeCluster(peer, chance, chance.choice((None, None, 30.0)) if peer != min(NAMES) else None)
            for peer in NAMES
        ]
        self.commands: list[Command] = []
        #: peers of a test that may break the rules
        self.strangers: set[Incarnation] = set()
        self._start()

    def _start(self) -> None:
        self.epoch += 1
        self.core = SchedulerCore(
            CoreConfig(recovery_s=0.3, recovery_max_s=0.5, early_bytes=self.early_bytes, window_bytes=WINDOW_BYTES),
            Epoch(self.epoch),
        )
        self.events.clear()
        for peer in (*self.clients, *self.clusters):
            peer.is_linked = False

    def turn(self) -> None:
        """Let the core handle what has come up and pass on what it says."""
        self.now += self.chance.choice((0.0, 0.001, 0.02, 0.15))
        events, self.events = self.events, []
        self.commands = self.core.handle(events, self.now)
        self.core.check()
        heard = {peer.peer: peer for peer in (*self.clients, *self.clusters)}
        for command in self.commands:
            assert not isinstance(command, CutOff) or command.peer in self.strangers, command
            if isinstance(command, Send | AwaitRoom) and command.peer not in self.strangers:
                peer = heard[command.peer]
                if isinstance(peer, FakeClient):
                    self.events += peer.hear(command)
                elif isinstance(command, Send) and peer.is_linked:
                    peer.inbox.append(command.message)
        self.events += [event for one in self.clients if one.is_linked for event in one.finds_room()]

    def act(self, *, faults: bool = True) -> None:
        """Whatever may happen; `faults` are the loss of peers and of the scheduler itself."""
        chance = self.chance
        for peer in (*self.clients, *self.clusters):
            if not peer.is_linked:
                if chance.random() < 0.2:
                    self.events += peer.join()
            elif faults and chance.random() < 0.01:
                self._lose(peer)
            elif chance.random() < 0.7:
                self.events += peer.act()
            if isinstance(peer, FakeClient) and peer.is_linked and chance.random() < 0.3:
                self.events += peer.reads()
        for one in self.clients:
            if one.is_linked and chance.random() < 0.5:
                self.events += one.acknowledge()
        if chance.random() < 0.01:
            self.events.append(Slept(0.2))
        if faults and chance.random() < 0.01:
            self._start()

    def _lose(self, peer: FakeClient | FakeCluster) -> None:
        peer.is_linked = False
        if isinstance(peer, FakeCluster) and self.chance.random() < 0.3:
            self.events.append(Received(peer.peer, Goodbye("it was told to")))
            peer.runs.clear()
            peer.functions.clear()
        self.events.append(PeerLost(peer.peer, "cut"))
        if isinstance(peer, FakeCluster) and self.chance.random() < 0.5:
            peer.runs.clear()
            peer.functions.clear()

    def calm(self) -> None:
        """From now on all goes well: every call is answered, and nothing is left over."""
        for one in self.clients:
            for batch in one.batches.values():
                if not batch.is_closed:
                    batch.is_closed = True
                    self.events += [closes(batch.name, batch.size)] if one.is_linked else []
        for _ in range(400):
            for peer in (*self.clients, *self.clusters):
                if not peer.is_linked:
                    self.events += peer.join()
                elif isinstance(peer, FakeCluster):
                    self.events += peer.act()
                else:
                    self.events += [*peer.acknowledge(), *peer.reads()]
            self.turn()
            if self._is_done():
                return
        raise AssertionError([(one.peer, one.batches) for one in self.clients])

    def _is_done(self) -> bool:
        return (
            not any(one.batches for one in self.clients)
            and not self.core.managers.tasks.by_serial
            and not any(one.runs for one in self.clusters)
        )
