"""The scheduler as a function of its past: events in, commands out.

Every event is taken in first, by the part that knows it; then, once a turn, what is due is done, work is given out and
levelled, and all that was decided goes out in order.
"""

from collections.abc import Iterable
from typing import assert_never

from scaler.core.admission import Admission
from scaler.core.checks import check_all
from scaler.core.children import Children
from scaler.core.clients import ClientManager, ClientRecord
from scaler.core.config import CoreConfig
from scaler.core.events import (
    Command,
    Event,
    PassMade,
    PeerJoined,
    PeerLost,
    Received,
    RoomFound,
    Slept,
    Stop,
    StopAsked,
    WatchersChanged,
)
from scaler.core.everywhere import Everywhere
from scaler.core.explanation import Explanations
from scaler.core.flow import Flow
from scaler.core.functions import FunctionTable
from scaler.core.managers import Managers
from scaler.core.membership import Membership
from scaler.core.object_requests import AboutObjects, ObjectRequests
from scaler.core.objects import ObjectManager
from scaler.core.outcomes import Outcomes
from scaler.core.placement import Placement
from scaler.core.recovery import Recovery
from scaler.core.requests import Requests
from scaler.core.results import Reports
from scaler.core.retraction import Retraction
from scaler.core.spans import Wait
from scaler.core.tasks import TaskManager
from scaler.core.unbegun import Unbegun
from scaler.core.workers import Cluster, WorkerManager
from scaler.errors import ProtocolError
from scaler.ids import Epoch, Incarnation
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    ChildSays,
    ClearClient,
    CloseBatch,
    ClusterReady,
    ClusterStatistics,
    Confirmed,
    DefineFunction,
    Drain,
    ExplainTask,
    FromClient,
    FromCluster,
    Goodbye,
    Holding,
    InputKnown,
    NeedFunction,
    OpenBatch,
    Output,
    PeerPass,
    Resume,
    Resumed,
    RetractAnswered,
    Returned,
    Running,
    ShutdownAnswer,
    ShutdownScheduler,
    SpanResult,
    Taken,
    WorkerDied,
)
from scaler.protocol.columns import Frame

_PROTECTED = "this scheduler is protected: only its operator may stop it, or any client if it runs with --no-protected"


