"""The client's objects as a scheduler is told of them: which there are, so that others can have and free copies."""

from collections.abc import Iterable
from typing import TypeVar

from scaler.ids import ObjectId
from scaler.ledger.events import Command, ObjectFreed, ObjectMade, Say
from scaler.protocol import ObjectsMade, ReferencesReleased
from scaler.protocol.options import MAX_RANGES

_T = TypeVar("_T")


class LedgerObjects:
    """All objects that somebody needs, and what of them is unsaid."""

    def __init__(self) -> None:
        self._alive: dict[ObjectId, int] = {}
        #: all and only those of the living that the scheduler has not been told of
        self._made: dict[ObjectId, int] = {}
        #: those that it was told of and nobody needs any more
        self._freed: list[ObjectId] = []

    def hear(self, event: ObjectMade | ObjectFreed) -> None:
        """One came, or is needed no more."""
        if isinstance(event, ObjectMade):
            self.made(event.object, event.size_bytes)
        else:
            self.freed(event.object)

    def made(self, name: ObjectId, size_bytes: int) -> None:
        """There is a new one."""
        self._alive[name] = self._made[name] = size_bytes

    def freed(self, name: ObjectId) -> None:
        """Nobody needs it any more; nothing if it was dropped with all others before."""
        if self._alive.pop(name, None) is not None and self._made.pop(name, None) is None:
            self._freed.append(name)

    def clear(self) -> None:
        """All are dropped, and the scheduler is told so by other means."""
        self._alive.clear()
        self._made.clear()
        self._freed.clear()

    def tell_anew(self) -> None:
        """The present scheduler is a new one: it knows nothing of them."""
        self._made = dict(self._alive)
        self._freed.clear()

    def say(self) -> list[Command]:
        """All that is unsaid, now that there is a link."""
        if not self._made and not self._freed:
            return []
        made, freed = tuple(self._made.items()), tuple(self._freed)
        self._made.clear()
        self._freed.clear()
        said: list[Command] = [Say(ObjectsMade(part)) for part in _parts(made)]
        return [*said, *(Say(ReferencesReleased(part)) for part in _parts(freed))]

    def check(self) -> None:
        """Raise unless every invariant holds."""
        assert self._made.items() <= self._alive.items()
        assert not self._alive.keys() & set(self._freed)


def _parts(names: tuple[_T, ...]) -> Iterable[tuple[_T, ...]]:
    return (names[at : at + MAX_RANGES] for at in range(0, len(names), MAX_RANGES))
