"""The accepting end of all links: who may come in, what is said and heard, and who comes back."""

import pytest

from scaler.link.accepted import AWAY_S, GREETING_S, AcceptedConfig, AcceptedLinks
from scaler.link.events import (
    AwaitRoom,
    ConnectionEnded,
    ConnectionOpened,
    CutConnection,
    DeliverFrom,
    EndLink,
    Garbage,
    Gone,
    Joined,
    OutgoingTo,
    Refused,
    RoomFound,
    Superseded,
    TransmitOn,
)
from scaler.link.link import ACK_DELAY_S, ACK_MESSAGES
from scaler.link.versions import version_table
from scaler.protocol import Heartbeat, ResendFrom
from tests.unit.link.examples import (
    ANN,
    BOB,
    EPOCH,
    OTHERS,
    TAGS,
    VERSIONS,
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

# ---- greetings


def test_a_peer_is_answered_and_told_before_anything_it_says():
    links = Links()
    assert links.links.direction_of(1) == "greeting"
    assert links.tell(opened(1)) == []
    assert links.links.direction_of(1) == "greeting"
    assert links.tell(hello(1), arrived(1, 1, 0, close(1), (b"x",))) == [
        answer(1),
        joined(),
        DeliverFrom(ANN, close(1), (b"x",)),
    ]
    assert links.links.direction_of(1) == "client"


def test_what_a_proven_role_may_act_as():
    allowed = {
        (proven, role)
        for proven in ("client", "worker", "operator", "anyone", "nobody")
        for role in ("client", "worker", "operator", "scheduler")
        if isinstance(Links().tell(opened(1, proven), hello(1, role=role))[-1], Joined)
    }
    assert allowed == {
        ("client", "client"),
        ("worker", "worker"),
        ("operator", "client"),
        ("operator", "operator"),
        ("anyone", "client"),
        ("anyone", "worker"),
        ("anyone", "operator"),
    }


def test_another_role_is_rejected_by_name():
    links = Links()
    assert links.tell(opened(1), hello(1, role="worker")) == rejected(1, "role", "a client key may not act as worker")


def test_other_versions_are_rejected_with_a_table_and_noted_in_a_line():
    links = Links()
    told, _ = rejected(1, "version", version_table(OTHERS, VERSIONS))
    noted = Refused(1, "ann", "its versions are not ours: python=3.12≠3.11")
    assert links.tell(opened(1), hello(1, versions=OTHERS)) == [told, noted]


def test_more_peers_than_can_be_served_are_told_to_come_again():
    links = Links(most_peers=1)
    links.tell(opened(1), hello(1), arrived(1, 0, 0, Heartbeat()), opened(2), opened(3))
    text = "the scheduler serves 1 peers, as many as its descriptors allow"
    assert links.tell(hello(2, BOB)) == rejected(2, "full", text)
    assert links.tell(hello(3, peer=99))[:2] == [
        CutConnection(1, "replaced by a new connection"),
        answer(3, resumed=True),
    ]


def test_an_incarnation_belongs_to_its_key_and_role():
    links = standing()
    text = "this incarnation belongs to another key or role"
    assert links.tell(opened(2, key="other"), hello(2, peer=99)) == rejected(2, "protocol", text)
    assert links.tell(opened(3, "operator"), hello(3, role="operator", peer=99)) == rejected(3, "protocol", text)
    assert links.tell(OutgoingTo(ANN, TAGS)) == [TransmitOn(1, 1, 0, TAGS, ())]


@pytest.mark.parametrize("peer", [0, EPOCH])
@pytest.mark.parametrize("secret", [b"", b"bob's"])
def test_who_does_not_show_that_an_incarnation_is_its_own_takes_nothing_over(peer: int, secret: bytes):
    links = standing()
    text = f"it does not show that the incarnation {ANN:016x} is its own"
    assert links.tell(opened(2), hello(2, peer=peer, secret=secret)) == rejected(2, "protocol", text)
    assert links.tell(OutgoingTo(ANN, TAGS)) == [TransmitOn(1, 1, 0, TAGS, ())]


def test_who_does_not_show_it_is_not_the_first_at_a_new_scheduler_either():
    links = Links()
    text = f"it does not show that the incarnation {ANN:016x} is its own"
    assert links.tell(opened(1), hello(1, secret=b"bob's")) == rejected(1, "protocol", text)
    assert links.tell(opened(2), hello(2)) == [answer(2), joined()]


@pytest.mark.parametrize("role", ["operator", "anyone"])
def test_an_operator_that_has_met_a_newer_scheduler_ends_us(role: str):
    links = Links(generation=2)
    assert links.tell(opened(1, role), hello(1, generation=3)) == [CutConnection(1, "superseded"), Superseded(3)]
    assert links.tell(opened(2), hello(2, generation=2)) == [answer(2), joined()]


@pytest.mark.parametrize("role", ["client", "worker"])
def test_another_peer_that_says_so_is_only_cut_off(role: str):
    text = "it has met a scheduler of generation 3, and ours is 2"
    greeted = hello(1, role=role, generation=3)
    assert Links(generation=2).tell(opened(1, role), greeted) == [
        Refused(1, "ann", text),
        CutConnection(1, "superseded"),
    ]


def test_a_hello_that_comes_twice_is_passed_over_and_another_one_is_garbage():
    links = standing()
    assert links.tell(hello(1)) == []
    text = "a second Hello"
    assert links.tell(hello(1, BOB)) == [*rejected(1, "protocol", text), Gone(ANN, text)]


def test_whoever_speaks_before_its_hello_is_cut_off():
    links = Links()
    text = "it speaks before its Hello"
    assert links.tell(opened(1), arrived(1, 1, 0, close(1))) == [Refused(1, "ann", text), CutConnection(1, text)]
    assert links.tell(hello(1)) == []


def test_whoever_says_nothing_is_cut_off():
    links = Links()
    links.tell(opened(1), at=1.0)
    text = "no Hello in 5 s"
    assert links.at(5.9, 6.0) == [(5.9, []), (6.0, [Refused(1, "ann", text), CutConnection(1, text)])]
    assert GREETING_S == 5.0


# ---- talking


def test_messages_go_both_ways_with_numbers_and_acknowledgements():
    links = standing()
    assert links.tell(OutgoingTo(ANN, TAGS, (b"x",))) == [TransmitOn(1, 1, 0, TAGS, (b"x",))]
    assert links.links.backlog_bytes(ANN) > 0
    assert not links.links.is_settled()
    assert links.tell(arrived(1, 1, 1, close(1))) == [DeliverFrom(ANN, close(1), ())]
    assert links.links.backlog_bytes(ANN) == 0
    assert links.links.is_settled()
    assert links.tell(OutgoingTo(ANN, TAGS)) == [TransmitOn(1, 2, 1, TAGS, ())]


def test_nobody_is_told_what_is_for_one_that_is_gone():
    links = Links()
    assert links.tell(OutgoingTo(ANN, TAGS), EndLink(ANN, "why"), EndLink(ANN, "")) == []
    assert links.links.room_bytes(ANN) == 0
    assert links.links.backlog_bytes(ANN) == 0


def test_room_shrinks_with_what_is_not_acknowledged():
    links = standing()
    before = links.links.room_bytes(ANN)
    links.tell(OutgoingTo(ANN, TAGS, (bytes(1000),)))
    assert before - links.links.room_bytes(ANN) == links.links.backlog_bytes(ANN)


def test_room_that_is_awaited_is_told_of_once_and_before_what_may_use_it():
    links = standing()
    room = links.links.room_bytes(ANN)
    assert links.tell(AwaitRoom(ANN, room)) == [RoomFound(ANN, room)]
    said = links.tell(OutgoingTo(ANN, TAGS), OutgoingTo(ANN, TAGS), AwaitRoom(ANN, room))
    assert said == [TransmitOn(1, 1, 0, TAGS, ()), TransmitOn(1, 2, 0, TAGS, ())]
    assert links.tell(arrived(1, 1, 1, close(1))) == [DeliverFrom(ANN, close(1), ())]
    assert links.tell(arrived(1, 2, 2, close(2))) == [RoomFound(ANN, room), DeliverFrom(ANN, close(2), ())]
    assert links.tell(arrived(1, 3, 2, close(3))) == [DeliverFrom(ANN, close(3), ())]


def test_nobody_is_told_of_the_room_of_a_link_that_has_ended():
    links = standing()
    assert links.tell(OutgoingTo(ANN, TAGS), AwaitRoom(ANN, links.links.room_bytes(ANN)), EndLink(ANN, ""))[1:] == []
    assert links.tell(opened(2), hello(2)) == [answer(2), joined()]
    assert links.tell(AwaitRoom(BOB, 0)) == []


def test_a_window_may_be_smaller():
    silence_s = {"client": 60.0, "operator": 60.0, "worker": 30.0}
    links = AcceptedLinks(AcceptedConfig(EPOCH, 2, VERSIONS, silence_s, window_bytes=1000))
    links.handle([opened(1), hello(1)], 0.0)
    assert links.room_bytes(ANN) == 1000


def test_a_heartbeat_is_answered_by_one_that_tells_how_long_the_role_may_be_silent():
    links = standing()
    links.tell(OutgoingTo(ANN, TAGS), arrived(1, 1, 0, close(1)))
    assert links.tell(arrived(1, 0, 1, Heartbeat(1))) == [beat(1, sent=1, ack=1, silence_s=60.0)]
    links.tell(opened(2, "worker"), hello(2, BOB, role="worker"))
    assert links.tell(arrived(2, 0, 0, Heartbeat())) == [beat(2, silence_s=30.0)]


def test_what_arrived_is_acknowledged_soon_though_there_is_nothing_to_say():
    links = standing()
    links.tell(arrived(1, 1, 0, close(1)), at=1.0)
    assert links.at(1.04, 1.0 + ACK_DELAY_S) == [(1.04, []), (1.0 + ACK_DELAY_S, [beat(1, ack=1)])]
    assert links.tell(at=2.0) == []


def test_peers_are_acknowledged_each_in_its_time():
    links = standing()
    links.tell(opened(2), hello(2, BOB))
    links.tell(arrived(2, 1, 0, close(1)), at=1.0)
    links.tell(arrived(1, 1, 0, close(1)), at=1.03)
    assert links.at(1.0501, 1.0801) == [(1.0501, [beat(2, ack=1)]), (1.0801, [beat(1, ack=1)])]


def test_many_messages_are_acknowledged_at_once_before_others():
    links = standing()
    links.tell(opened(2), hello(2, BOB))
    links.tell(arrived(2, 1, 0, close(1)))
    many = [arrived(1, seq, 0, close(seq)) for seq in range(1, ACK_MESSAGES + 1)]
    assert links.tell(*many)[-1] == beat(1, ack=ACK_MESSAGES)


def test_a_gap_is_asked_for_and_what_a_peer_misses_is_sent_again():
    links = standing()
    assert links.tell(arrived(1, 2, 0, close(2))) == [TransmitOn(1, 0, 0, ResendFrom(1), ())]
    links.tell(OutgoingTo(ANN, TAGS))
    assert links.tell(arrived(1, 0, 0, ResendFrom(1))) == [TransmitOn(1, 1, 0, TAGS, ())]


def test_a_peer_that_misses_nothing_is_sent_nothing():
    links = standing()
    assert links.tell(arrived(1, 0, 0, ResendFrom(1)), at=1.0) == []
    assert links.at(2.0) == [(2.0, [])]


# ---- coming back


def test_a_peer_that_comes_back_in_time_has_missed_nothing():
    links = standing()
    links.tell(OutgoingTo(ANN, TAGS), arrived(1, 1, 0, close(1)))
    assert links.tell(ConnectionEnded(1, "cut"), at=1.0) == []
    assert links.links.is_settled()
    assert links.tell(OutgoingTo(ANN, TAGS)) == []
    back = hello(2, peer=99, received=1)
    assert links.tell(opened(2), back, at=2.9) == [answer(2, received=1, resumed=True), TransmitOn(2, 2, 1, TAGS, ())]
    assert links.tell(arrived(2, 1, 2, close(1)), arrived(2, 2, 2, close(2))) == [
        DeliverFrom(ANN, close(2), ()),
        beat(2, sent=2, ack=2),  # the repeat shows that it did not know
    ]
    assert links.at(3.0, 4.0, 5.0)[1:] == [(4.0, []), (5.0, [])]


def test_a_peer_that_stays_away_is_gone():
    links = standing()
    links.tell(ConnectionEnded(1, "cut"), at=1.0)
    assert links.at(2.9, 1.0 + AWAY_S) == [(2.9, []), (1.0 + AWAY_S, [Gone(ANN, "its connection closed")])]
    assert links.tell(opened(2), hello(2, peer=99, received=4)) == [answer(2), joined()]


def test_a_new_connection_replaces_one_whose_end_was_not_seen():
    links = standing()
    links.tell(arrived(1, 0, 0, Heartbeat()))
    assert links.tell(opened(2), hello(2, peer=99)) == [
        CutConnection(1, "replaced by a new connection"),
        answer(2, resumed=True),
    ]
    assert links.tell(arrived(1, 1, 0, close(1)), ConnectionEnded(1, "late")) == []
    assert links.at(3.0, 10.0) == [(3.0, []), (10.0, [])]


def test_a_peer_that_knows_nothing_of_its_link_begins_anew():
    links = standing()
    links.tell(OutgoingTo(ANN, TAGS), arrived(1, 1, 0, close(1)))
    assert links.tell(opened(2), hello(2)) == [
        CutConnection(1, "replaced by a new connection"),
        Gone(ANN, "began anew"),
        answer(2),
        joined(),
    ]
    assert links.tell(arrived(2, 1, 0, close(1))) == [DeliverFrom(ANN, close(1), ())]
    assert links.tell(OutgoingTo(ANN, TAGS)) == [TransmitOn(2, 1, 1, TAGS, ())]


def test_what_a_peer_resumes_before_it_has_spoken_on_a_link_is_another_one():
    """It knew an earlier link to us, which we have given up, and the answer that told of the new one was lost."""
    links = Links()
    assert links.tell(opened(1), hello(1, peer=99, received=8)) == [answer(1), joined()]
    assert links.tell(ConnectionEnded(1, "reset"), opened(2), hello(2, peer=99, received=8)) == [
        Gone(ANN, "began anew"),
        answer(2),
        joined(),
    ]
    assert links.tell(arrived(2, 0, 0, Heartbeat()), ConnectionEnded(2, "reset"), opened(3), hello(3, peer=99))[1:] == [
        answer(3, resumed=True)
    ]


def test_a_link_with_a_scheduler_before_us_is_not_resumed():
    links = Links()
    assert links.tell(opened(1), hello(1, peer=98, received=5)) == [answer(1), joined()]


def test_a_peer_whose_key_is_refused_may_not_come_back():
    links = standing()
    links.tell(opened(2))
    assert links.tell(ConnectionEnded(1, "its key was revoked", refused=True)) == [
        Refused(1, "ann", "its key was revoked"),
        Gone(ANN, "its key was revoked"),
    ]
    assert links.tell(ConnectionEnded(2, "its key was revoked", refused=True)) == [
        Refused(2, "ann", "its key was revoked")
    ]
    assert links.tell(ConnectionEnded(77, "its key was revoked", refused=True)) == []


def test_who_is_refused_is_told_with_where_it_comes_from():
    links = Links()
    from_there = ConnectionOpened(1, "client", "ann", "k", "10.0.0.9:4711")
    assert links.tell(from_there, Garbage(1, "no message"))[0] == Refused(1, "ann", "no message", "10.0.0.9:4711")
