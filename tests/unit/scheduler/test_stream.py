"""The monitor stream: snapshots and deltas, numbered, and nothing at all while nobody listens."""

from typing import Any

import msgpack

from scaler.core.events import WatchersChanged
from scaler.net.transport import TurnedAway
from scaler.scheduler.stream import MonitorStream, Tables, changed_rows
from tests.unit.scheduler.fakes import FakePublisher

SPANS = ((7, 1, 0, 4, "queued", "assigned", 9),)


class Stream:
    """A stream of one table, which a test may change."""

    def __init__(self) -> None:
        self.publisher = FakePublisher()
        self.tables: dict[str, dict[str, Any]] = {"tasks": {"queued": 1}}
        self.looks = 0
        self.stream = MonitorStream(self.publisher, self._look)

    def _look(self) -> Tables:
        self.looks += 1
        return self.tables

    def turn(self, now: float) -> list[WatchersChanged]:
        events, turned_away = self.stream.events(now)
        assert turned_away == []
        self.stream.tick(now)
        return events

    def published(self) -> list[tuple[bytes, list[Any]]]:
        published, self.publisher.published = self.publisher.published, []
        return [(topic, msgpack.unpackb(body)) for topic, body in published]


def test_nothing_is_looked_at_or_published_while_nobody_listens():
    watched = Stream()
    assert watched.turn(1.0) == []
    watched.stream.publish_spans(SPANS, 1.0)
    assert watched.published() == []
    assert watched.looks == 0
    assert watched.stream.next_deadline() is None


def test_whoever_begins_to_listen_has_a_snapshot_at_once_and_then_what_changes():
    watched = Stream()
    watched.publisher.subscribe()
    assert watched.turn(1.0) == [WatchersChanged(True)]  # a field
    assert watched.published() == [(b"state", ["snapshot", 1, 1.0, {"tasks": {"queued": 1}}])]
    assert watched.stream.next_deadline() == 2.0
    watched.tables = {"tasks": {"queued": 1, "running": 2}}
    assert watched.turn(1.9) == []
    assert watched.published() == []
    assert watched.turn(2.0) == []
    assert watched.published() == [(b"state", ["delta", 2, 2.0, {"tasks": {"running": 2}}])]
    assert watched.turn(3.0) == []
    assert watched.published() == []


def test_a_snapshot_comes_every_ten_seconds():
    watched = Stream()
    watched.publisher.subscribe()
    for second in range(22):
        watched.turn(float(second))
    assert [(body[0], body[2]) for _, body in watched.published()] == [
        ("snapshot", 0.0),
        ("snapshot", 10.0),
        ("snapshot", 20.0),
    ]


def test_another_listener_makes_a_snapshot_for_all():
    watched = Stream()
    watched.publisher.subscribe()
    watched.turn(1.0)
    watched.publisher.subscribe()
    assert watched.turn(1.5) == []
    assert [body[:2] for _, body in watched.published()] == [["snapshot", 1], ["snapshot", 2]]


def test_when_the_last_one_leaves_it_ends():
    watched = Stream()
    watched.publisher.subscribe(b"state", b"spans", b"state")
    watched.turn(1.0)
    watched.publisher.unsubscribe(b"spans")
    assert watched.turn(2.0) == []
    watched.publisher.unsubscribe(b"state")
    assert watched.turn(3.0) == [WatchersChanged(False)]  # a field
    looks = watched.looks
    watched.turn(99.0)
    assert watched.looks == looks
    assert watched.stream.next_deadline() is None


def test_what_ends_without_having_begun_harms_nobody():
    watched = Stream()
    watched.publisher.unsubscribe(b"state", b"spans", b"state")
    assert watched.turn(1.0) == []
    watched.publisher.subscribe(b"")
    assert watched.turn(2.0) == [WatchersChanged(True)]  # a field
    watched.publisher.unsubscribe(b"state")
    assert watched.turn(3.0) == []


def test_topics_that_are_never_published_are_nobodys_concern():
    watched = Stream()
    watched.publisher.subscribe(b"weather", b"states")
    assert watched.turn(1.0) == []


def test_of_an_end_and_a_new_begin_in_one_turn_the_last_counts():
    watched = Stream()
    watched.publisher.subscribe(b"state")
    watched.turn(1.0)
    watched.publisher.unsubscribe(b"state")
    watched.publisher.subscribe(b"state")
    assert watched.turn(2.0) == []


def test_spans_are_a_topic_of_their_own_with_numbers_of_its_own():
    watched = Stream()
    watched.publisher.subscribe()
    watched.turn(1.0)
    watched.published()
    watched.stream.publish_spans(SPANS, 1.5)
    watched.stream.publish_spans(SPANS, 1.6)
    spans = [list(SPANS[0])]
    assert watched.published() == [(b"spans", ["spans", 1, 1.5, spans]), (b"spans", ["spans", 2, 1.6, spans])]


def test_who_was_turned_away_is_passed_on():
    publisher = FakePublisher()
    publisher.turned_away = [TurnedAway("10.0.0.1", "no key")]
    assert MonitorStream(publisher, dict).events(1.0) == ([], [TurnedAway("10.0.0.1", "no key")])


def test_rows_that_changed_came_or_went_are_found():
    before = {"a": {"1": 1, "2": 2, "3": 3}, "gone": {"x": 1}, "same": {"y": 1}}
    after = {"a": {"1": 1, "2": 0, "4": 4}, "same": {"y": 1}, "new": {"z": 1}}
    assert changed_rows(before, after) == {"a": {"2": 0, "4": 4, "3": None}, "gone": {"x": None}, "new": {"z": 1}}
    assert changed_rows(after, after) == {}
