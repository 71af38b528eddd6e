"""The scheduler's inner round, over a transport without sockets: between a fake core or the real one and its peers."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from scaler.core import events as core
from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from scaler.ids import BatchId, Epoch, Incarnation, Range, RunId, function_id
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.net.memory import MemoryDialer, MemoryListener
from scaler.net.transport import Arrived, Connected, Identity, Lost, TurnedAway
from scaler.net.versions import our_versions
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    ClearClient,
    ClusterReady,
    DefineFunction,
    Delivered,
    Drain,
    Goodbye,
    Heartbeat,
    Hello,
    KnownTags,
    OpenBatch,
    Rejected,
    Results,
    RunSpan,
    ShutdownAnswer,
    ShutdownScheduler,
    SpanResult,
    Taken,
    Watched,
    WorkersReady,
)
from scaler.protocol.codec import MAX_HEADER_BYTES, Decoder, Sendable, pack
from scaler.protocol.columns import Frame
from scaler.scheduler.exchange import DRAIN_STEP, MAX_EVENTS, Exchange
from scaler.scheduler.refusals import BURST, Refusals
from scaler.scheduler.stream import MonitorStream
from scaler.scheduler.tables import core_tables
from tests.unit.scheduler.fakes import FakeCore, FakePublisher

EPOCH = Epoch(99)
ANN, BOB, WORKS = Incarnation(1), Incarnation(2), Incarnation(3)
CLIENT, WORKER = Identity("client", "ann", "a key"), Identity("worker", "works", "another key")
OPERATOR = Identity("operator", "me", "a third key")
F = function_id((b"code",))
BATCH = BatchId(ANN, 1)


class Scheduler:
    """An exchange around a core, with a clock in the hands of a test."""

    def __init__(self, opened: ExitStack, scheduler: SchedulerCore | FakeCore) -> None:
        self.opened = opened
        self.core = scheduler
        self.listener = MemoryListener()
        opened.callback(self.listener.close)
        silence_s = {"client": 60.0, "operator": 60.0, "worker": 60.0}
        self.links = AcceptedLinks(AcceptedConfig(EPOCH, 1, our_versions(), silence_s))
        self.publisher = FakePublisher()
        self.lines: list[str] = []
        tables = (lambda: core_tables(scheduler)) if isinstance(scheduler, SchedulerCore) else dict
        stream = MonitorStream(self.publisher, tables)
        self.exchange = Exchange(self.listener, self.links, scheduler, stream, Refusals(self.lines.append))
        self.now = 100.0

    def turn(self, *own: core.Event, slept_s: float = 0.0) -> bool:
        return self.exchange.turn(lambda: self.now, own, slept_s)

    def dial(self, who: Incarnation, role: str = "client", *, generation: int = 0) -> "Peer":
        identity = {"worker": WORKER, "operator": OPERATOR}.get(role, CLIENT)
        peer = Peer(self.listener.dial(identity), role)
        self.opened.callback(peer.dialer.close)
        peer.say(Hello(role, who, Incarnation(0), 0, generation, our_versions(), "name"))
        self.turn()  # nobody speaks before it is greeted
        return peer


class Peer:
    """A connection, the link above it kept as simple as can be."""

    def __init__(self, dialer: MemoryDialer, role: str) -> None:
        self.dialer = dialer
        self._decoder = Decoder("to-worker" if role == "worker" else "to-client")
        self._sent = 0
        self.had = 0
        self.is_lost = False

    def say(self, *messages: Sendable | tuple[Sendable, tuple[Frame, ...]]) -> None:
        packets = []
        for one in messages:
            message, frames = one if isinstance(one, tuple) else (one, ())
            is_numbered = not isinstance(message, Hello | Heartbeat)
            self._sent += is_numbered
            packets.append(Answer(self._sent if is_numbered else 0, self.had, message, frames))
        for frames in pack(packets):
            self.dialer.send(frames)

    def heard(self) -> list[Sendable]:
        """All that has come since, without heartbeats."""
        found: list[Sendable] = []
        for event in self.dialer.receive(1000):
            match event:
                case Arrived(_, frames):
                    headers = self._decoder.decode(frames)
                    self.had = max(self.had, *[header.seq for header in headers])
                    found += [header.message for header in headers if not isinstance(header.message, Heartbeat)]
                case Lost():
                    self.is_lost = True
                case Connected():
                    continue
        return found


class Answer:
    """A packet with its acknowledgement."""

    def __init__(self, seq: int, ack: int, message: Sendable, frames: tuple[Frame, ...]) -> None:
        self.seq, self.ack, self.message, self.frames = seq, ack, message, frames


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def real(opened: ExitStack) -> Scheduler:
    """With the real core, past its recovery window."""
    scheduler = Scheduler(opened, SchedulerCore(CoreConfig(recovery_s=0.0, recovery_max_s=0.0), EPOCH))
    scheduler.turn()
    return scheduler


@pytest.fixture
def fake(opened: ExitStack) -> Scheduler:
    return Scheduler(opened, FakeCore())


def told(scheduler: Scheduler) -> list[core.Event]:
    assert isinstance(scheduler.core, FakeCore)
    return [event for events in scheduler.core.told for event in events]


# ---- peers to core and back


def test_peers_are_told_to_the_core_with_what_they_say(fake: Scheduler):
    peer = fake.dial(ANN)
    peer.say(ClearClient())
    peer.say((DefineFunction(F, 4), (b"code",)))
    fake.turn()
    assert told(fake) == [
        core.PeerJoined(ANN, "client", "name", "ann"),
        core.Received(ANN, ClearClient()),
        core.Received(ANN, DefineFunction(F, 4), (b"code",)),
    ]
    peer.dialer.close()
    fake.turn()
    fake.now += 2.5
    fake.turn()
    assert told(fake)[3:] == [core.PeerLost(ANN, "its connection closed")]


def test_what_the_core_says_goes_to_its_peer_and_to_no_other(fake: Scheduler):
    ann, bob = fake.dial(ANN), fake.dial(BOB)
    fake.turn()
    assert [type(message) for message in ann.heard() + bob.heard()] == [Hello, Hello]
    fake.core.asks = [core.Send(BOB, KnownTags(("gpu",))), core.Send(Incarnation(77), KnownTags(()))]
    fake.turn()
    assert (ann.heard(), bob.heard()) == ([], [KnownTags(("gpu",))])


def test_small_messages_of_one_turn_travel_together(fake: Scheduler):
    ann = fake.dial(ANN)
    fake.turn()
    ann.heard()
    fake.core.asks = [core.Send(ANN, WorkersReady(True)), core.Send(ANN, KnownTags(()))]  # a field
    fake.turn()
    assert len(ann.dialer.receive(10)) == 1


def test_the_core_ends_a_link_and_the_peer_is_told_why(fake: Scheduler):
    ann = fake.dial(ANN)
    fake.turn()
    ann.heard()
    fake.core.asks = [core.CutOff(ANN, "it broke the rules")]
    fake.turn()
    assert ann.heard() == [Rejected("protocol", "it broke the rules", our_versions())]
    assert fake.lines == ["refused connection=1 address= key='ann' reason='it broke the rules'"]
    fake.now += 1.5
    fake.turn()
    ann.heard()
    assert ann.is_lost
    assert told(fake) == [core.PeerJoined(ANN, "client", "name", "ann")]


def test_a_peer_that_is_silent_for_too_long_is_lost_to_the_core(fake: Scheduler):
    fake.dial(ANN)
    fake.turn()
    fake.now += 61.0
    assert not fake.turn()
    assert told(fake)[1:] == [core.PeerLost(ANN, "silent for 60 s")]


# ---- what is no message, and who is nobody


def test_garbage_is_refused_in_one_line_and_cut_off(fake: Scheduler):
    dialer = fake.listener.dial(CLIENT)
    fake.opened.callback(dialer.close)
    dialer.send([b"\xc1garbage"])
    fake.turn()
    assert len(fake.lines) == 1
    assert fake.lines[0].startswith(
        "refused connection=1 address= key='ann' reason=\"no message that greeting may send"
    )
    assert told(fake) == []
    assert any(isinstance(event, Lost) for event in dialer.receive(10))


def test_what_its_role_may_not_say_ends_a_peer(fake: Scheduler):
    ann = fake.dial(ANN)
    fake.turn()
    ann.say(Drain(0.0))
    fake.turn()
    assert [type(message) for message in ann.heard()] == [Hello, Rejected]
    assert [type(event) for event in told(fake)] == [core.PeerJoined, core.PeerLost]
    assert fake.lines[0].startswith("refused connection=1 address= key='ann' reason='no message that client may send")


def test_who_failed_the_handshake_is_refused_in_one_line(fake: Scheduler):
    fake.listener.put(TurnedAway("10.0.0.9", "no key"))
    fake.publisher.turned_away = [TurnedAway("10.0.0.8", "no key")]
    fake.turn()
    assert fake.lines == [
        "refused address=10.0.0.9 reason='no key'",
        "refused address=10.0.0.8 reason='no key' socket=monitor",
    ]


def test_an_operator_that_has_met_a_newer_scheduler_ends_this_one(fake: Scheduler):
    fake.dial(ANN, "operator", generation=5)
    assert fake.exchange.is_superseded
    assert fake.exchange.stopped == "a scheduler of generation 5 has taken over"


# ---- turns


def test_no_more_is_drained_than_one_turn_may_take(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(2 * MAX_EVENTS):
        peer.say(ClearClient())
    assert fake.turn()
    assert len(told(fake)) == 1 + MAX_EVENTS
    assert not fake.turn()
    assert len(told(fake)) == 2 * MAX_EVENTS + 1


def test_a_turn_that_has_drained_for_long_enough_goes_on_with_what_it_has(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(MAX_EVENTS):
        peer.say(ClearClient())
    times = iter([100.0, 100.001, 100.01, 100.01, 100.02])
    assert fake.exchange.turn(lambda: next(times))
    assert len(told(fake)) == 1 + 2 * DRAIN_STEP


def test_a_step_that_is_full_may_be_the_last(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(DRAIN_STEP):
        peer.say(ClearClient())
    assert not fake.turn()
    assert len(told(fake)) == 1 + DRAIN_STEP


def test_links_and_core_hear_that_the_process_stood_still_before_all_else(fake: Scheduler):
    fake.dial(ANN)
    fake.turn()
    fake.now += 1000.0
    fake.turn(core.StopAsked("why"), slept_s=990.0)
    assert told(fake)[1:] == [core.Slept(990.0), core.StopAsked("why")]


def test_the_next_turn_is_due_when_anything_is(fake: Scheduler):
    assert fake.exchange.next_deadline() is None
    fake.core.deadline = 500.0
    assert fake.exchange.next_deadline() == 500.0
    fake.dial(ANN)
    fake.turn()
    due = fake.exchange.next_deadline()
    assert due is not None
    assert due <= 160.0
    fake.publisher.subscribe()
    fake.turn()
    assert fake.exchange.next_deadline() == 101.0


def test_notes_are_logged_with_their_fields_and_a_stop_is_kept(fake: Scheduler, caplog: pytest.LogCaptureFixture):
    fake.core.asks = [core.Note("warning", "a worker died", (("worker", 3),)), core.Stop("it is time")]
    with caplog.at_level(logging.INFO, logger="scaler.scheduler"):
        fake.turn()
    assert [(record.levelname, record.message, record.fields) for record in caplog.records] == [
        ("WARNING", "a worker died", (("worker", 3),))
    ]
    assert fake.exchange.stopped == "it is time"
    assert not fake.exchange.is_superseded


def test_a_flood_of_notes_is_counted_in_a_line_of_its_own(fake: Scheduler, caplog: pytest.LogCaptureFixture):
    fake.core.asks = [core.Note("warning", "a worker died", (("worker", number),)) for number in range(BURST + 5)]
    with caplog.at_level(logging.INFO, logger="scaler.scheduler"):
        fake.turn()
        fake.exchange.keep_house(fake.now + 10.0)
    assert len(caplog.records) == BURST + 1
    assert caplog.records[-1].message == "a worker died: 5 more, not shown one by one"


def test_spans_are_published_while_somebody_listens(fake: Scheduler):
    fake.core.asks = [core.Publish(((1, 1, 0, 4, "queued", "assigned", 3),))]
    fake.turn()
    assert fake.publisher.published == []
    fake.publisher.subscribe()
    fake.core.asks = [core.Publish(((1, 1, 0, 4, "queued", "assigned", 3),))]
    fake.turn()
    assert [frames[0] for frames in fake.publisher.published] == [b"spans", b"state"]


def test_nothing_more_is_sent_to_a_connection_that_is_gone(fake: Scheduler):
    ann = fake.dial(ANN)
    fake.turn()
    ann.dialer.is_over = True  # its end has not been told yet
    fake.core.asks = [core.Send(ANN, DefineFunction(F, 4), (bytes(100_000),)) for _ in range(2)]
    fake.turn()
    assert [type(message) for message in ann.heard()] == [Hello]


def test_a_peer_that_cannot_be_told_what_it_has_to_know_is_let_go_and_others_are_served(fake: Scheduler):
    ann, bob = fake.dial(ANN), fake.dial(BOB)
    fake.core.asks = [core.Send(ANN, KnownTags(("x" * MAX_HEADER_BYTES,))), core.Send(BOB, WorkersReady(ready=True))]
    assert fake.turn()
    assert (ann.heard()[1:], bob.heard()[1:]) == ([], [WorkersReady(ready=True)])
    assert not fake.turn()
    assert [type(message) for message in ann.heard()] == [Rejected]
    assert isinstance(told(fake)[-1], core.PeerLost)
    fake.now += 1.5
    fake.turn()
    assert (ann.heard(), ann.is_lost, bob.heard(), bob.is_lost) == ([], True, [], False)


# ---- with the real core


def test_a_task_goes_from_a_client_to_a_cluster_and_its_result_back(real: Scheduler):
    ann, works = real.dial(ANN), real.dial(WORKS, "worker")
    works.say(ClusterReady("works", "host", 1, 1, 1))
    real.turn()
    assert ann.heard()[1:] == [
        KnownTags(None),
        WorkersReady(ready=False),
        KnownTags(()),
        WorkersReady(ready=True),
    ]
    assert [type(message) for message in works.heard()] == [Hello]
    call = (bytes(8) + (4).to_bytes(8, "little"), b"call")
    ann.say((DefineFunction(F, 4), (b"code",)), OpenBatch(BATCH, F, BatchOptions()), (AppendTasks(BATCH, 0, 1), call))
    real.turn()
    define, run = works.heard()
    assert define == DefineFunction(F, 4)
    assert run == RunSpan(RunId(EPOCH, 1), BATCH, 0, 1, F, BatchOptions())
    result = (b"\0", bytes(4), (5).to_bytes(8, "little"), b"", b"value")
    works.say((SpanResult(run.run, 0, 1, 0, "works, worker 0"), result))
    real.turn()
    assert ann.heard() == [Results(BATCH, 0, 1, 0, "works, worker 0", 1, "host")]
    ann.say(Taken(BATCH, (Range(0, 1),)))
    real.turn()
    assert works.heard() == [Delivered(((run.run, (Range(0, 1),)),))]
    ann.say(Goodbye())
    real.turn()
    real.core.check()
    assert list(real.core.managers.clients.clients) == []


def test_a_stop_is_told_to_all_peers(real: Scheduler):
    ann, works = real.dial(ANN), real.dial(WORKS, "worker")
    real.turn(core.StopAsked("SIGTERM"))
    assert ann.heard()[-1] == works.heard()[-1] == Goodbye("SIGTERM")
    assert real.exchange.stopped == "SIGTERM"
    assert not real.links.is_settled()
    ann.say(Heartbeat())
    works.say(Heartbeat())
    real.turn()
    assert real.links.is_settled()


def test_a_client_may_stop_it_unless_it_is_protected(real: Scheduler):
    ann = real.dial(ANN)
    ann.say(ShutdownScheduler())
    real.turn()
    assert ann.heard()[-2:] == [ShutdownAnswer(), Goodbye(f"client {ANN:016x} asked for it")]


def test_whoever_watches_sees_the_tables(real: Scheduler):
    ann, works = real.dial(ANN), real.dial(WORKS, "worker")
    works.say(ClusterReady("works", "host", 1, 2, 4, ("gpu",), (("gpu", 2.0),)))
    real.publisher.subscribe()
    real.turn()
    assert ann.heard()
    assert works.heard()[-1] == Watched(watched=True)
    tables = core_tables(real.core)
    assert tables["clusters"] == {
        f"{WORKS:016x}": {
            "name": "works",
            "host": "host",
            "workers": 2,
            "slots": 4,
            "tags": ("gpu",),
            "resources": {"gpu": 2.0},
            "unfinished": 0,
            "running": 0,
            "free": 4,
            "statistics": None,
        }
    }
    assert tables["clients"] == {f"{ANN:016x}": {"name": "name", "role": "client", "batches": 0, "tasks": 0}}
    assert tables["sizes"] == {"functions": 0, "objects": 0, "batches": 0, "runs": 0}
    assert set(tables["scheduler"]["self"]) == {"pid", "cpu_s", "rss_bytes"}
    assert tables["scheduler"]["self"]["rss_bytes"] > 1 << 20
    assert [frames[0] for frames in real.publisher.published] == [b"state"]


def test_tables_count_tasks_by_state_and_move(real: Scheduler):
    ann = real.dial(ANN)
    call = (bytes(8) + b"".join(n.to_bytes(8, "little") for n in (4, 8)), b"call" * 2)
    ann.say((DefineFunction(F, 4), (b"code",)), OpenBatch(BATCH, F, BatchOptions()), (AppendTasks(BATCH, 0, 2), call))
    real.turn()
    tables = core_tables(real.core)
    assert {name: count for name, count in tables["tasks"].items() if count} == {"queued": 2}
    assert tables["clients"][f"{ANN:016x}"]["tasks"] == 2
    assert all(count > 0 for count in tables["moves"].values())
