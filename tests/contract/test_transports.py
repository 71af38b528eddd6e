"""What every transport promises, whatever carries the bytes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scaler.net.transport import MAX_FRAME_BYTES, Arrived, Connected, Lost, Opened
from tests.contract import transports
from tests.contract.transports import Network, quiet, until, until_pending


@pytest.fixture(params=[transports.tcp_with_keys, transports.tcp_without_keys, transports.ipc, transports.in_memory])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as opened:
        yield request.param(opened, tmp_path)


def spoken(network: Network, greeting: bytes) -> tuple[transports.Near, int]:
    """A dialler whose greeting has arrived, and the connection that it is to the listener."""
    near = network.dial()
    near.end.send([greeting])
    far = network.far
    until(lambda: [greeting] in [frames for e in far.opened for frames in far.messages(e.connection)], near, far)
    return near, far.connection_of(greeting)


def test_a_message_goes_there_and_back_and_the_connection_is_told_first(network: Network):
    near, far = network.dial(), network.far
    near.end.send([b"hello", b"world"])
    until(lambda: len(far.events) == 2, near, far)
    opened, arrived = far.events
    assert isinstance(opened, Opened)
    assert arrived == Arrived(opened.connection, [b"hello", b"world"])
    assert far.end.send(opened.connection, [b"and", b"you"])
    until(lambda: len(near.events) == 2, near, far)
    assert near.events == [Connected(), Arrived(0, [b"and", b"you"])]


def test_many_messages_keep_their_order_in_both_directions(network: Network):
    near, connection = spoken(network, b"a")
    sent = [[b"%d" % number, b"x" * number] for number in range(1000)]
    for message in sent:
        near.end.send(message)
        network.far.end.send(connection, message)
    until(lambda: len(near.messages) == 1000 and len(network.far.messages(connection)) == 1001, near, network.far)
    assert near.messages == sent
    assert network.far.messages(connection) == [[b"a"], *sent]


def test_a_burst_is_drained_though_the_descriptor_tells_of_it_once(network: Network):
    near, far = network.dial(), network.far
    for number in range(10_000):
        near.end.send([b"%d" % number])
    until(lambda: len(far.events) == 10_001, far)
    assert [event.frames for event in far.events[1:]] == [[b"%d" % number] for number in range(10_000)]


def test_no_more_than_the_limit_is_taken_at_once_and_the_rest_is_pending(network: Network):
    near, connection = spoken(network, b"a")
    for number in range(20):
        network.far.end.send(connection, [b"%d" % number])
    until_pending(near)
    while len(near.messages) < 20:
        taken = near.end.receive(3)
        assert len(taken) <= 3
        near.events += taken
        if not taken:
            transports.sleep_on((near,), transports.PATIENCE_S)
    assert near.messages == [[b"%d" % number] for number in range(20)]
    assert not near.end.pending()


def test_large_frames_arrive_as_they_were(network: Network):
    near, connection = spoken(network, b"a")
    frames = [bytes([number]) * (1 << 20) for number in range(64)]
    near.end.send([b"large", *[memoryview(frame) for frame in frames]])
    network.far.end.send(connection, [b"large", *frames])
    until(lambda: near.messages and len(network.far.messages(connection)) == 2, near, network.far)
    assert near.messages == [[b"large", *frames]]
    assert network.far.messages(connection)[1] == [b"large", *frames]


def test_headers_and_small_frames_are_bytes_of_their_own(network: Network):
    near, far = network.dial(), network.far
    near.end.send([b"h" * 100_000, b"s" * 4096])
    until(lambda: len(far.events) == 2, near, far)
    assert [type(frame) for frame in far.events[1].frames] == [bytes, bytes]


def test_empty_frames_are_kept(network: Network):
    near, far = network.dial(), network.far
    near.end.send([b"", b"", b"x", b""])
    until(lambda: len(far.events) == 2, near, far)
    assert far.events[1].frames == [b"", b"", b"x", b""]


def test_the_end_of_a_dialler_is_told_once_and_after_all_it_said(network: Network):
    near, connection = spoken(network, b"a")
    for number in range(100):
        near.end.send([b"%d" % number])
    until(lambda: len(network.far.messages(connection)) == 101, network.far)
    near.end.close()
    until(lambda: network.far.lost, network.far)
    quiet(network.far, seconds=0.05)
    assert network.far.lost == [connection]
    assert isinstance(network.far.events[-1], Lost)


def test_nothing_can_be_sent_to_a_connection_that_is_gone(network: Network):
    near, connection = spoken(network, b"a")
    assert not network.far.end.send(connection + 1, [b"nobody"])
    near.end.close()
    until(lambda: not network.far.end.send(connection, [b"still there?"]), network.far)
    until(lambda: network.far.lost == [connection], network.far)
    assert not network.far.end.send(connection, [b"x"])


def test_cutting_one_connection_off_ends_that_one_and_no_other(network: Network):
    ends = [spoken(network, b"%d" % number) for number in range(5)]
    near, connection = ends[2]
    network.far.end.cut_off(connection)
    until(lambda: near.lost, near, network.far)
    assert len(near.lost) == 1
    assert not near.lost[0].refused
    others = [end for end in ends if end[0] is not near]
    for other, number in others:
        other.end.send([b"alive"])
        assert network.far.end.send(number, [b"alive"])
    until(lambda: all(other.messages for other, _ in others), network.far, *[other for other, _ in others])
    until(lambda: all(network.far.messages(n)[-1] == [b"alive"] for _, n in others), network.far)
    assert network.far.lost == []


def test_what_a_connection_said_before_it_was_cut_off_is_not_told_after(network: Network):
    near, connection = spoken(network, b"a")
    for number in range(100):
        near.end.send([b"%d" % number])
    until_pending(network.far)
    before = len(network.far.events)
    network.far.end.cut_off(connection)
    until(lambda: near.lost, near, network.far)
    quiet(network.far, seconds=0.05)
    assert network.far.events[before:] == []
    assert not network.far.end.send(connection, [b"x"])


def test_cutting_off_twice_or_too_late_harms_nobody(network: Network):
    near, connection = spoken(network, b"a")
    network.far.end.cut_off(connection)
    network.far.end.cut_off(connection)
    until(lambda: near.lost, near, network.far)
    network.far.end.cut_off(connection)
    again, _ = spoken(network, b"b")
    network.far.end.cut_off(connection)
    again.end.send([b"c"])
    until(lambda: network.far.messages(network.far.connection_of(b"b"))[-1] == [b"c"], network.far)


def test_what_arrived_before_the_end_is_read_before_it(network: Network):
    near, connection = spoken(network, b"a")
    sent = [[b"%d" % number] for number in range(1000)]
    for message in sent:
        network.far.end.send(connection, message)
    until_pending(near)
    until(lambda: len(near.messages) > 0, near)
    network.far.end.cut_off(connection)
    until(lambda: near.lost, near, network.far)
    assert near.messages == sent[: len(near.messages)]
    assert isinstance(near.events[-1], Lost)


def test_a_frame_that_is_too_large_ends_its_connection(network: Network):
    near, connection = spoken(network, b"a")
    near.end.send([b"too large", b"x" * (MAX_FRAME_BYTES + 1)])
    until(lambda: near.lost and network.far.lost, near, network.far)
    assert network.far.lost == [connection]
    assert network.far.messages(connection) == [[b"a"]]


def test_connections_have_numbers_that_are_never_used_again(network: Network):
    numbers = []
    for number in range(20):
        near, connection = spoken(network, b"%d" % number)
        numbers.append(connection)
        near.end.close()
    until(lambda: len(network.far.lost) == 20, network.far)
    assert sorted(set(numbers)) == numbers
    assert sorted(network.far.lost) == numbers


def test_an_idle_pair_has_nothing_pending(network: Network):
    near, _ = spoken(network, b"a")
    quiet(near, network.far, seconds=0.05)
    assert not near.end.pending()
    assert not network.far.end.pending()


def test_a_closed_listener_ends_its_connections(network: Network):
    near, _ = spoken(network, b"a")
    network.far.end.close()
    until(lambda: near.lost, near)
    assert len(near.lost) == 1
