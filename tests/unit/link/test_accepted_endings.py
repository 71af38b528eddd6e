"""The accepting end of all links: who leaves, who is thrown out, and who is silent for too long."""

import pytest

from scaler.link.accepted import PARTING_S
from scaler.link.events import (
    ConnectionEnded,
    CutConnection,
    DeliverFrom,
    EndLink,
    Garbage,
    Gone,
    OutgoingTo,
    Refused,
    Slept,
)
from scaler.protocol import Goodbye, Heartbeat
from tests.unit.link.examples import (
    ANN,
    BOB,
    Links,
    answer,
    arrived,
    beat,
    close,
    hello,
    joined,
    opened,
    rejected,
    standing,
)

# ---- leaving


def test_a_goodbye_is_acknowledged_and_delivered_before_its_peer_is_gone():
    links = standing()
    assert links.tell(arrived(1, 1, 0, Goodbye("done")), at=1.0) == [
        beat(1, ack=1),
        DeliverFrom(ANN, Goodbye("done"), ()),
        Gone(ANN, "goodbye"),
    ]
    assert links.tell(arrived(1, 2, 0, close(1))) == []
    assert links.tell(ConnectionEnded(1, "closed"), at=1.1) == []
    assert links.at(9.0) == [(9.0, [])]


def test_what_comes_before_a_goodbye_is_delivered_before_it():
    links = standing()
    outputs = links.tell(arrived(1, 1, 0, close(1)), arrived(1, 2, 0, Goodbye()))
    assert outputs[0] == DeliverFrom(ANN, close(1), ())
    assert outputs[1:] == [beat(1, ack=2), DeliverFrom(ANN, Goodbye(), ()), Gone(ANN, "goodbye")]


def test_a_peer_that_said_goodbye_and_does_not_close_is_cut_off():
    links = standing()
    links.tell(arrived(1, 1, 0, Goodbye()), at=1.0)
    assert links.at(1.9, 1.0 + PARTING_S) == [(1.9, []), (1.0 + PARTING_S, [CutConnection(1, "it did not close")])]


def test_the_core_ends_a_link_with_a_reason_that_is_told():
    links = standing()
    assert links.tell(EndLink(ANN, "it broke the rules"), at=1.0) == rejected(1, "protocol", "it broke the rules")
    assert links.tell(arrived(1, 1, 0, close(1))) == []
    assert links.tell(at=2.0) == [CutConnection(1, "it did not close")]


def test_the_core_ends_a_link_in_peace():
    links = standing()
    links.tell(OutgoingTo(ANN, Goodbye("over")))
    assert links.tell(EndLink(ANN, ""), at=1.0) == []
    assert links.tell(at=2.0) == [CutConnection(1, "it did not close")]


def test_the_core_ends_the_link_of_a_peer_that_is_away():
    links = standing()
    links.tell(ConnectionEnded(1, "cut"))
    assert links.tell(EndLink(ANN, "why")) == []
    assert links.at(5.0) == [(5.0, [])]


# ---- garbage and silence


def test_garbage_before_a_hello_cuts_the_connection():
    links = Links()
    assert links.tell(opened(1), Garbage(1, "no message")) == [
        Refused(1, "ann", "no message"),
        CutConnection(1, "no message"),
    ]


def test_garbage_of_a_peer_ends_its_link():
    links = standing()
    assert links.tell(Garbage(1, "no message"), at=1.0) == [
        *rejected(1, "protocol", "no message"),
        Gone(ANN, "no message"),
    ]
    assert links.tell(Garbage(1, "more"), arrived(1, 1, 0, close(1)), Garbage(55, "who?")) == []
    assert links.tell(opened(2), hello(2, peer=99)) == [answer(2), joined()]


def test_silence_means_nothing_for_as_long_as_the_role_may_be_silent():
    links = standing()
    links.tell(opened(2, "worker"), hello(2, BOB, role="worker"), at=1.0)
    assert links.at(30.9, 31.0) == [(30.9, []), (31.0, [CutConnection(2, "silent"), Gone(BOB, "silent for 30 s")])]
    links.tell(arrived(1, 0, 0, Heartbeat(0)), at=50.0)
    assert links.at(109.9, 110.0) == [
        (109.9, []),
        (110.0, [CutConnection(1, "silent"), Gone(ANN, "silent for 60 s")]),
    ]


def test_whoever_was_heard_last_is_silent_last():
    links = standing()
    links.tell(opened(2), hello(2, BOB), at=1.0)
    links.tell(arrived(1, 0, 0, Heartbeat(0)), at=2.0)
    assert links.at(61.0, 61.9, 62.0) == [
        (61.0, [CutConnection(2, "silent"), Gone(BOB, "silent for 60 s")]),
        (61.9, []),
        (62.0, [CutConnection(1, "silent"), Gone(ANN, "silent for 60 s")]),
    ]


def test_a_peer_may_be_away_and_silent_for_too_long():
    links = Links()
    links.tell(opened(1, "worker"), hello(1, role="worker"))
    links.tell(ConnectionEnded(1, "cut"), at=29.5)
    assert links.at(30.0, 40.0) == [(30.0, [Gone(ANN, "silent for 30 s")]), (40.0, [])]


@pytest.mark.parametrize("how", ["stranger", "away", "silent"])
def test_nobody_is_late_because_this_process_stood_still(how: str):
    links = Links() if how == "stranger" else standing()
    match how:
        case "stranger":
            links.tell(opened(1))
        case "away":
            links.tell(ConnectionEnded(1, "cut"))
    assert links.tell(Slept(1000.0), at=1000.0) == []
    due = {"stranger": 1005.0, "away": 1002.0, "silent": 1060.0}[how]
    assert links.at(due - 0.1, due)[0] == (due - 0.1, [])
    assert links.links.next_deadline() is None


def test_with_nobody_there_nothing_is_due():
    links = Links()
    assert links.links.next_deadline() is None
    assert links.links.is_settled()
