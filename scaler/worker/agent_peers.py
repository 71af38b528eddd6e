"""Other clusters that fetch from this one what it has, or is fetching itself: they get each piece once it is here."""

from scaler.ids import ObjectId
from scaler.pieces import MOST_PIECES
from scaler.protocol import FetchChunks, ObjectChunk, ObjectsDropped
from scaler.protocol.columns import Frame
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_peer_events import AnswerPeer


class Askers:
    """Who waits for which pieces that have not come here yet."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting: dict[ObjectId, dict[int, dict[int, None]]] = {}

    def wait(self, connection: int, name: ObjectId, n: int) -> None:
        """Somebody wants a piece that is to come."""
        self._waiting.setdefault(name, {}).setdefault(n, {})[connection] = None

    def arrived(self, chunk: ObjectChunk, frames: tuple[Frame, ...]) -> None:
        """A piece has come."""
        pieces = self._waiting.get(chunk.object)
        if pieces is None:
            return
        for connection in pieces.pop(chunk.n, ()):
            self._outbox.order(AnswerPeer(connection, chunk, frames))
        if not pieces:
            del self._waiting[chunk.object]

    def come_no_more(self, name: ObjectId) -> None:
        """No further piece of an object will come."""
        pieces = self._waiting.pop(name, {})
        for connection in dict.fromkeys(connection for those in pieces.values() for connection in those):
            self.refuse(connection, name)

    def refuse(self, connection: int, name: ObjectId) -> None:
        """Somebody cannot have an object from here."""
        self._outbox.order(AnswerPeer(connection, ObjectsDropped((name,))))

    def left(self, connection: int) -> None:
        """Somebody waits for nothing any more."""
        for name, pieces in list(self._waiting.items()):
            for n, those in list(pieces.items()):
                those.pop(connection, None)
                if not those:
                    del pieces[n]
            if not pieces:
                del self._waiting[name]

    @property
    def names(self) -> set[ObjectId]:
        """All objects that somebody waits for."""
        return set(self._waiting)


def pieces_of(wanted: FetchChunks, count: int) -> range:
    """Those of an object of so many pieces that somebody may have now."""
    return range(wanted.first, min(wanted.first + min(wanted.count, MOST_PIECES), count))
