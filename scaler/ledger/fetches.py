"""Values that the caller reads and that lie on other hosts: their pieces are asked for, a few at a time."""

from collections import OrderedDict
from collections.abc import Iterable

from scaler.ids import ObjectId
from scaler.ledger.events import Command, Fetched, NotThere, Say, ValueAsked
from scaler.pieces import Pieces, ask
from scaler.protocol import ObjectChunk, ObjectLocated
from scaler.protocol.columns import Frame


class LedgerFetches:
    """All that are on their way, in the order they were asked for."""

    def __init__(self) -> None:
        self._wanted: OrderedDict[ObjectId, Pieces] = OrderedDict()

    def asked(self, event: ValueAsked) -> None:
        """The caller wants one, or no longer."""
        if event.size_bytes:
            self._wanted.setdefault(event.object, Pieces(event.size_bytes))
        else:
            self._wanted.pop(event.object, None)

    def arrived(self, chunk: ObjectChunk, frames: tuple[Frame, ...]) -> list[Command]:
        """A piece has come."""
        pieces = self._wanted.get(chunk.object)
        if pieces is None or not pieces.arrived(chunk.n):
            return []
        if pieces.is_whole:
            del self._wanted[chunk.object]
        return [Fetched(chunk.object, chunk.n, frames)]

    def located(self, message: ObjectLocated) -> None:
        """Pieces can be had, or cannot for a while."""
        pieces = self._wanted.get(message.object)
        if pieces is not None:
            pieces.located(is_there=message.size_bytes > 0)

    def lost(self, names: Iterable[ObjectId]) -> list[Command]:
        """Nobody has these any more."""
        return [NotThere(name) for name in names if self._wanted.pop(name, None) is not None]

    def linked(self) -> None:
        """A new link stands: what was asked for on the old one will not come."""
        for pieces in self._wanted.values():
            pieces.ask_again()
            pieces.is_absent = False

    def say(self) -> list[Command]:
        """Ask for what there is room for, now that there is a link."""
        return [Say(message) for message in ask(self._wanted)] if self._wanted else []

    def check(self) -> None:
        """Raise unless every invariant holds."""
        for pieces in self._wanted.values():
            pieces.check()
