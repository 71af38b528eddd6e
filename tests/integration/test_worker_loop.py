"""The loop of a cluster with real workers, between an agent and a scheduler that are a few lines each."""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from scaler.ids import BatchId, Epoch, Incarnation, RunId, TicketId, WorkerId
from scaler.link import events as link
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.link.dialled import DialledConfig, DialledLink
from scaler.net.addresses import Address, IpcAddress
from scaler.net.transport import Arrived, Frame, Lost, Opened
from scaler.net.versions import our_versions
from scaler.net.zmq_dialer import Dialing
from scaler.net.zmq_listener import ZmqListener
from scaler.payload.calls import joined_column, pickle_call
from scaler.payload.functions import pickle_function
from scaler.payload.values import load_column
from scaler.protocol import BatchOptions, Goodbye, RunSpan, SpanResult
from scaler.protocol.codec import Decoder, pack
from scaler.protocol.columns import ArgumentColumn, ResultColumn
from scaler.worker import agent_events as agent
from scaler.worker.facts import WorkerFacts, ZygoteFacts
from scaler.worker.loop import Loop
from scaler.worker.peers import Peers
from scaler.worker.poller import Poller
from scaler.worker.workers import Workers

WORKER = WorkerId(0)
BATCH = BatchId(Incarnation(1), 1)
ABSOLUTE = pickle_function(abs)
PATIENCE_S = 20.0


class OneWorkerAgent:
    """Gives every span to its one worker as a ticket; ends when it is told to stop and the worker has ended."""

    def __init__(self) -> None:
        self.seen: list[agent.Event] = []
        self._runs: dict[TicketId, RunSpan] = {}
        self._begun = False

    def handle(self, events: Iterable[agent.Event], _now: float) -> list[agent.Command]:
        commands: list[agent.Command] = []
        if not self._begun:
            self._begun = True
            commands.append(agent.StartWorker(WORKER))
        for event in events:
            self.seen.append(event)
            commands += self._one(event)
        return commands

    def _one(self, event: agent.Event) -> list[agent.Command]:
        match event:
            case agent.WorkerStarted():
                return [agent.Define(WORKER, ABSOLUTE.id, ABSOLUTE.frames), agent.Look(WORKER)]
            case agent.Received(RunSpan() as span, frames):
                ticket = TicketId(len(self._runs) + 1)
                self._runs[ticket] = span
                column = ArgumentColumn.from_frames(span.lo, span.hi - span.lo, frames)
                return [
                    agent.Give(WORKER, ticket, span.run, span.function, BatchOptions(), column, span.batch),
                ]
            case agent.Harvested(_, pieces):
                return [self._result(piece) for piece in pieces]
            case agent.StopAsked():
                return [agent.Say(Goodbye("told to")), agent.KillWorker(WORKER)]
            case agent.WorkerEnded():
                return [agent.Note("info", "all is over"), agent.End(3, "it was told to")]
            case _:
                return []

    def _result(self, piece: agent.Piece) -> agent.Say:
        column, run = piece.column, self._runs[piece.ticket].run
        return agent.Say(SpanResult(run, column.lo, column.hi, column.base, "here"), column.frames())

    def next_deadline(self) -> float | None:
        return None


