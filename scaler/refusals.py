"""Lines that any number of peers may cause at once, but no more of them than anybody would read."""

from collections.abc import Callable

BURST = 20
PER_S = 2.0
#: a peer chooses what a reason quotes, and could fill the disk with it
LONGEST = 500


class Allowance:
    """A token bucket for lines of one kind: a burst, then some a second; counts what finds no room."""

    def __init__(self) -> None:
        self._room = float(BURST)
        self._looked_at = 0.0
        self._held_back = 0

    def take(self, now: float) -> bool:
        """Whether there is room for a line; if not, it is counted."""
        self._refill(now)
        if self._room < 1:
            self._held_back += 1
            return False
        self._room -= 1
        return True

    def held_back(self, now: float) -> int:
        """How many lines are to be told of in one, for which there is room; else 0."""
        if not self._held_back:
            return 0
        self._refill(now)
        if self._room < 1:
            return 0
        self._room -= 1
        count, self._held_back = self._held_back, 0
        return count

    def _refill(self, now: float) -> None:
        self._room = min(BURST, self._room + (now - self._looked_at) * PER_S)
        self._looked_at = now


class Refusals:
    """A line for each connection that is turned away, handed to `emit` at a bounded rate."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._allowance = Allowance()

    def report(self, text: str, now: float) -> None:
        """Something was refused."""
        self.tick(now)
        if self._allowance.take(now):
            self._emit(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")

    def tick(self, now: float) -> None:
        """Tell what was held back, once there is room for a line again."""
        count = self._allowance.held_back(now)
        if count:
            self._emit(f"refused {count} more, not shown one by one")
