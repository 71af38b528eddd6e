"""What peers say of objects: who made, has and needs which; and their pieces, on the way from one host to another."""

from collections.abc import Callable
from typing import assert_never

from scaler.core.managers import Managers
from scaler.core.objects import Sayings
from scaler.core.relays import Relays
from scaler.errors import ProtocolError
from scaler.ids import Incarnation
from scaler.pieces import MOST_PIECES
from scaler.protocol import (
    FetchChunks,
    LocateObject,
    ObjectChunk,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsMade,
    PeerPass,
    ReferencesReleased,
    ReferencesTaken,
)
from scaler.protocol.columns import Frame

AboutObjects = (
    ObjectsMade
    | ObjectsHeld
    | ObjectsDropped
    | ReferencesTaken
    | ReferencesReleased
    | LocateObject
    | FetchChunks
    | ObjectChunk
)


class ObjectRequests:
    """Answers them; owners that are not back at `absent_at` are taken for lost."""

    def __init__(self, managers: Managers, absent_at: Callable[[], float]) -> None:
        self._objects = managers.objects
        self._outbox = managers.outbox
        self._timers = managers.timers
        self._clients = managers.clients.clients
        self._clusters = managers.workers.clusters
        self._absent_at = absent_at
        #: those that were here and have left, while others may come that were here before
        self._gone: set[Incarnation] = set()
        self._are_all_told = False
        self._relays = Relays(managers.objects, managers.outbox, self._clusters)
        #: what clusters show at each other's doors
        self._pass: PeerPass | None = None

    def _may_come(self, owner: Incarnation, now: float) -> bool:
        """Whether an object of this owner may be unknown here because it has not told of it yet."""
        if owner in self._gone:
            return False
        if now >= self._absent_at():
            self._are_all_told = True
            self._gone.clear()
        client = self._clients.get(owner)
        return now < self._absent_at() if client is None else not client.has_resumed

    def resumed(self, now: float) -> None:
        """A client has said which objects it has, and all else."""
        self._relays.come_no_more(lambda owner: self._may_come(owner, now))

    def release(self, now: float) -> None:
        """Owners that have not come back by now are taken for lost."""
        if self._relays.are_some_absent and now >= self._absent_at():
            self._relays.come_no_more(lambda owner: self._may_come(owner, now))

    def said(self, peer: Incarnation, message: AboutObjects, frames: tuple[Frame, ...], now: float) -> None:
        """A peer said something of objects."""
        objects = self._objects
        match message:
            case ObjectsMade(made):
                objects.made(peer, made)
                self._relays.made(name for name, _ in made)
            case ObjectsHeld(names):
                self._relays.held(peer, names)
                self._tell(objects.held(peer, names))
            case ObjectsDropped(names):
                self._tell(objects.dropped(peer, names))
                if peer in self._clusters:
                    self._tell(objects.released(peer, [name for name in names if name.owner == peer]))
                self._relays.gone(names, said_by=peer)
                self._relays.dropped(peer, names)
            case ReferencesTaken(names):
                self._tell(objects.referred(peer, names))
            case ReferencesReleased(names):
                self._tell(objects.released(peer, names))
                self._relays.gone(names)
            case LocateObject(name):
                self._tell(objects.located(peer, name))
            case FetchChunks():
                self._fetch(peer, message, now)
            case ObjectChunk():
                self._relays.arrived(peer, message, frames)
            case _:
                assert_never(message)

    def admit(self, shown: PeerPass) -> None:
        """Clusters are to show this at each other's doors, from now on and nothing else."""
        self._pass = shown
        for cluster in self._clusters:
            self._outbox.send(cluster, shown)

    def joined(self, cluster: Incarnation) -> None:
        """A cluster is there, perhaps again."""
        if self._pass is not None:
            self._outbox.send(cluster, self._pass)
        self._gone.discard(cluster)
        self._relays.joined(cluster)

    def _fetch(self, peer: Incarnation, wanted: FetchChunks, now: float) -> None:
        if peer not in self._clusters and wanted.object.owner in self._clients:
            raise ProtocolError("pieces of what clients have are for clusters alone")
        if not 0 < wanted.count <= MOST_PIECES:
            raise ProtocolError(f"{wanted.count} pieces of an object are asked for, not 1 to {MOST_PIECES}")
        if wanted.object.owner in self._clusters:
            self._objects.served(wanted.object)
        may_come = self._may_come(wanted.object.owner, now)
        if may_come:
            self._timers.release_by(self._absent_at())
        self._relays.fetch(peer, wanted, may_come=may_come)

    def cleared(self, peer: Incarnation) -> None:
        """A peer drops all its objects."""
        self._tell(self._objects.cleared(peer))
        self._relays.cleared(peer)

    def left(self, peer: Incarnation) -> None:
        """A peer is gone, and all that it had."""
        if not self._are_all_told:
            self._gone.add(peer)
        self._tell(self._objects.lost_peer(peer))
        self._relays.left(peer)

    def _tell(self, sayings: Sayings) -> None:
        for concerned, message in sayings:
            self._outbox.send(concerned, message)

    def check(self) -> None:
        """Every invariant."""
        self._relays.check()
