"""Lines that any number of peers may cause at once, but no more of them than anybody would read."""

from collections.abc import Callable

from scaler.core.events import Note

BURST = 20
PER_S = 2.0
#: a peer chooses what a reason quotes, and could fill the disk with it
LONGEST = 500


def _shortened(note: Note) -> Note:
    fields = [
        (name, f"{value[:LONGEST]} …" if isinstance(value, str) and len(value) > LONGEST else value)
        for name, value in note.fields
    ]
    return Note(note.level, note.text, tuple(fields))


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


class Notes:
    """The core's lines about peers that come, go and fail; of each kind as many as `Refusals` lets through."""

    def __init__(self, emit: Callable[[Note], None]) -> None:
        self._emit = emit
        #: by what is always the same in a line: the core has few kinds
        self._kinds: dict[tuple[str, str], Allowance] = {}

    def report(self, note: Note, now: float) -> None:
        """The core has something for the log."""
        kind = note.level, note.text
        allowance = self._kinds.get(kind)
        if allowance is None:
            allowance = self._kinds[kind] = Allowance()
        self._tell_held_back(kind, allowance, now)
        if allowance.take(now):
            self._emit(_shortened(note))

    def tick(self, now: float) -> None:
        """Tell what was held back, once there is room for a line again."""
        for kind, allowance in self._kinds.items():
            self._tell_held_back(kind, allowance, now)

    def _tell_held_back(self, kind: tuple[str, str], allowance: Allowance, now: float) -> None:
        count = allowance.held_back(now)
        if count:
            level, text = kind
            self._emit(Note(level, f"{text}: {count} more, not shown one by one"))
