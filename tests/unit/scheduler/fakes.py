"""Stand-ins for what surrounds the exchange: a publisher without a socket, and a core that says what a test wants."""

from collections.abc import Iterable

from scaler.core.events import Command, Event
from scaler.net.transport import Frame, TurnedAway


class FakePublisher:
    """Counts nothing itself: a test says who subscribed, and reads what was published."""

    def __init__(self) -> None:
        self.changes: list[tuple[bytes, bool]] = []
        self.turned_away: list[TurnedAway] = []
        self.published: list[list[Frame]] = []

    def subscribe(self, *topics: bytes) -> None:
        self.changes += [(topic, True) for topic in topics or (b"state",)]

    def unsubscribe(self, *topics: bytes) -> None:
        self.changes += [(topic, False) for topic in topics]

    def subscriptions(self) -> tuple[list[tuple[bytes, bool]], list[TurnedAway]]:
        found = self.changes, self.turned_away
        self.changes, self.turned_away = [], []
        return found

    def publish(self, frames: list[Frame]) -> None:
        self.published.append(frames)


class FakeCore:
    """Remembers what it was told, and asks for what it was given to ask for, once."""

    def __init__(self) -> None:
        self.told: list[tuple[Event, ...]] = []
        self.asks: list[Command] = []
        self.deadline: float | None = None

    def handle(self, events: Iterable[Event], now: float) -> list[Command]:
        self.told.append(tuple(events))
        self.now = now
        asks, self.asks = self.asks, []
        return asks

    def next_deadline(self) -> float | None:
        return self.deadline
