"""What a client is asked for of its objects, which lie on its host; one that has none says so."""

from typing import Protocol

from scaler.ledger.events import Say
from scaler.protocol import FetchChunks, ObjectsDropped


class Pieces(Protocol):
    """The objects of the client."""

    def answer(self, wanted: FetchChunks) -> list[Say]:
        """The pieces that somebody asks for."""
        ...

    def close(self) -> None:
        """The client has left."""
        ...


class NoPieces:
    """None yet."""

    def answer(self, wanted: FetchChunks) -> list[Say]:
        """They are gone."""
        return [Say(ObjectsDropped((wanted.object,)))]

    def close(self) -> None:
        """There are none."""
