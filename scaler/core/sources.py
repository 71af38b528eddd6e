"""Which cluster fetches an object from which: the first from its owner through the scheduler, others from each other.

Who fetches from a cluster gets each piece as soon as that has it, so that an object spreads as a tree, at the speed of
its slowest branch. Its owner is the root where it is a cluster that others can reach.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from scaler.core.objects import ObjectManager
from scaler.core.workers import Cluster
from scaler.ids import Incarnation, ObjectId
from scaler.protocol import Door, FetchChunks

#: so many fetch an object from one cluster at a time
FANOUT = 2
#: so many fetch one of a single piece through the scheduler before others are sent to a door, which takes longer
SMALL_RELAYED = 8


class Sources:
    """Of each object that clusters fetch, the source of each: another cluster, or None for the scheduler itself."""

    def __init__(self, objects: ObjectManager, clusters: Mapping[Incarnation, Cluster]) -> None:
        self._objects = objects
        self._clusters = clusters
        self._by_object: dict[ObjectId, dict[Incarnation, Incarnation | None]] = {}

    def door(self, peer: Incarnation, wanted: FetchChunks) -> Door | None:
        """Where a cluster is to fetch an object; None if through the scheduler. It is told the same until it ends."""
        fetching = self._by_object.setdefault(wanted.object, {})
        if wanted.insists:
            fetching[peer] = None
        elif peer not in fetching:
            fetching[peer] = self._chosen(peer, wanted, fetching)
        source = fetching[peer]
        return None if source is None else self._clusters[source].door

    def _chosen(
        self, peer: Incarnation, wanted: FetchChunks, fetching: Mapping[Incarnation, Incarnation | None]
    ) -> Incarnation | None:
        users = Counter(fetching.values())
        if (wanted.first, wanted.count) == (0, 1) and users[None] < SMALL_RELAYED:
            return None
        # those with all of it first, then in the order in which they began: the tree stays flat
        for source in (wanted.object.owner, *self._objects.holders(wanted.object), *fetching):
            if users[source] < FANOUT and self._has_door(source) and not _is_below(source, peer, fetching):
                return source
        return None

    def _has_door(self, peer: Incarnation) -> bool:
        cluster = self._clusters.get(peer)
        return cluster is not None and cluster.door is not None

    def done(self, peer: Incarnation, names: Iterable[ObjectId]) -> None:
        """A cluster has these whole, or wants them no more."""
        for name in names:
            self._forget(name, peer)

    def _forget(self, name: ObjectId, peer: Incarnation) -> None:
        fetching = self._by_object.get(name, {})
        fetching.pop(peer, None)
        if not fetching:
            self._by_object.pop(name, None)

    def lacks(self, source: Incarnation, name: ObjectId) -> list[Incarnation]:
        """A cluster will not have an object: those that fetch it there, who need another source."""
        found = [peer for peer, its in self._by_object.get(name, {}).items() if its == source]
        for peer in found:
            self._forget(name, peer)
        return found

    def gone(self, name: ObjectId) -> list[Incarnation]:
        """Nobody is to have an object any more: those that fetch it from other clusters."""
        return [peer for peer, source in self._by_object.pop(name, {}).items() if source is not None]

    def left(self, peer: Incarnation) -> list[tuple[ObjectId, Incarnation]]:
        """A cluster is gone: whoever fetches what from it."""
        found = []
        for name in list(self._by_object):
            self._forget(name, peer)
            found += [(name, child) for child in self.lacks(peer, name)]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._by_object

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._by_object)

    def check(self) -> None:
        """Nobody fetches from who is not there, or from itself by whatever way."""
        for name, fetching in self._by_object.items():
            assert fetching, name
            for peer, source in fetching.items():
                assert source is None or self._has_door(source), name
                assert source is None or not _is_below(source, peer, fetching), name


def _is_below(source: Incarnation, peer: Incarnation, fetching: Mapping[Incarnation, Incarnation | None]) -> bool:
    """Whether what a source gets comes from a peer, or it is that itself."""
    at: Incarnation | None = source
    while at is not None and at != peer:
        at = fetching.get(at)
    return at is not None
