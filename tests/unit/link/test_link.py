"""One end of a link by itself: numbers, acknowledgements, repeats, gaps and the window."""

from scaler.ids import BatchId, Incarnation
from scaler.link.link import (
    ACK_BYTES,
    ACK_DELAY_S,
    ACK_MESSAGES,
    ASK_AGAIN_S,
    HEADER_BYTES,
    Delivery,
    Link,
    Packet,
)
from scaler.protocol import CloseBatch, Heartbeat, ResendFrom
from scaler.protocol.codec import Header, Sendable
from scaler.protocol.columns import Frame


def message(n: int) -> CloseBatch:
    return CloseBatch(BatchId(Incarnation(1), n), 5)


def packet(seq: int, *frames: bytes) -> Packet:
    return Packet(seq, message(seq), frames, HEADER_BYTES + sum(map(len, frames)))


def standing(window_bytes: int = 1 << 20) -> Link:
    link = Link(window_bytes)
    assert link.attach(0) == []
    return link


def said(link: Link, *numbers: int) -> None:
    for n in numbers:
        link.send(message(n))


def hear(
    link: Link, seq: int, ack: int = 0, what: Sendable | None = None, frames: tuple[Frame, ...] = (), now: float = 0.0
) -> tuple[list[Delivery], list[Packet]]:
    return link.receive(Header(seq, ack, what or message(seq)), frames, now)


# ---- sending


def test_messages_are_numbered_from_one_and_go_at_once():
    link = standing()
    assert link.send(message(1)) == [packet(1)]
    assert link.send(message(2), (b"frame", b"more")) == [packet(2, b"frame", b"more")]
    assert link.backlog_bytes == 2 * HEADER_BYTES + 9


def test_what_is_said_without_a_connection_waits_for_one():
    link = Link()
    assert link.send(message(1)) == []
    assert link.send(message(2)) == []
    assert link.attach(0) == [packet(1), packet(2)]


def test_what_is_acknowledged_is_forgotten():
    link = standing()
    said(link, 1, 2, 3)
    assert hear(link, 0, ack=2, what=Heartbeat(0)) == ([], [])
    assert link.backlog_bytes == HEADER_BYTES
    assert hear(link, 0, ack=99, what=Heartbeat(0)) == ([], [])
    assert link.backlog_bytes == 0


def test_after_a_new_connection_everything_the_peer_has_not_had_is_sent_again_in_order():
    link = standing()
    said(link, 1, 2, 3)
    link.detach()
    assert link.send(message(4)) == []
    assert link.attach(1) == [packet(2), packet(3), packet(4)]


def test_what_the_peer_misses_is_sent_again():
    link = standing()
    said(link, 1, 2, 3)
    assert hear(link, 0, what=ResendFrom(2)) == ([], [packet(2), packet(3)])
    assert hear(link, 0, ack=3, what=ResendFrom(4)) == ([], [])


def test_a_heartbeat_says_how_far_the_sender_is():
    link = standing()
    assert link.heartbeat() == Packet(0, Heartbeat(0), ())
    said(link, 1, 2)
    assert link.heartbeat() == Packet(0, Heartbeat(2), ())
    link.detach()
    link.send(message(3))
    assert link.heartbeat() == Packet(0, Heartbeat(2), ())


# ---- the window


def test_what_does_not_fit_the_window_waits_until_something_is_acknowledged():
    link = standing(window_bytes=3 * HEADER_BYTES)
    assert [link.send(message(n)) for n in (1, 2, 3, 4, 5)] == [[packet(1)], [packet(2)], [packet(3)], [], []]
    assert link.room_bytes == 0
    assert link.backlog_bytes == 5 * HEADER_BYTES
    assert hear(link, 0, ack=1, what=Heartbeat(0)) == ([], [packet(4)])
    assert hear(link, 0, ack=4, what=Heartbeat(0)) == ([], [packet(5)])
    assert link.room_bytes == 2 * HEADER_BYTES


def test_a_message_larger_than_the_window_goes_alone():
    link = standing(window_bytes=100)
    assert link.send(message(1), (bytes(500),)) == [packet(1, bytes(500))]
    assert link.send(message(2)) == []
    assert hear(link, 0, ack=1, what=Heartbeat(0)) == ([], [packet(2)])


def test_a_small_message_does_not_overtake_a_large_one_that_waits():
    link = standing(window_bytes=200)
    said(link, 1)
    assert link.send(message(2), (bytes(150),)) == []
    assert link.send(message(3)) == []
    assert hear(link, 0, ack=1, what=Heartbeat(0)) == ([], [packet(2, bytes(150))])
    assert hear(link, 0, ack=2, what=Heartbeat(0)) == ([], [packet(3)])


def test_a_new_connection_has_no_more_room_than_the_old_one():
    link = standing(window_bytes=2 * HEADER_BYTES)
    said(link, 1, 2, 3)
    link.detach()
    assert link.attach(0) == [packet(1), packet(2)]


# ---- receiving


def test_messages_are_delivered_in_order_and_once():
    link = standing()
    assert hear(link, 1, frames=(b"x",)) == ([Delivery(message(1), (b"x",))], [])
    assert hear(link, 1) == ([], [])
    assert hear(link, 2) == ([Delivery(message(2), ())], [])
    assert link.received == 2


def test_a_repeat_is_acknowledged_at_once_since_the_sender_does_not_know():
    link = standing()
    hear(link, 1)
    hear(link, 1, now=0.01)
    assert link.next_deadline() == 0.01


def test_a_gap_is_asked_for_and_asked_again_if_that_is_lost_too():
    link = standing()
    hear(link, 1)
    assert hear(link, 3) == ([], [Packet(0, ResendFrom(2), ())])
    assert hear(link, 4, now=0.1) == ([], [])
    assert hear(link, 5, now=ASK_AGAIN_S) == ([], [Packet(0, ResendFrom(2), ())])
    assert hear(link, 2, now=0.3) == ([Delivery(message(2), ())], [])
    assert hear(link, 4, now=0.3) == ([], [Packet(0, ResendFrom(3), ())])


def test_a_heartbeat_reveals_that_the_last_messages_were_lost():
    link = standing()
    assert hear(link, 0, what=Heartbeat(2)) == ([], [Packet(0, ResendFrom(1), ())])
    hear(link, 1)
    hear(link, 2)
    assert hear(link, 0, what=Heartbeat(2)) == ([], [])


def test_a_gap_is_asked_for_anew_on_a_new_connection():
    link = standing()
    hear(link, 2)
    link.detach()
    link.attach(0)
    assert hear(link, 2) == ([], [Packet(0, ResendFrom(1), ())])


# ---- acknowledging


def test_an_acknowledgement_waits_a_little_for_a_message_to_ride_on():
    link = standing()
    assert link.next_deadline() is None
    hear(link, 1, now=1.0)
    hear(link, 2, now=1.01)
    assert link.next_deadline() == 1.0 + ACK_DELAY_S
    link.said()
    assert link.next_deadline() is None


def test_many_messages_or_bytes_are_acknowledged_at_once():
    link = standing()
    for seq in range(1, ACK_MESSAGES + 1):
        assert link.next_deadline() != 2.0
        hear(link, seq, now=1.0 if seq < ACK_MESSAGES else 2.0)
    assert link.next_deadline() == 2.0
    link.said()
    hear(link, ACK_MESSAGES + 1, frames=(bytes(ACK_BYTES),), now=3.0)
    assert link.next_deadline() == 3.0


def test_without_a_connection_nothing_is_acknowledged():
    link = standing()
    hear(link, 1)
    link.detach()
    assert link.next_deadline() is None
