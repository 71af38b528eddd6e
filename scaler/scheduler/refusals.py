"""One line for each connection that is turned away, but no more lines than anybody would read."""

from collections.abc import Callable

BURST = 20
PER_S = 2.0
#: a peer chooses what a reason quotes, and could fill the disk with it
LONGEST = 500


class Refusals:
    """Hands lines to `emit` at a bounded rate, and tells how many it held back."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._allowance = float(BURST)
        self._looked_at = 0.0
        self._held_back = 0

    def report(self, text: str, now: float) -> None:
        """Something was refused."""
        self.tick(now)
        if self._allowance < 1:
            self._held_back += 1
            return
        self._allowance -= 1
        self._emit(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")

    def tick(self, now: float) -> None:
        """Tell what was held back, once there is room for a line again."""
        self._allowance = min(BURST, self._allowance + (now - self._looked_at) * PER_S)
        self._looked_at = now
        if self._held_back and self._allowance >= 1:
            self._allowance -= 1
            self._emit(f"refused {self._held_back} more, not shown one by one")
            self._held_back = 0
