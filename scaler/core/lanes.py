"""Lanes: the queued spans of one batch that need the same of a cluster, and the classes that they are of."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from scaler.core.spans import Needs
from scaler.ids import Incarnation
from scaler.resources import Resources


class ClassKey(NamedTuple):
    """What a cluster must offer: tasks of one class can go to the same clusters."""

    tag: str | None
    resources: Resources
    needs: Needs

    @property
    def kind(self) -> "KindKey":
        """All of it but the amounts."""
        return KindKey(self.tag, tuple([name for name, _ in self.resources]), self.needs)


class KindKey(NamedTuple):
    """What the classes of one kind have in common."""

    tag: str | None
    names: tuple[str, ...]
    needs: Needs


class Lane:
    """The queued spans of one batch that need the same; `serial` names the batch, `owner` the client whose turn it is.

    `depth` is how many tasks they are nested in: the deepest are served first.
    """

    __slots__ = ("_starts", "depth", "in_heap", "key", "owner", "passed", "priority", "serial", "tasks", "told")

    def __init__(self, serial: int, owner: Incarnation, priority: int, key: ClassKey, depth: int = 0) -> None:
        self.serial = serial
        self.owner = owner
        self.priority = priority
        self.key = key
        self.depth = depth
        #: where the queued spans begin, ascending
        self._starts: list[int] = []
        self.tasks = 0
        self.in_heap = False
        #: clusters were told of all below that need objects
        self.told = 0
        #: so many tasks have gone past the first since one did
        self.passed = 0

    @property
    def first(self) -> int:
        """The lowest queued index."""
        return self._starts[0]

    def starts(self) -> list[int]:
        """Where its spans begin."""
        return list(self._starts)

    def starts_from(self, index: int) -> Iterator[int]:
        """Where the span that may hold an index begins, and those behind it."""
        return islice(self._starts, max(0, bisect_right(self._starts, index) - 1), None)

    def put(self, lo: int, count: int) -> None:
        """A span is queued."""
        self.told = min(self.told, lo)
        if self._starts and lo < self._starts[-1]:
            insort(self._starts, lo)
        else:
            self._starts.append(lo)
        self.tasks += count

    def take(self, lo: int, count: int) -> None:
        """A span is queued no longer, or not as this one."""
        starts = self._starts
        del starts[0 if starts[0] == lo else bisect_left(starts, lo)]
        self.tasks -= count
