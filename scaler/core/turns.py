"""Whose turn it is at one cluster: by priority, then the class served longest ago; of a client the deeper first."""

import heapq
from collections.abc import Iterator

from scaler.core.lanes import Lane
from scaler.core.queue import Queue, QueueClass, QueueKind
from scaler.core.workers import Cluster


class Turns:
    """The classes that one cluster may have room for, one after the other; a class that is left out is not seen again.

    Room only shrinks while a cluster is filled, so that what has not fitted once need not be looked at again.
    """

    __slots__ = ("_cluster", "_heap", "_is_empty", "_now", "_passed", "_pushes", "_queue")

    def __init__(self, queue: Queue, cluster: Cluster, kinds: list[QueueKind], now: float) -> None:
        self._queue = queue
        self._cluster = cluster
        self._now = now
        self._is_empty = not cluster.load.unfinished
        #: what was looked at last of each kind, or is to be looked at again: the lowest is next
        self._heap: list[tuple[bool, int, int, int, QueueClass, Iterator[QueueClass] | None]] = []
        self._pushes = 0
        #: classes of which no more can be given
        self._passed: set[QueueClass] = set()
        for kind in kinds:
            if self._is_empty or not kind.key.needs.alone:
                self._advance(kind, kind.in_order())

    def _advance(self, kind: QueueKind, rest: Iterator[QueueClass]) -> None:
        """Look at the next class of a kind that fits."""
        if kind.is_empty or not self._cluster.may_take(kind, self._now):
            return
        fits = self._cluster.fits
        for known in rest:
            if known.tasks and (not known.key.resources or fits(known.key.resources)):
                self._push(known, rest)
                return

    def _push(self, known: QueueClass, rest: Iterator[QueueClass] | None) -> None:
        self._pushes += 1
        # what must be alone there goes first while it is empty
        is_later = not (self._is_empty and known.key.needs.alone)
        heapq.heappush(self._heap, (is_later, -known.filed, known.turn, self._pushes, known, rest))

    def again(self, known: QueueClass) -> None:
        """It has had its turn, and may have another."""
        self._passed.discard(known)
        self._push(known, None)

    def next(self) -> tuple[QueueClass, Lane, int] | None:
        """The class whose turn it is, the lane whose turn it is there, and how many clients share that."""
        while self._heap:
            *_, known, rest = heapq.heappop(self._heap)
            filed = known.filed
            head = self._queue.head(known) if known.tasks and known not in self._passed else None
            if rest is not None:
                self._advance(known.kind, rest)
            if head is None:
                continue
            if known.filed != filed:
                self._push(known, None)
                continue
            deeper = self._deeper(known, head[0])
            if deeper is not None:
                self._push(known, None)
                return deeper
            self._passed.add(known)
            return (known, *head)
        return None

    def _deeper(self, known: QueueClass, lane: Lane) -> tuple[QueueClass, Lane, int] | None:
        """The deepest of another class that the same client has at the same priority, if it is deeper."""
        found: tuple[QueueClass, Lane, int] | None = None
        deepest = lane.depth
        for other in self._queue.nested(lane.owner):
            if other is known or other in self._passed:
                continue
            head = self._queue.head(other)
            if head is None or head[0].owner != lane.owner or head[0].priority != lane.priority:
                continue
            if head[0].depth > deepest and self._may_take(other):
                found, deepest = (other, *head), head[0].depth
        if found is not None:
            self._passed.add(found[0])
        return found

    def _may_take(self, known: QueueClass) -> bool:
        cluster = self._cluster
        return cluster.offers(known.key, self._now) and cluster.fits(known.key.resources)
