"""The worker cluster as a function of its past: events in, commands out. It decides which worker runs what, and when.

It owns no process, socket or clock. Its parts share the runs, the pool of workers and the outbox. Every event is taken
in first; then, once a turn, work is given out, levelled and reported.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from scaler.ids import Incarnation, ObjectId
from scaler.protocol import (
    CancelRun,
    DefineFunction,
    Delivered,
    Drain,
    Failure,
    FetchChunks,
    Forget,
    FreeObjects,
    Goodbye,
    NeedResults,
    ObjectChunk,
    ObjectLocated,
    ObjectsLost,
    ParkParent,
    PeerPass,
    PrefetchObjects,
    Retract,
    RunSpan,
    TellChild,
    ToCluster,
    Watched,
)
from scaler.protocol.columns import Frame
from scaler.worker.agent_balance import Balance
from scaler.worker.agent_children import Children
from scaler.worker.agent_deaths import Deaths
from scaler.worker.agent_ending import Ending
from scaler.worker.agent_events import (
    ChildClosed,
    ChildOpened,
    ChildSaid,
    Command,
    Event,
    Harvested,
    LinkDown,
    LinkUp,
    Measured,
    MemoryPassed,
    ObjectAway,
    ObjectHere,
    ObjectRefused,
    Printed,
    Received,
    Slept,
    StartFailed,
    StopAsked,
    TookBack,
    WorkerEnded,
    WorkerStarted,
)
from scaler.worker.agent_everywhere import Everywhere
from scaler.worker.agent_fitting import Fitting
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_greeting import Greeting
from scaler.worker.agent_harvest import Harvest, Telling
from scaler.worker.agent_objects import Objects
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_output import Telling as OutputTelling
from scaler.worker.agent_parking import ParkingPlace
from scaler.worker.agent_peer_events import PeerAsked, PeerEvent, PeerGone, PeerLeft, PeerSaid, UsePass
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_result_events import PieceRead, ResultEvent, ResultGone, ResultRead
from scaler.worker.agent_retracts import Retracts
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_starts import Starts
from scaler.worker.agent_statistics import Statistics
from scaler.worker.agent_stops import Stops
from scaler.worker.agent_stored import StoredResults
from scaler.worker.agent_work import Run, Worker

__all__ = ["Agent", "AgentConfig"]


class Agent:
    """One worker cluster."""

    def __init__(self, config: AgentConfig, incarnation: Incarnation) -> None:
        self.incarnation = incarnation
        self._outbox = outbox = Outbox()
        self._functions = functions = Functions(outbox)
        self._objects = objects = Objects(outbox)
        self._stored = stored = StoredResults(incarnation, outbox)
        self._runs = runs = Runs(functions, objects, stored, outbox)
        self._pool = pool = Pool(config, outbox)
        self._giving = giving = Giving(runs, pool, Fitting(config.devices, pool), functions, outbox)
        self._everywhere = Everywhere(runs, pool, functions, giving, outbox)
        self._balance = balance = Balance(runs, pool, outbox)
        self._harvest = Harvest(runs, stored, pool)
        self._telling = Telling(pool, outbox)
        self._output = OutputTelling(config.output_lines_per_s, pool, outbox)
        self._children = Children(pool, outbox)
        self._parking = ParkingPlace(config, pool, balance, outbox)
        self._stops = Stops(runs, pool, giving, balance, outbox)
        self._retracts = Retracts(runs, pool, outbox)
        self._deaths = Deaths(config, runs, pool, giving, outbox)
        self._greeting = Greeting(config, runs, pool, functions, giving, outbox)
        self._statistics = Statistics(config, runs, pool, outbox)
        self._ending = Ending(config, runs, stored, pool, giving, balance, outbox)
        self._starts = Starts(config, pool, outbox)
        self._task_timeout_s = config.task_timeout_s
        self._place = config.place
        self._has_begun = False

    def handle(self, events: Iterable[Event], now: float) -> list[Command]:
        """What happened since, in order; what to do about it, in order."""
        if self._ending.has_ended:
            return []
        if not self._has_begun:
            self._has_begun = True
            self._ending.begin(now)
        for event in events:
            self._take_in(event, now)
        return self._decide(now)

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        if self._ending.has_ended:
            return None
        parts = (
            self._functions,
            self._giving,
            self._balance,
            self._telling,
            self._stops,
            self._parking,
            self._statistics,
            self._ending,
            self._output,
            self._starts,
        )
        due = [*[part.next_deadline() for part in parts], self._pool.next_start()]
        return min([deadline for deadline in due if deadline is not None], default=None)

    def check(self) -> None:
        """Every invariant, the slow way."""
        self._runs.check()
        self._pool.check()
        self._balance.check()
        self._children.check()
        out = dict.fromkeys(self._runs.by_id, 0)
        for worker in self._pool.workers.values():
            for ticket in worker.tickets.values():
                assert self._runs.by_id[ticket.run.id] is ticket.run
                out[ticket.run.id] += ticket.hi - ticket.next
                assert not ticket.run.queued.intersects(ticket.next, ticket.hi)
            for run, _ in worker.calls:
                out[run.id] += 1
        for run, _ in self._giving.suspects:
            out[run.id] += 1
        assert out == {name: run.out for name, run in self._runs.by_id.items()}

    # ---- events

    def _take_in(self, event: Event, now: float) -> None:
        match event:
            case Harvested():
                if (worker := self._pool.workers.get(event.worker)) is not None:
                    self._harvested(worker, event, now)
            case Received(message, frames):
                self._received(message, frames, now)
            case TookBack():
                if (worker := self._pool.workers.get(event.worker)) is not None:
                    self._pool.took_back(worker)
                    self._balance.took_back(worker, [worker.tickets[ticket] for ticket in event.tickets])
            case WorkerStarted():
                self._pool.started(self._pool.workers[event.worker], event.pid, now)
            case WorkerEnded():
                self._worker_ended(event, now)
            case StartFailed():
                self._functions.ended(event.worker)
                self._deaths.start_failed(self._pool.workers[event.worker], event, now)
                self._ending.start_failed(event, now)
            case ChildOpened() | ChildSaid() | ChildClosed():
                self._hear_child(event)
            case LinkUp():
                self._linked(event, now)
            case Printed():
                self._output.printed(event, now)
            case LinkDown():
                self._output.linked(is_linked=False)
                self._statistics.unlinked()
                self._ending.unlinked(now)
            case StopAsked():
                self._ending.stop(event.grace_s, event.reason, now)
            case Measured():
                self._statistics.measured(event)
            case MemoryPassed():
                if (worker := self._pool.workers.get(event.worker)) is not None:
                    self._deaths.memory_passed(worker, event)
            case ObjectHere() | ObjectAway() | ObjectRefused() | PieceRead() | ResultRead() | ResultGone():
                self._found(event)
            case PeerAsked() | PeerLeft() | PeerSaid() | PeerGone():
                self._hear_peer(event)
            case Slept():
                self._ending.slept(event.seconds)
            case _:
                assert_never(event)

    def _worker_ended(self, event: WorkerEnded, now: float) -> None:
        self._functions.ended(event.worker)
        self._children.ended(self._pool.workers[event.worker])
        self._deaths.ended(self._pool.workers[event.worker], event, now)
        self._stored.ended(event.worker)

    def _found(self, event: ObjectHere | ObjectAway | ObjectRefused | ResultEvent) -> None:
        match event:
            case ObjectHere(reference):
                self._runs.provided(self._objects.here(reference))
            case ObjectAway(name):
                self._objects.away(name)
            case ObjectRefused(name, text):
                self._fail(self._objects.refused(name, text))
            case PieceRead():
                (self._stored if self._is_ours(event.object) else self._objects).read(event)
            case ResultRead(name, frames):
                self._runs.handed_over(name, frames)
            case ResultGone(name, to):
                if to:
                    self._objects.unreadable(name, to)
                if self._is_ours(name):
                    self._runs.lost(name)
            case _:
                assert_never(event)

    def _is_ours(self, name: ObjectId) -> bool:
        """Whether it is the name of a result that was made here."""
        return name.owner == self.incarnation

    def _hear_peer(self, event: PeerEvent) -> None:
        match event:
            case PeerAsked(connection, wanted):
                if self._is_ours(wanted.object):
                    self._stored.asked(wanted, connection)
                else:
                    self._objects.asked(connection, wanted)
            case PeerLeft(connection):
                self._objects.left(connection)
            case PeerSaid(door, message, frames):
                if isinstance(message, ObjectChunk):
                    self._objects.heard(door, message, frames)
                else:
                    for name in message.objects:
                        self._objects.shut(door, name)
            case PeerGone(door):
                self._objects.shut(door)
            case _:
                assert_never(event)

    def _hear_child(self, event: ChildOpened | ChildSaid | ChildClosed) -> None:
        worker = self._pool.workers.get(event.worker)
        if worker is None:
            return
        match event:
            case ChildOpened():
                self._children.opened(worker, event)
            case ChildSaid():
                self._children.said(event)
            case ChildClosed():
                self._children.closed(worker, event.child)
            case _:
                assert_never(event)

    def _harvested(self, worker: Worker, event: Harvested, now: float) -> None:
        self._harvest.take_in(worker, event, now)
        if worker.children:
            self._children.seen(worker)
        self._balance.seen(worker, now)
        self._parking.seen(worker, now)
        self._stops.seen(worker, now)
        self._ending.seen(worker, now)
        self._telling.seen(worker)

    def _linked(self, event: LinkUp, now: float) -> None:
        self._ending.linked()
        self._output.linked(is_linked=True)
        self._statistics.linked(resumed=event.resumed, now=now)
        if not event.resumed:
            for run in self._everywhere.of_all():  # a scheduler that wants it begins it anew
                self._stops.forget(run.id)
            self._outbox.begin_anew()
            self._telling.begin_anew()
            self._greeting.begin_anew()
            self._objects.linked()
            self._children.linked(event.epoch)

    def _received(self, message: ToCluster, frames: tuple[Frame, ...], now: float) -> None:
        match message:
            case RunSpan():
                limited = self._limited(message)
                (self._everywhere if limited.options.everywhere else self._runs).add(limited, frames)
            case Delivered():
                for run, ranges in message.runs:
                    self._runs.delivered(run, ranges)
            case DefineFunction():
                self._runs.provided(self._functions.defined(message.function, frames))
            case Retract():
                self._retracts.ask(message)
            case CancelRun():
                self._stops.cancel(message.run, message.ranges)
            case Forget():
                self._stops.forget(message.run)
            case NeedResults(run, ranges):
                self._runs.say_again(run, ranges)
            case Drain(grace_s):
                self._ending.stop(grace_s, "the scheduler drained it", now)
            case Watched(watched):
                self._statistics.watched(watched=watched, now=now)
            case TellChild():
                self._children.told(message, frames)
            case ParkParent():
                self._children.park(message)
            case Goodbye():
                return  # the link is closed behind it, which is heard as `LinkDown`
            case ObjectChunk():
                self._objects.arrived(message, frames)
            case FreeObjects(names):
                self._objects.free(names)
            case ObjectsLost(names):
                self._fail(self._objects.lost(names))
            case ObjectLocated(name, size_bytes, doors):
                self._objects.located(name, size_bytes, doors)
            case PrefetchObjects():
                self._runs.expect(frames)
            case PeerPass():
                self._outbox.order(UsePass(message))
            case FetchChunks():
                self._stored.asked(message)
            case _:
                assert_never(message)

    def _fail(self, failed: Iterable[tuple[Run, Failure]]) -> None:
        """What these runs need cannot be had."""
        for run, failure in failed:
            self._runs.fail(run, replace(failure, place=self._place))

    def _limited(self, message: RunSpan) -> RunSpan:
        """A run whose tasks have the timeout of this cluster unless they have their own."""
        timeout_s, options = self._task_timeout_s, message.options
        if timeout_s is None or options.timeout_s is not None:
            return message
        return replace(message, options=replace(options, timeout_s=timeout_s))

    # ---- once a turn

    def _decide(self, now: float) -> list[Command]:
        self._pool.start_missing(now)
        self._parking.tick(now)
        self._stops.tick(now)
        self._ending.tick(now)
        self._stored.tick()
        self._starts.tick(now)
        self._functions.tick(now)
        self._retracts.settle()
        if not self._retracts:
            self._everywhere.give(now)
            self._giving.fill(now)
        self._balance.level(now)
        self._output.tell(now)
        self._telling.tell(now)
        self._statistics.tick(now)
        self._pool.start_missing(now)
        self._pool.ask()
        commands = self._outbox.take(self._greeting.greet(now))
        return [*commands, *self._ending.part()] if self._ending.has_ended else commands
