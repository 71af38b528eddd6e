"""The descriptor in reserve by which a listener ends connections when no more can be opened."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler.net.carriers import Spare


@pytest.fixture
def spare() -> Iterator[Spare]:
    made = Spare()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    other.settimeout(5.0)
    with one, other:
        yield one, other


def open_descriptors() -> set[str]:
    """All but the one that the list itself is read with."""
    folder = Path("/proc/self/fd")
    return {name for name in os.listdir(folder) if (folder / name).exists()}


def ends(spare: Spare, pair: tuple[socket.socket, socket.socket]) -> bool:
    """Whether the other end sees the end of a socket that the spare stood for."""
    with spare.standing_for(pair[0].fileno()) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
    return pair[1].recv(1) == b""


def test_it_ends_a_connection_and_takes_no_descriptor(spare: Spare, pair: tuple[socket.socket, socket.socket]):
    before = open_descriptors()
    with spare.standing_for(pair[0].fileno()) as duplicate:
        assert open_descriptors() == before
        assert duplicate.fileno() != pair[0].fileno()
        duplicate.shutdown(socket.SHUT_RDWR)
    assert pair[1].recv(1) == b""
    assert open_descriptors() == before


def test_afterwards_it_holds_nothing_open(spare: Spare, pair: tuple[socket.socket, socket.socket]):
    with spare.standing_for(pair[0].fileno()):
        pass
    pair[0].close()
    assert pair[1].recv(1) == b""


def test_it_stands_for_one_after_another_also_when_something_was_wrong_with_one(
    spare: Spare, pair: tuple[socket.socket, socket.socket]
):
    closed, nothing = os.dup(pair[0].fileno()), os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    before = open_descriptors()
    try:
        for wrong in (closed, nothing):
            with pytest.raises(OSError, match=r"descriptor|non-socket"), spare.standing_for(wrong):
                pass
        with pytest.raises(KeyError), spare.standing_for(pair[0].fileno()):
            raise KeyError
        assert open_descriptors() == before
        assert ends(spare, pair)
    finally:
        os.close(nothing)


def test_it_is_inherited_by_nobody_and_goes_with_its_listener(pair: tuple[socket.socket, socket.socket]):
    before = open_descriptors()
    made = Spare()
    with made.standing_for(pair[0].fileno()) as duplicate:
        assert not os.get_inheritable(duplicate.fileno())
    assert not any(os.get_inheritable(int(one)) for one in open_descriptors() - before)
    made.close()
    assert open_descriptors() == before
