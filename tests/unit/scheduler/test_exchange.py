"""The scheduler's inner round, over a transport without sockets: between a fake core or the real one and its peers."""

import logging

import pytest

from scaler.core import events as core
from scaler.ids import Incarnation, Range, RunId
from scaler.net.transport import Lost, TurnedAway
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
    Output,
    OutputPiece,
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
from scaler.protocol.codec import MAX_HEADER_BYTES
from scaler.refusals import BURST
from scaler.scheduler.tables import core_tables
from tests.unit.scheduler.examples import ANN, BATCH, BOB, CLIENT, EPOCH, WORKS, F, Scheduler, told

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


def test_what_tasks_print_is_lost_for_a_peer_that_is_behind(fake: Scheduler):
    ann = fake.dial(ANN)
    fake.turn()
    ann.heard()
    output = Output(ANN, (OutputPiece(1, 0, "f", "host", is_error=False),))
    large = b"x" * (1 << 20)
    results = core.Send(ANN, Results(BATCH, 0, 1, 0), (b"", b"", b"", b"", large))
    fake.core.asks = [core.Send(ANN, output, (b"shown",)), results]
    fake.turn()
    fake.core.asks = [core.Send(ANN, output, (b"lost",)), core.Send(ANN, KnownTags(()))]
    fake.turn()
    assert [type(message) for message in ann.heard()] == [Output, Results, KnownTags]


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


# ---- what the core asks for besides


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
