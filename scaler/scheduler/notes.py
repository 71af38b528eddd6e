"""What the core has for the log, but no more lines of a kind than anybody would read."""

from collections.abc import Callable

from scaler.core.events import Note
from scaler.refusals import LONGEST, Allowance


def _shortened(note: Note) -> Note:
    fields = [
        (name, f"{value[:LONGEST]} …" if isinstance(value, str) and len(value) > LONGEST else value)
        for name, value in note.fields
    ]
    return Note(note.level, note.text, tuple(fields))


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
