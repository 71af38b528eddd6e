"""The monitor stream: numbered snapshots and deltas of the scheduler's tables, and span events, for whoever listens.

Each message is two frames, a topic and a MessagePack array `[kind, number, seconds, body]`; numbers count per topic,
so that a reader sees what it missed. Topic `state`: kind `snapshot` has all tables, `delta` the rows that changed since
the message before, with None for one that is gone; a reader with a gap subscribes again. Topic `spans`: best effort.
Nothing is computed while nobody listens.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from scaler.core import events as core
from scaler.net.transport import Frame, TurnedAway

SNAPSHOT_EVERY_S = 10.0
DELTA_EVERY_S = 1.0

#: table, row, and what is in it: whatever MessagePack holds
Tables = Mapping[str, Mapping[str, Any]]


TOPICS = (b"state", b"spans")


class Publisher(Protocol):
    """A socket that sends to all who subscribed."""

    def subscriptions(self) -> tuple[list[tuple[bytes, bool]], list[TurnedAway]]:
        """Topics, in order, and whether somebody subscribes to each or nobody any more; who was turned away."""
        ...

    def publish(self, frames: list[Frame]) -> None:
        """Send to all whose subscription is a prefix of the first frame."""
        ...


class MonitorStream:
    """Publishes what `tables` tells, at its time."""

    def __init__(self, publisher: Publisher, tables: Callable[[], Tables]) -> None:
        self._publisher = publisher
        self._tables = tables
        #: all and only beginnings of our topics that somebody subscribes to
        self._topics: set[bytes] = set()
        self._numbers: Counter[bytes] = Counter()
        self._encoder = msgspec.msgpack.Encoder()
        self._snapshot_at = 0.0
        #: None while nobody listens
        self._delta_at: float | None = None
        self._said: Tables = {}

    def events(self, now: float) -> tuple[list[core.Event], list[TurnedAway]]:
        """What has become of the subscriptions, for the core; and who was turned away."""
        changes, turned_away = self._publisher.subscriptions()
        was_watched = bool(self._topics)
        for topic, is_wanted in changes:
            if not is_wanted:
                self._topics.discard(topic)
            elif any(one.startswith(topic) for one in TOPICS):
                self._topics.add(topic)
                self._snapshot_at = self._delta_at = now
        if not self._topics:
            self._delta_at = None
        is_watched = bool(self._topics)
        return [core.WatchersChanged(is_watched)] if was_watched != is_watched else [], turned_away

    def tick(self, now: float) -> None:
        """Publish the state if it is time; called when the core has handled everything."""
        if self._delta_at is None or now < self._delta_at:
            return
        self._delta_at = now + DELTA_EVERY_S
        tables = {name: dict(rows) for name, rows in self._tables().items()}
        if now >= self._snapshot_at:
            self._snapshot_at = now + SNAPSHOT_EVERY_S
            self._publish(b"state", "snapshot", now, tables)
        elif changes := changed_rows(self._said, tables):
            self._publish(b"state", "delta", now, changes)
        self._said = tables

    def publish_spans(self, spans: tuple[tuple[int, int, int, int, str, str, int], ...], now: float) -> None:
        """Pass span events of the core on."""
        if self._topics:
            self._publish(b"spans", "spans", now, spans)

    def next_deadline(self) -> float | None:
        """When `tick` is due."""
        return self._delta_at

    def _publish(self, topic: bytes, kind: str, now: float, body: object) -> None:
        self._numbers[topic] += 1
        self._publisher.publish([topic, self._encoder.encode((kind, self._numbers[topic], now, body))])


def changed_rows(before: Tables, after: Tables) -> dict[str, dict[str, Any]]:
    """The rows of `after` that are new or other than in `before`, and None for those that are gone."""
    changes: dict[str, dict[str, Any]] = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name, {}), after.get(name, {})
        rows = {key: row for key, row in new.items() if key not in old or old[key] != row}
        rows |= {key: None for key in old if key not in new}
        if rows:
            changes[name] = rows
    return changes
