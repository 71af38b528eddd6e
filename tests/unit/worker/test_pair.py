import os
import socket
from collections.abc import Iterator

import pytest

from scaler.worker.line import INLINE_BYTES
from scaler.worker.pair import PairEnd


@pytest.fixture
def ends() -> Iterator[tuple[PairEnd, PairEnd]]:
    """The cluster's end, and that of a client inside a task."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    cluster, client = PairEnd(ours), PairEnd(theirs, is_patient=True)
    yield cluster, client
    cluster.close()
    client.close()


MESSAGES = [
    [b"header"],
    [b"header", b"", b"frame"],
    [b"h", bytes(INLINE_BYTES - 1)],
    [b"h", bytes(INLINE_BYTES)],
    [b"h", os.urandom(3 << 20), b"x"],
    [b"%d" % number for number in range(4097)],
]


@pytest.mark.parametrize("frames", MESSAGES, ids=lambda frames: f"{len(frames)} of {sum(map(len, frames))} bytes")
def test_a_message_arrives_as_it_was_sent_either_way(ends: tuple[PairEnd, PairEnd], frames: list[bytes]):
    for sender, receiver in (ends, ends[::-1]):
        sender.send(frames)
        assert receiver.receive() == frames


def test_messages_arrive_in_order_and_then_there_is_none(ends: tuple[PairEnd, PairEnd]):
    cluster, client = ends
    for number in range(10):
        cluster.send([b"%d" % number])
    assert [client.receive() for _ in range(10)] == [[b"%d" % number] for number in range(10)]
    with pytest.raises(BlockingIOError):
        client.receive()


def test_the_end_of_the_other_end_is_told_behind_all_it_has_sent(ends: tuple[PairEnd, PairEnd]):
    cluster, client = ends
    client.send([b"last words"])
    client.close()
    assert cluster.receive() == [b"last words"]
    assert cluster.receive() is None


def test_what_there_is_no_room_for_waits_in_order(ends: tuple[PairEnd, PairEnd]):
    cluster, client = ends
    sent = [[b"%d" % number, bytes(10_000)] for number in range(100)]
    for frames in sent:
        cluster.send(frames)
    assert cluster.is_behind
    found = []
    while len(found) < len(sent):
        try:
            found.append(client.receive())
        except BlockingIOError:
            cluster.flush()
    assert found == sent
    assert not cluster.is_behind


@pytest.mark.parametrize("frames", MESSAGES[:5], ids=lambda frames: f"{len(frames)} of {sum(map(len, frames))} bytes")
def test_what_is_sent_to_nobody_is_dropped(ends: tuple[PairEnd, PairEnd], frames: list[bytes]):
    cluster, client = ends
    client.close()
    cluster.send(frames)
    assert not cluster.is_behind


def test_no_descriptor_is_left_behind(ends: tuple[PairEnd, PairEnd]):
    cluster, client = ends
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        cluster.send(MESSAGES[4])
        client.receive()
    assert len(os.listdir("/proc/self/fd")) == before
