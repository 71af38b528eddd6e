"""Streams whose values have no room: they wait for what they have taken themselves, and for nothing else."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from scaler.client import stream
from scaler.errors import StoreFullError
from scaler.ledger.events import BatchClosed
from tests.unit.client.examples import BATCH, drafted, resolved
from tests.unit.client.streams import Scene


class Heavy:
    """A value that takes room."""


class Room:
    """A store for so many values."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.lifted = 0

    def lift(self, value: Any) -> None:
        if type(value) is Heavy:
            if self.lifted == self.most:
                raise StoreFullError("there is no room")
            self.lifted += 1


def roomy(elements: Any, room: Room, buffersize: int | None = None) -> Scene:
    """A stream whose elements take room, one each."""
    scene = Scene(elements, buffersize)
    scene.stream._draft = drafted(scene.sink, scene.io, room.lift)
    return scene


def test_where_the_store_is_full_a_stream_waits_for_results_and_goes_on():
    room = Room(2)
    scene = roomy([Heavy()] * 5, room, 5)

    def freed(lo: int) -> None:
        room.most += 1
        scene.sink.resolve(resolved(lo, lo))

    for lo in (1, 0, 2, 3, 4):
        scene.sink.script.append(partial(freed, lo))
    assert list(scene.stream) == [0, 1, 2, 3, 4]
    assert scene.sent == 5
    assert BatchClosed(BATCH) in scene.io.posted


def test_results_are_given_before_a_store_that_is_full_is_waited_for():
    room = Room(2)
    scene = roomy([Heavy()] * 3, room)
    scene.answer(0, 0, 1)
    assert [next(scene.stream), next(scene.stream)] == [0, 1]
    room.most += 1
    scene.answer(2, 2)
    assert list(scene.stream) == [2]


def test_what_the_values_of_the_last_results_took_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=lambda: now[0]))
    room = Room(1)
    scene = roomy([Heavy()] * 2, room)
    scene.answer(0, 0)
    assert next(scene.stream) == 0

    def nothing_comes(free: int) -> None:
        now[0] += stream.LOOK_S
        room.most += free
        raise TimeoutError

    scene.sink.script += [partial(nothing_comes, 0), partial(nothing_comes, 1)]
    scene.answer(1, 1)
    assert next(scene.stream) == 1


def test_a_stream_that_holds_nothing_is_told_that_the_store_is_full(monkeypatch: pytest.MonkeyPatch):
    scene = roomy([Heavy()] * 2, Room(0))
    with pytest.raises(StoreFullError):
        next(scene.stream)
    assert list(scene.stream) == []
    now = [0.0]
    monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=lambda: now[0]))
    scene = roomy([Heavy()] * 2, Room(1))
    scene.answer(0, 0)
    assert next(scene.stream) == 0

    def nothing_comes() -> None:
        now[0] += stream.RELEASE_S / 2
        raise TimeoutError

    scene.sink.script += [nothing_comes] * 2
    with pytest.raises(StoreFullError):
        next(scene.stream)
    assert list(scene.stream) == []


def test_who_asks_for_the_next_result_within_a_time_waits_no_longer_for_room():
    scene = roomy([Heavy()] * 2, Room(1))
    scene.answer(0, 0)
    assert next(scene.stream) == 0
    with pytest.raises(TimeoutError, match="no room for its arguments yet"):
        scene.stream.next(timeout=0)