class SchedulerCore:
    """One scheduler; the shell feeds it and performs what it asks for."""

    def __init__(self, config: CoreConfig, epoch: Epoch) -> None:
        self.config = config
        self.managers = managers = Managers(
            config,
            TaskManager(epoch),
            WorkerManager(config),
            ClientManager(config.window_bytes),
            FunctionTable(config.idle_function_bytes),
            ObjectManager(),
        )
        self._flow = flow = Flow(managers)
        self._outcomes = outcomes = Outcomes(managers, flow)
        self._everywhere = everywhere = Everywhere(managers, outcomes, flow)
        self._placement = placement = Placement(managers, outcomes, everywhere)
        self._retraction = retraction = Retraction(managers)
        unbegun = Unbegun(managers, outcomes, retraction)
        self._reports = reports = Reports(managers, outcomes, flow, unbegun)
        self._recovery = recovery = Recovery(managers, outcomes, reports, retraction)
        self._objects = objects = ObjectRequests(managers, lambda: recovery.absent_at)
        self._requests = Requests(managers, outcomes, placement, unbegun, objects)
        self._membership = membership = Membership(managers, outcomes, recovery, everywhere, objects)
        self._children = Children(managers, membership, recovery, reports, everywhere)
        self._explanations = Explanations(managers)
        self._admission = Admission(managers)

    def handle(self, events: Iterable[Event], now: float) -> list[Command]:
        """What happened since, in order; what to do about it, in order."""
        self._recovery.start(now)
        for event in events:
            self._take_in(event, now)
        return self._decide(now)

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        return self.managers.timers.next_deadline()

    def check(self) -> None:
        """Every invariant, the slow way."""
        check_all(self.managers)
        self._recovery.check()
        self._everywhere.check()
        self._children.check()
        self._objects.check()

    # ---- events

    def _take_in(self, event: Event, now: float) -> None:
        match event:
            case Received(peer, message, frames):
                try:
                    self._received(peer, message, frames, now)
                except ProtocolError as error:
                    self.managers.outbox.cut_off(peer, str(error))
                    self._membership.left(peer, "it broke the rules", said_goodbye=False)
            case RoomFound(peer, room_bytes):
                self._flow.found(peer, room_bytes, now)
            case PeerJoined(peer, role, name, _, address):
                self._membership.joined(peer, role, name, address, now)
                if role != "worker":
                    self._admission.joined(peer)
            case PeerLost(peer, reason):
                self._membership.left(peer, reason, said_goodbye=False)
            case Slept(seconds):
                self.managers.timers.shift(seconds)
                self._recovery.shift(seconds)
                self._children.shift(seconds)
            case PassMade(public, secret):
                self._objects.admit(PeerPass(public, secret))
            case WatchersChanged(watched):
                self._membership.watched(watched=watched)
            case StopAsked(reason):
                self._stop(reason)
            case _:
                assert_never(event)

    def _received(
        self, peer: Incarnation, message: FromClient | FromCluster, frames: tuple[Frame, ...], now: float
    ) -> None:
        if peer not in self.managers.outbox.peers:
            return  # it was let out in this turn
        cluster = self.managers.workers.clusters.get(peer)
        if cluster is not None:
            self._from_cluster(cluster, message, frames, now)  # type: ignore[arg-type]  # the decoder's direction says so
        else:
            client = self.managers.clients.clients[peer]
            self._from_client(client, message, frames, now)  # type: ignore[arg-type]  # the decoder's direction says so

    def _from_client(self, client: ClientRecord, message: FromClient, frames: tuple[Frame, ...], now: float) -> None:
        requests = self._requests
        match message:
            case AppendTasks():
                requests.append(client, message, frames)
            case Taken():
                requests.taken(client, message)
            case OpenBatch():
                requests.open(client, message, now)
            case CloseBatch():
                requests.close(client, message)
            case InputKnown():
                requests.input_known(client, message, frames)
            case DefineFunction():
                requests.define(message, frames)
            case CancelTasks():
                requests.cancel(client, message)
            case Resume():
                self._recovery.resume(client, message, now)
            case Resumed():
                self._recovery.resumed(client)
                self._objects.resumed(now)
            case ClearClient():
                requests.clear(client)
            case ShutdownScheduler():
                self._shut_down(client)
            case ExplainTask():
                self._explanations.ask(client, message.task, now)
            case _:
                self._from_any(client.peer, message, frames, now)

    def _from_cluster(self, cluster: Cluster, message: FromCluster, frames: tuple[Frame, ...], now: float) -> None:
        reports = self._reports
        match message:
            case SpanResult():
                if self._everywhere.keeps(cluster, message, frames):
                    reports.running(cluster, message.running, now)
                elif not self._recovery.keeps(cluster, message, frames):
                    reports.finished(cluster, message, frames, now)
            case Running():
                reports.running(cluster, message.running, now)
            case Returned():
                if not self._everywhere.keeps(cluster, message) and not self._recovery.keeps(cluster, message):
                    reports.returned(cluster, message, now)
            case RetractAnswered():
                reports.retract_answered(cluster, message)
            case Confirmed():
                reports.confirmed(cluster, message)
            case ChildSays():
                self._from_child(cluster, message, frames, now)
            case ClusterReady():
                self._membership.described(cluster, message, now)
            case Holding():
                self._recovery.holding(cluster, message, now)
            case NeedFunction():
                self._requests.need_function(cluster, message.function, message.of)
            case ClusterStatistics():
                cluster.statistics = message
            case Output(viewer):
                if viewer in self.managers.clients.clients:
                    self.managers.outbox.send(viewer, message, frames)
            case WorkerDied():
                fields = (("cluster", cluster.name), ("worker", message.worker), ("exit_code", message.exit_code))
                self.managers.outbox.note("warning", "a worker died", *fields, ("reason", message.text))
            case _:
                self._from_any(cluster.peer, message, frames, now)

    def _from_child(self, cluster: Cluster, message: ChildSays, frames: tuple[Frame, ...], now: float) -> None:
        child = self._children.speaker(cluster, message, now)
        if child is not None:
            try:
                self._from_client(child, message.message, frames, now)
            except ProtocolError as error:
                self._children.broke_rules(child, str(error))

    def _from_any(
        self, peer: Incarnation, message: FromClient | FromCluster, frames: tuple[Frame, ...], now: float
    ) -> None:
        if isinstance(message, Goodbye):
            self._membership.left(peer, message.reason, said_goodbye=True)
        elif isinstance(message, AboutObjects):
            self._objects.said(peer, message, frames, now)
        else:
            raise ProtocolError(f"a {type(message).__name__} is not for peer {peer:016x} to send")

    # ---- the end

    def _shut_down(self, client: ClientRecord) -> None:
        outbox = self.managers.outbox
        if client.parent is not None:
            outbox.send(client.peer, ShutdownAnswer("a task may not stop the scheduler that has it run"))
            return
        if self.config.is_protected and client.role != "operator":
            outbox.send(client.peer, ShutdownAnswer(_PROTECTED))
            return
        outbox.send(client.peer, ShutdownAnswer())
        for peer in self.managers.workers.clusters:
            outbox.send(peer, Drain(0.0))
        self._stop(f"client {client.peer:016x} asked for it")

    def _stop(self, reason: str) -> None:
        outbox = self.managers.outbox
        for peer in outbox.peers:
            outbox.send(peer, Goodbye(reason))
        outbox.add(Stop(reason))

    # ---- once a turn

    def _decide(self, now: float) -> list[Command]:
        managers = self.managers
        self._recovery.release(now)
        self._objects.release(now)
        self._end_backoffs(now)
        is_all_told = self._outcomes.dependents.tell()
        self._everywhere.tick()
        self._placement.place(now)
        self._retraction.balance(now)
        self._flow.tick(now)
        self._children.look(now)
        self._reports.tell_began(now)
        self._membership.tell_readiness()
        self._admission.tick()
        is_all_told &= self._explanations.tell(now)
        managers.timers.again_at = None if is_all_told else now
        if managers.tasks.watched:
            managers.outbox.publish(managers.tasks.watched)
            managers.tasks.watched = []
        return managers.outbox.flush()

    def _end_backoffs(self, now: float) -> None:
        for batch, index in self.managers.timers.ended_backoffs(now):
            span = batch.spans.at(index)
            if span is not None and span.wait is Wait.BACKOFF:
                self._outcomes.ready(batch, index, index + 1)
