"""The object manager: who holds a copy of which value, how large it is, and who still refers to it.

It knows peers by name and moves no bytes. An object lives while anybody refers to it, its maker included; when the last
reference goes, every holder is told to free its copy.
"""

from collections.abc import Iterable, Iterator, Mapping

from scaler.errors import ProtocolError
from scaler.ids import Incarnation, ObjectId
from scaler.protocol import FreeObjects, ObjectLocated, ObjectsLost

#: so many names fit a header
MAX_OBJECTS = 1 << 15
#: a peer may have so many
MOST_OBJECTS = 1_000_000
#: what to say to whom
Sayings = list[tuple[Incarnation, FreeObjects | ObjectLocated | ObjectsLost]]


def _sayings(kind: type[FreeObjects] | type[ObjectsLost], told: Mapping[Incarnation, list[ObjectId]]) -> Sayings:
    """What to tell each peer of these objects, in as many messages as their headers want."""
    return [
        (peer, kind(tuple(names[at : at + MAX_OBJECTS])))
        for peer, names in told.items()
        for at in range(0, len(names), MAX_OBJECTS)
    ]


class _Object:
    """One immutable value."""

    __slots__ = ("holders", "references", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        #: peers with a copy, the first one to have it first
        self.holders: dict[Incarnation, None] = {}
        #: peers that refer to it
        self.references: dict[Incarnation, None] = {}


class ObjectManager:
    """Every object somebody refers to."""

    def __init__(self) -> None:
        self._objects: dict[ObjectId, _Object] = {}
        #: the objects each peer holds or refers to
        self._of_peer: dict[Incarnation, dict[ObjectId, None]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def made(self, peer: Incarnation, objects: Iterable[tuple[ObjectId, int]]) -> None:
        """A peer made values: it holds them and refers to them."""
        if len(self._of_peer.get(peer, ())) >= MOST_OBJECTS:
            raise ProtocolError(f"a peer has more than {MOST_OBJECTS:,} objects")
        for name, size_bytes in objects:
            if name.owner != peer or size_bytes < 0:
                raise ProtocolError(f"object {name} of {size_bytes} bytes is not this peer's to make")
            known = self._objects.setdefault(name, _Object(size_bytes))
            known.holders[peer] = known.references[peer] = None
            self._note(peer, name)

    def held(self, peer: Incarnation, objects: Iterable[ObjectId]) -> Sayings:
        """A peer has copies now; of what is gone already it is told to free them."""
        gone = [name for name in objects if not self._hold(peer, name)]
        return _sayings(FreeObjects, {peer: gone})

    def served(self, name: ObjectId) -> None:
        """A cluster is asked for what it has made: it says when it has that no more, and copies go then."""
        if name not in self._objects:
            if len(self._of_peer.get(name.owner, ())) >= MOST_OBJECTS:
                raise ProtocolError(f"of a peer more than {MOST_OBJECTS:,} objects are asked for")
            self._objects[name] = known = _Object(0)
            known.holders[name.owner] = known.references[name.owner] = None
            self._note(name.owner, name)

    def _hold(self, peer: Incarnation, name: ObjectId) -> bool:
        known = self._objects.get(name)
        if known is None:
            return False
        known.holders[peer] = None
        self._note(peer, name)
        return True

    def dropped(self, peer: Incarnation, objects: Iterable[ObjectId]) -> Sayings:
        """A peer has no copies any more; whoever refers to what nobody holds is told that it is lost."""
        lost: dict[Incarnation, list[ObjectId]] = {}
        for name in objects:
            known = self._objects.get(name)
            if known is None or peer not in known.holders:
                continue
            del known.holders[peer]
            self._unnote(peer, name, known)
            if not known.holders:
                for concerned in dict.fromkeys((name.owner, *known.references)):
                    lost.setdefault(concerned, []).append(name)
        return _sayings(ObjectsLost, lost)

    def referred(self, peer: Incarnation, objects: Iterable[ObjectId]) -> Sayings:
        """A peer refers to these; those that are gone are lost to it."""
        gone = []
        for name in objects:
            known = self._objects.get(name)
            if known is None:
                gone.append(name)
            else:
                known.references[peer] = None
                self._note(peer, name)
        return _sayings(ObjectsLost, {peer: gone})

    def released(self, peer: Incarnation, objects: Iterable[ObjectId]) -> Sayings:
        """A peer refers to these no longer; what nobody refers to is freed everywhere."""
        free: dict[Incarnation, list[ObjectId]] = {}
        for name in objects:
            known = self._objects.get(name)
            if known is None or peer not in known.references:
                continue
            del known.references[peer]
            self._unnote(peer, name, known)
            if not known.references:
                for holder in self._forget(name):
                    if holder != peer or holder != name.owner:  # an owner that lets go has dropped its own
                        free.setdefault(holder, []).append(name)
        return _sayings(FreeObjects, free)

    def is_with_owner(self, name: ObjectId) -> bool:
        """Whether there is an object of this name, and its owner has it."""
        known = self._objects.get(name)
        return known is not None and name.owner in known.holders

    def holders(self, name: ObjectId) -> Iterable[Incarnation]:
        """All who have a copy."""
        known = self._objects.get(name)
        return () if known is None else known.holders

    def size_bytes(self, name: ObjectId) -> int:
        """How large an object is; 0 if there is none of this name."""
        known = self._objects.get(name)
        return 0 if known is None else known.size_bytes

    def located(self, peer: Incarnation, name: ObjectId) -> Sayings:
        """Tell a peer whether an object can be had, here."""
        known = self._objects.get(name)
        if known is None or not known.holders:
            return [(peer, ObjectsLost((name,)))]
        return [(peer, ObjectLocated(name, known.size_bytes, ()))]

    def lost_peer(self, peer: Incarnation) -> Sayings:
        """A peer is gone: so are its copies and its references."""
        names = list(self._of_peer.get(peer, ()))
        sayings = [*self.dropped(peer, names), *self.released(peer, names)]
        return [(concerned, message) for concerned, message in sayings if concerned != peer]

    def cleared(self, peer: Incarnation) -> Sayings:
        """A peer drops its objects though it stays: they are freed everywhere, and lost to others that refer to them.

        What others made it refers to no longer; copies of those it still holds.
        """
        names = list(self._of_peer.get(peer, ()))
        free: dict[Incarnation, list[ObjectId]] = {}
        lost: dict[Incarnation, list[ObjectId]] = {}
        for name in [name for name in names if name.owner == peer]:
            others = [other for other in self._objects[name].references if other != peer]
            for other in others:
                lost.setdefault(other, []).append(name)
                self._unnote_one(other, name)
            self._unnote_one(peer, name)
            for holder in self._forget(name):
                free.setdefault(holder, []).append(name)
        sayings = [*_sayings(FreeObjects, free), *_sayings(ObjectsLost, lost)]
        return [*sayings, *self.released(peer, [name for name in names if name.owner != peer])]

    def _forget(self, name: ObjectId) -> Iterator[Incarnation]:
        known = self._objects.pop(name)
        for holder in known.holders:
            self._unnote_one(holder, name)
            yield holder

    def _note(self, peer: Incarnation, name: ObjectId) -> None:
        self._of_peer.setdefault(peer, {})[name] = None

    def _unnote(self, peer: Incarnation, name: ObjectId, known: _Object) -> None:
        if peer not in known.holders and peer not in known.references:
            self._unnote_one(peer, name)

    def _unnote_one(self, peer: Incarnation, name: ObjectId) -> None:
        names = self._of_peer.get(peer, {})
        names.pop(name, None)
        if not names:
            self._of_peer.pop(peer, None)

    def check(self) -> None:
        """Every object is referred to, and the index by peer is true."""
        by_peer: dict[Incarnation, set[ObjectId]] = {}
        for name, known in self._objects.items():
            assert known.references, name
            for peer in (*known.holders, *known.references):
                by_peer.setdefault(peer, set()).add(name)
        assert by_peer == {peer: set(names) for peer, names in self._of_peer.items()}
