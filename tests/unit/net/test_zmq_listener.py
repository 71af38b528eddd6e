"""Connections that are held and not used: by silence, or by a message that never ends."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scaler.net.addresses import TcpAddress, parse_address
from scaler.net.carriers import PATIENCE
from scaler.net.transport import MAX_FRAME_BYTES, Connected, Lost, TurnedAway
from scaler.net.zmq_dialer import Dialing
from scaler.net.zmq_listener import ZmqListener
from tests.contract.transports import PATIENCE_S, Far, Near, ZmqNetwork, quiet, tcp_with_keys, until
from tests.contract.zmtp import raw_peer

SPEECHLESS = "it said nothing for 5 s"
ENDLESS = "it sends a message that does not end"
MIB = 1 << 20


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ZmqNetwork]:
    with ExitStack() as opened:
        yield tcp_with_keys(opened, tmp_path)


@pytest.fixture
def far() -> Iterator[Far]:
    """A listener without keys, for messages of which at most a mebibyte may lack its end."""
    listener = ZmqListener(TcpAddress("127.0.0.1", 0), None, largest_bytes=MIB)
    yield Far(listener)
    listener.close()


def turned_away(far: Far) -> list[TurnedAway]:
    return [event for event in far.events if isinstance(event, TurnedAway)]


def keep_house(far: Far, times: int) -> None:
    for _ in range(times):
        far.end.keep_house()
        far.drain()


def test_who_has_a_good_key_and_says_nothing_is_cut_off_and_told_of_once(network: ZmqNetwork):
    near, far = network.dial(), network.far
    until(lambda: near.events == [Connected()], near, far)
    keep_house(far, PATIENCE - 1)
    quiet(near, far, seconds=0.05)
    assert (near.lost, far.events) == ([], [])
    keep_house(far, 1)
    until(lambda: near.lost, near, far)
    keep_house(far, 2 * PATIENCE)
    quiet(far, seconds=0.05)
    (one,) = far.events
    assert isinstance(one, TurnedAway)
    assert one.reason == SPEECHLESS
    assert one.address.startswith("127.0.0.1:")


def test_who_has_spoken_may_be_silent_for_ever(network: ZmqNetwork):
    near, far = network.dial(), network.far
    near.end.send([b"here"])
    until(lambda: far.opened, near, far)
    keep_house(far, 4 * PATIENCE)
    near.end.send([b"still here"])
    until(lambda: far.messages(1) == [[b"here"], [b"still here"]], near, far)
    assert (near.lost, far.lost, turned_away(far)) == ([], [], [])


def test_who_comes_later_has_its_own_time(network: ZmqNetwork):
    first, far = network.dial(), network.far
    until(lambda: first.events, first, far)
    keep_house(far, PATIENCE - 1)
    second = network.dial()
    until(lambda: second.events, second, far)
    keep_house(far, PATIENCE - 1)
    until(lambda: first.lost, first, far)
    assert len(turned_away(far)) == 1
    second.end.send([b"here"])
    until(lambda: far.opened, second, far)
    assert second.lost == []


def test_a_first_message_that_does_not_end_is_cut_off(far: Far):
    with raw_peer(far.end.address, "DEALER") as peer:
        far.end.keep_house()
        for _ in range(MAX_FRAME_BYTES // MIB + 1):
            peer.say_part(bytes(MIB))
        until_kept(far, lambda: turned_away(far))
        assert peer.is_cut_off()
    keep_house(far, PATIENCE)
    quiet(far, seconds=0.05)
    (one,) = far.events
    assert one.reason == ENDLESS


def until_kept(far: Far, is_so: Callable[[], object]) -> None:
    """Keep house until it is so: what was sent takes its time to arrive, and wakes nobody before its end."""
    by = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < by, far.events
        far.end.keep_house()
        quiet(far, seconds=0.01)


def test_a_later_message_that_does_not_end_is_cut_off_and_no_other_connection(far: Far):
    with ExitStack() as opened, raw_peer(far.end.address, "DEALER") as peer:
        near = other_peer(opened, far)
        peer.say(b"hello")
        until(lambda: len(far.opened) == 2, far)
        keep_house(far, 3)
        for _ in range(3):
            peer.say_part(bytes(MIB))
        until_kept(far, lambda: far.lost)
        assert peer.is_cut_off()
        connection = far.connection_of(b"hello")
        assert far.events[-1] == Lost(connection, ENDLESS, refused=True)
        near.end.send([b"still here"])
        until(lambda: far.messages(far.connection_of(b"here"))[-1] == [b"still here"], near, far)


def other_peer(opened: ExitStack, far: Far) -> Near:
    dialing = Dialing(parse_address(far.end.address, {}), None)
    opened.callback(dialing.close)
    near = Near(dialing.dial())
    opened.callback(near.end.close)
    near.end.send([b"here"])
    until(lambda: far.opened, near, far)
    return near


def test_a_message_that_takes_its_time_arrives(far: Far):
    with raw_peer(far.end.address, "DEALER") as peer:
        peer.say(b"hello")
        until(lambda: far.opened, far)
        for _ in range(4):
            peer.say_part(bytes(MIB // 5))
            keep_house(far, PATIENCE)
        peer.say(b"end")
        until(lambda: len(far.messages(1)) == 2, far)
    assert far.messages(1)[1] == [bytes(MIB // 5)] * 4 + [b"end"]
    assert turned_away(far) == []


def test_many_messages_are_no_endless_one(far: Far):
    with raw_peer(far.end.address, "DEALER") as peer:
        for number in range(20):
            peer.say(bytes(MIB // 2))
            until(lambda: len(far.messages(1)) == number + 1, far)  # noqa: B023  # it is over before the next one
            keep_house(far, 4)
    assert (far.lost, turned_away(far)) == ([], [])


def test_that_there_are_no_descriptors_left_is_told_once_each_time(far: Far):
    def told_while(count: int) -> list[str]:
        """What is told in some rounds of the house while no more can be opened."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, limits[1]))
        try:
            keep_house(far, count)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        found = [event.reason for event in turned_away(far)]
        far.events.clear()
        return found

    none_left = "nobody can be let in: this process has no descriptors left, see ulimit -n"
    assert told_while(3) == [none_left]
    keep_house(far, 1)
    assert told_while(1) == [none_left]
