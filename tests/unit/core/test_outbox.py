import pytest

from scaler.core import outbox
from scaler.core.events import CutOff, Note, Publish, Send, Stop
from scaler.core.outbox import Outbox
from scaler.protocol import Delivered, KnownTags, Watched, WorkersReady
from tests.unit.core.examples import ALICE, BOB, X, Y, cancel_at, delivered_at, ranges, run_id


def made() -> Outbox:
    box = Outbox()
    box.peers |= {ALICE: "client", X: "worker", Y: "worker"}
    return box


def test_commands_go_in_the_order_in_which_they_were_made_and_once():
    box = made()
    box.send(ALICE, KnownTags(None))
    box.note("info", "hello", ("n", 1))
    box.cut_off(X, "garbage")
    box.send(ALICE, WorkersReady(ready=True), (b"frame",))
    box.add(Stop("enough"))
    assert box.flush() == [
        Send(ALICE, KnownTags(None)),
        Note("info", "hello", (("n", 1),)),
        CutOff(X, "garbage"),
        Send(ALICE, WorkersReady(ready=True), (b"frame",)),
        Stop("enough"),
    ]
    assert box.flush() == []


def test_who_is_not_here_is_not_written_to():
    box = made()
    box.send(BOB, KnownTags(None))
    box.delivered(BOB, run_id(1), 0, 1)
    assert box.flush() == []


def test_what_is_said_of_one_run_is_gathered_and_said_last():
    box = made()
    box.delivered(X, run_id(1), 2, 3)
    box.delivered(X, run_id(1), 3, 4)
    box.delivered(X, run_id(1), 0, 1)
    box.cancel(Y, run_id(2), 5, 6)
    box.delivered(Y, run_id(1), 0, 1)
    box.send(X, Watched(watched=True))
    assert box.flush() == [
        Send(X, Watched(watched=True)),
        cancel_at(Y, run_id(2), (5, 6)),
        delivered_at(X, run_id(1), (0, 1), (2, 4)),
        delivered_at(Y, run_id(1), (0, 1)),
    ]


def test_a_list_too_long_for_a_message_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "MAX_RANGES", 2)
    box = made()
    for index in range(0, 10, 2):
        box.cancel(X, run_id(1), index, index + 1)
    assert box.flush() == [
        cancel_at(X, run_id(1), (0, 1), (2, 3)),
        cancel_at(X, run_id(1), (4, 5), (6, 7)),
        cancel_at(X, run_id(1), (8, 9)),
    ]


def test_a_cluster_hears_of_all_delivered_runs_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "MAX_RANGES", 7)
    box = made()
    box.delivered(Y, run_id(1), 1, 2)
    for n in range(1, 6):
        box.delivered(X, run_id(n), 0, 1)
    one = ranges((0, 1))
    assert box.flush() == [
        delivered_at(Y, run_id(1), (1, 2)),
        Send(X, Delivered(((run_id(1), one), (run_id(2), one)))),
        Send(X, Delivered(((run_id(3), one), (run_id(4), one)))),
        Send(X, Delivered(((run_id(5), one),))),
    ]


def test_span_events_are_published_if_there_are_any():
    box = made()
    box.publish([])
    box.publish([(1, 1, 0, 2, "", "queued", 0)])
    assert box.flush() == [Publish(((1, 1, 0, 2, "", "queued", 0),))]