class Scheduler:
    """The other end of the cluster's link: says what a test gives it, keeps what arrives."""

    def __init__(self, address: Address) -> None:
        self._listener = ZmqListener(address, None)
        config = AcceptedConfig(Epoch(9), 1, our_versions(), dict.fromkeys(("client", "operator", "worker"), 60.0))
        self._links = AcceptedLinks(config)
        self._decoder = Decoder("worker")
        self._peer = Incarnation(0)
        self.gone: list[str] = []
        self.received: list[tuple[object, tuple[Frame, ...]]] = []

    def say(self, message: RunSpan, frames: Sequence[Frame] = ()) -> None:
        self._perform(self._links.handle([link.OutgoingTo(self._peer, message, tuple(frames))], time.monotonic()))

    def wait(self, found: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not found():
            assert time.monotonic() < until, self.received
            events: list[link.AcceptedEvent] = []
            for event in self._listener.receive(100):
                match event:
                    case Opened(connection, identity):
                        events.append(link.ConnectionOpened(connection, identity.role, "", ""))
                    case Arrived(connection, frames):
                        headers = self._decoder.decode(frames)
                        events += [link.ArrivedFrom(connection, header, header.frames) for header in headers]
                    case Lost(connection, reason):
                        events.append(link.ConnectionEnded(connection, reason))
            self._perform(self._links.handle(events, time.monotonic()))
            if not self._listener.pending() and not found():
                select.select(self._listener.filenos(), [], [], 0.01)

    def wait_joined(self) -> None:
        self.wait(lambda: self._peer != 0)

    def _perform(self, outputs: list[link.AcceptedOutput]) -> None:
        for output in outputs:
            match output:
                case link.TransmitOn(connection):
                    self._listener.send(connection, pack([output])[0])
                case link.Joined(peer):
                    self._peer = peer
                case link.Gone(_, reason):
                    self.gone.append(reason)
                case link.DeliverFrom(_, message, frames):
                    self.received.append((message, frames))
                case _:
                    continue

    def results(self) -> list[tuple[int, object]]:
        """Index and value of every task that came back."""
        found: list[tuple[int, object]] = []
        for message, frames in self.received:
            if isinstance(message, SpanResult):
                column = ResultColumn.from_frames(message.lo, message.hi, message.base, frames)
                found += zip(range(message.lo, message.hi), load_column(column)[0], strict=True)
        return found

    def close(self) -> None:
        self._listener.close()


class Cluster:
    """The loop in a thread of its own, as it would be in a process of its own."""

    def __init__(self, address: Address) -> None:
        self.poller = Poller()
        self.workers = Workers(ZygoteFacts(WorkerFacts(1, "here"), (), dict(os.environ)), self.poller, time.monotonic)
        self.workers.open()
        self._dialing = Dialing(address, None)
        dialled = DialledLink(
            DialledConfig("worker", "here", b"a secret", our_versions(), 2.0, None, str(address), ""), lambda: 0.5
        )
        self.agent = OneWorkerAgent()
        self._peers = Peers(self.poller, time.monotonic)
        self.loop = Loop(0.0, self.poller, self._dialing, dialled, self.agent, self.workers, self._peers)
        self._order, self._ordered = os.pipe()
        self.poller.watch(self._order, self._stop)
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        self.exit_code = self.loop.serve()

    def _stop(self) -> None:
        self.poller.forget(self._order)
        self.loop.stop("the test is over", at_once=True)

    def stop(self) -> None:
        if self.exit_code is None:
            os.write(self._ordered, b"x")
            self._thread.join(PATIENCE_S)

    def close(self) -> None:
        self.stop()
        self.loop.hang_up()
        self._peers.close()
        self._dialing.close()
        self.workers.close()
        self.poller.close()
        os.close(self._order)
        os.close(self._ordered)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    made = Scheduler(IpcAddress(tmp_path / "socket"))
    yield made
    made.close()


@pytest.fixture
def cluster(tmp_path: Path, scheduler: Scheduler) -> Iterator[Cluster]:
    made = Cluster(IpcAddress(tmp_path / "socket"))
    try:
        scheduler.wait_joined()
        yield made
    finally:
        made.close()


def run_span(number: int, lo: int, values: Sequence[int]) -> tuple[RunSpan, tuple[Frame, ...]]:
    column = joined_column(lo, [pickle_call((value,)) for value in values])
    span = RunSpan(RunId(Epoch(9), number), BATCH, lo, lo + len(values), ABSOLUTE.id, BatchOptions())
    return span, column.frames()


def test_spans_become_results_through_link_agent_and_worker(scheduler: Scheduler, cluster: Cluster):
    scheduler.say(*run_span(1, 10, [-1, -2, -3]))
    scheduler.say(*run_span(2, 50, [-4]))
    scheduler.wait(lambda: len(scheduler.results()) == 4)
    assert scheduler.results() == [(10, 1), (11, 2), (12, 3), (50, 4)]
    scheduler.wait(lambda: cluster.workers.next_look() is None)


def test_a_cluster_at_rest_takes_no_turns(scheduler: Scheduler, cluster: Cluster):
    for number in range(20):
        scheduler.say(*run_span(number, number, [-number]))
        scheduler.wait(lambda: len(scheduler.received) == number + 1)  # noqa: B023  # called at once
    seen = len(cluster.agent.seen)
    time.sleep(1.0)
    assert len(cluster.agent.seen) - seen < 10


def test_told_to_stop_it_says_goodbye_ends_its_worker_and_returns_the_agents_code(
    scheduler: Scheduler, cluster: Cluster
):
    scheduler.say(*run_span(1, 0, [-1]))
    scheduler.wait(lambda: len(scheduler.results()) == 1)
    stopping = threading.Thread(target=cluster.stop)
    stopping.start()
    scheduler.wait(lambda: not stopping.is_alive())
    assert (scheduler.gone, cluster.exit_code) == (["goodbye"], 3)
    assert agent.StopAsked(0.0, "the test is over") in cluster.agent.seen
    assert isinstance(cluster.agent.seen[-1], agent.WorkerEnded)


def test_a_lost_connection_is_dialled_again_and_work_goes_on(scheduler: Scheduler, cluster: Cluster, tmp_path: Path):
    scheduler.say(*run_span(1, 0, [-1]))
    scheduler.wait(lambda: len(scheduler.results()) == 1)
    scheduler.close()
    again = Scheduler(IpcAddress(tmp_path / "socket"))
    try:
        again.wait_joined()
        again.say(*run_span(2, 5, [-7]))
        again.wait(lambda: len(again.results()) == 1)
        assert again.results() == [(5, 7)]
        ups = [event for event in cluster.agent.seen if isinstance(event, agent.LinkUp | agent.LinkDown)]
        assert ups == [agent.LinkUp(Epoch(9), resumed=False), agent.LinkDown(), agent.LinkUp(Epoch(9), resumed=False)]
        cluster.stop()
    finally:
        again.close()
