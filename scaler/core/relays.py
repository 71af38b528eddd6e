"""Pieces of objects on their way through the scheduler, from their owners to those who wait for them.

A piece that several wait for is asked for once; it is passed on to all of them as it comes, and not kept. Clusters that
can have an object from another cluster are sent there.
"""

from collections.abc import Callable, Iterable, Mapping

from scaler.core.objects import ObjectManager
from scaler.core.outbox import Outbox
from scaler.core.sources import Sources
from scaler.core.workers import Cluster
from scaler.errors import ProtocolError
from scaler.ids import Incarnation, ObjectId
from scaler.pieces import MOST_PIECE_FRAMES
from scaler.protocol import FetchChunks, ObjectChunk, ObjectLocated, ObjectsLost
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame
from scaler.ranges import joined_indices

#: a peer may wait for so many pieces at a time; what it wants no more counts until it comes
MOST_WAITED_FOR = 4096


class _Relay:
    """One object, pieces of which are on their way."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        #: of each piece who waits for it
        self.waiting: dict[int, dict[Incarnation, None]] = {}


class Relays:
    """All objects of which pieces are on their way."""

    def __init__(self, objects: ObjectManager, outbox: Outbox, clusters: Mapping[Incarnation, Cluster]) -> None:
        self._objects = objects
        self._outbox = outbox
        self._clusters = clusters
        self._sources = Sources(objects, clusters)
        self._by_object: dict[ObjectId, _Relay] = {}
        #: objects that their owners have not told of yet, and who wants to hear when they have
        self._absent: dict[ObjectId, dict[Incarnation, None]] = {}
        #: how many pieces each peer waits for
        self._waited_for: dict[Incarnation, int] = {}

    def fetch(self, peer: Incarnation, wanted: FetchChunks, *, may_come: bool = False) -> None:
        """A peer wants pieces of an object; one that nobody has `may_come` if its owner has not told all it has.

        Then the peer hears when it does, and asks again.
        """
        name = wanted.object
        if not self._can_be_had(name):
            self._have_wait(peer, name, may_come=may_come)
            return
        end = (wanted.first + wanted.count - 1) * MAX_FRAME_BYTES
        if name.owner not in self._clusters and end >= self._objects.size_bytes(name):
            self._outbox.send(peer, ObjectsLost((name,)))  # it is another one than the peer was told of
            return
        if self._waited_for.get(peer, 0) + wanted.count > MOST_WAITED_FOR:
            raise ProtocolError(f"a peer waits for more than {MOST_WAITED_FOR} pieces of objects")
        if not wanted.count:
            return
        is_new = name not in self._sources
        door = self._sources.door(peer, wanted) if peer in self._clusters else None
        if door is not None:
            if is_new and name.owner in self._clusters:
                self._outbox.send(name.owner, FetchChunks(name, 0, 0))  # it has to say when it has that no more
            self._outbox.send(peer, ObjectLocated(name, self._objects.size_bytes(name) or 1, (door,)))
            return
        relay = self._by_object.setdefault(name, _Relay())
        asked = []
        for n in range(wanted.first, wanted.first + wanted.count):
            if n not in relay.waiting:
                relay.waiting[n] = {}
                asked.append(n)
            if peer not in relay.waiting[n]:
                relay.waiting[n][peer] = None
                self._waited_for[peer] = self._waited_for.get(peer, 0) + 1
        for lo, hi in joined_indices(asked):
            self._outbox.send(name.owner, FetchChunks(name, lo, hi - lo))

    def _can_be_had(self, name: ObjectId) -> bool:
        """Whether its owner can be asked: a client says which objects it has, a cluster when it has one no more."""
        return name.owner in self._clusters or self._objects.is_with_owner(name)

    def _have_wait(self, peer: Incarnation, name: ObjectId, *, may_come: bool) -> None:
        if may_come:
            self._absent.setdefault(name, {})[peer] = None
            self._outbox.send(peer, ObjectLocated(name, 0, ()))
        else:
            self._outbox.send(peer, ObjectsLost((name,)))

    def made(self, names: Iterable[ObjectId]) -> None:
        """An owner has said that it has these: who waits for that hears it."""
        for name in names:
            for peer in self._absent.pop(name, ()):
                self._outbox.send(peer, ObjectLocated(name, self._objects.size_bytes(name) or 1, ()))

    def joined(self, owner: Incarnation) -> None:
        """A cluster is back: who waits for what it has made may ask for it."""
        self.made([name for name in self._absent if name.owner == owner])

    @property
    def are_some_absent(self) -> bool:
        """Whether anybody wants to hear of an object that its owner has not told of."""
        return bool(self._absent)

    def come_no_more(self, may_come: Callable[[Incarnation], bool]) -> None:
        """Of some owners all objects are known now: who waits for others hears that there are none."""
        for name in [name for name in self._absent if not may_come(name.owner)]:
            for peer in self._absent.pop(name):
                self._outbox.send(peer, ObjectsLost((name,)))

    def arrived(self, peer: Incarnation, chunk: ObjectChunk, frames: tuple[Frame, ...]) -> None:
        """A piece has come: it goes to all who wait for it, if anybody still does."""
        relay = self._by_object.get(chunk.object)
        if relay is None or chunk.object.owner != peer:
            return
        if not 0 < len(frames) <= MOST_PIECE_FRAMES or sum(map(len, frames)) > MAX_FRAME_BYTES:
            raise ProtocolError(f"a piece of an object came in {len(frames)} frames, or is too large")
        for one in relay.waiting.pop(chunk.n, ()):
            self._waits_no_more(one)
            self._outbox.send(one, chunk, frames)
        if not relay.waiting:
            del self._by_object[chunk.object]

    def gone(self, names: Iterable[ObjectId], said_by: Incarnation | None = None) -> None:
        """Something has become of these: who waits for pieces of one that its owner has no more hears so."""
        for name in names:
            if name.owner == said_by or not self._can_be_had(name):
                self._give_up(name)

    def _give_up(self, name: ObjectId) -> None:
        waiting = dict.fromkeys(self._sources.gone(name))
        relay = self._by_object.pop(name, None)
        for those in relay.waiting.values() if relay is not None else ():
            for one in those:
                self._waits_no_more(one)
                waiting[one] = None
        for one in waiting:
            self._outbox.send(one, ObjectsLost((name,)))

    def held(self, cluster: Incarnation, names: Iterable[ObjectId]) -> None:
        """A cluster has these whole."""
        self._sources.done(cluster, names)

    def dropped(self, cluster: Incarnation, names: Iterable[ObjectId]) -> None:
        """A cluster has these no more, or wants them no more: whoever fetches them there has to ask again."""
        for name in names:
            self._sources.done(cluster, (name,))
            self._have_ask_again([(name, child) for child in self._sources.lacks(cluster, name)])

    def _have_ask_again(self, children: Iterable[tuple[ObjectId, Incarnation]]) -> None:
        for name, child in children:
            self._outbox.send(child, ObjectLocated(name, self._objects.size_bytes(name) or 1, ()))

    def cleared(self, owner: Incarnation) -> None:
        """An owner has dropped all its objects."""
        self.gone([name for name in self._names() if name.owner == owner])

    def _names(self) -> list[ObjectId]:
        """All objects of which anything is on its way, here or elsewhere."""
        return list(dict.fromkeys((*self._by_object, *self._sources)))

    def left(self, peer: Incarnation) -> None:
        """A peer is gone: it waits for nothing, and what was asked of it will not come."""
        self._waited_for.pop(peer, None)
        for name, those in list(self._absent.items()):
            those.pop(peer, None)
            if not those:
                del self._absent[name]
        self.come_no_more(lambda owner: owner != peer)
        self._have_ask_again([(name, child) for name, child in self._sources.left(peer) if name.owner != peer])
        for name, relay in list(self._by_object.items()):
            for n, those in list(relay.waiting.items()):
                those.pop(peer, None)
                if not those:
                    del relay.waiting[n]
            if not relay.waiting:
                del self._by_object[name]
        for name in self._names():
            if name.owner == peer:
                self._give_up(name)

    def _waits_no_more(self, peer: Incarnation) -> None:
        left = self._waited_for[peer] - 1
        if left:
            self._waited_for[peer] = left
        else:
            del self._waited_for[peer]

    def check(self) -> None:
        """Who waits for how much is counted right."""
        counted: dict[Incarnation, int] = {}
        for relay in self._by_object.values():
            assert relay.waiting
            for those in relay.waiting.values():
                assert those
                for one in those:
                    counted[one] = counted.get(one, 0) + 1
        assert counted == self._waited_for
        self._sources.check()
