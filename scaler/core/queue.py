"""What waits for a worker, in order: by class, then priority, then in turn by client, then by depth, age and index.

What tasks submit takes the turns of the client that submitted the outermost of them, and goes before what that has.
"""

import heapq
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from scaler.core.spans import Needs
from scaler.ids import Incarnation
from scaler.resources import Resources


class ClassKey(NamedTuple):
    """What a cluster must offer: tasks of one class can go to the same clusters."""

    tag: str | None
    resources: Resources
    needs: Needs


class Lane:
    """The queued spans of one batch that need the same; `serial` names the batch, `owner` the client whose turn it is.

    `depth` is how many tasks they are nested in: the deepest are served first.
    """

    __slots__ = ("_starts", "depth", "in_heap", "key", "owner", "priority", "serial", "tasks")

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

    @property
    def first(self) -> int:
        """The lowest queued index."""
        return self._starts[0]

    def starts(self) -> list[int]:
        """Where its spans begin."""
        return list(self._starts)

    def put(self, lo: int, count: int) -> None:
        """A span is queued."""
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


class _Level:
    """The lanes of one class and priority: clients in turn, each with its lanes by depth and age."""

    __slots__ = ("clients",)

    def __init__(self) -> None:
        self.clients: OrderedDict[Incarnation, list[tuple[int, int, int, Lane]]] = OrderedDict()

    def push(self, lane: Lane, number: int) -> None:
        heapq.heappush(self.clients.setdefault(lane.owner, []), (-lane.depth, lane.serial, number, lane))

    def head(self) -> Lane | None:
        """The lane whose turn it is; emptied ones in front of it are dropped."""
        while self.clients:
            owner, lanes = next(iter(self.clients.items()))
            while lanes:
                lane = lanes[0][3]
                if lane.tasks:
                    return lane
                lane.in_heap = False
                heapq.heappop(lanes)
            del self.clients[owner]
        return None


class QueueClass:
    """All queued tasks that need the same of a cluster."""

    __slots__ = ("_levels", "_priorities", "is_starved", "key", "tasks")

    def __init__(self, key: ClassKey) -> None:
        self.key = key
        self.tasks = 0
        #: no cluster with room takes its head: only one that changed has to be asked
        self.is_starved = False
        self._levels: dict[int, _Level] = {}
        #: negated, so the largest comes first
        self._priorities: list[int] = []

    def push(self, lane: Lane, number: int) -> None:
        """A lane has tasks."""
        level = self._levels.get(lane.priority)
        if level is None:
            level = self._levels[lane.priority] = _Level()
            insort(self._priorities, -lane.priority)
        level.push(lane, number)
        lane.in_heap = True

    def head(self) -> tuple[Lane, int] | None:
        """The lane whose turn it is, and how many clients share its priority."""
        while self._priorities:
            priority = -self._priorities[0]
            level = self._levels[priority]
            lane = level.head()
            if lane is not None:
                return lane, len(level.clients)
            del self._levels[priority], self._priorities[0]
        return None

    def pass_turn(self, lane: Lane) -> None:
        """The client of this lane has had its turn."""
        level = self._levels[lane.priority]
        if len(level.clients) > 1:
            level.clients.move_to_end(lane.owner)


class Queue:
    """Every queued task of every client."""

    def __init__(self) -> None:
        #: the classes that have tasks, the one served longest ago first; every turn looks at all of them
        self.classes: OrderedDict[ClassKey, QueueClass] = OrderedDict()
        #: classes with tasks that no connected cluster could take, in no other index and looked at by no turn
        self.aside: dict[ClassKey, QueueClass] = {}
        #: how many tasks wait for a worker
        self.tasks = 0
        #: classes that had no task left at some time since they were swept
        self._emptied: dict[ClassKey, QueueClass] = {}
        self._pushes = 0

    def put(self, lane: Lane, lo: int, count: int) -> None:
        """A span of a lane is queued."""
        known = self.classes.get(lane.key) or self.aside.get(lane.key)
        if known is None:
            known = self.classes[lane.key] = QueueClass(lane.key)
        lane.put(lo, count)
        known.tasks += count
        self.tasks += count
        if not lane.in_heap:
            known.is_starved = False
            self._pushes += 1
            known.push(lane, self._pushes)

    def take(self, lane: Lane, lo: int, count: int) -> None:
        """A span of a lane is queued no longer, or not as this one."""
        lane.take(lo, count)
        self.tasks -= count
        known = self.classes.get(lane.key) or self.aside[lane.key]
        known.tasks -= count
        if not known.tasks:
            self._emptied[lane.key] = known

    def sweep(self) -> None:
        """Drop the classes that have no task left."""
        for key, known in self._emptied.items():
            if not known.tasks:
                # its lanes are asked so that each knows it is in no heap any more
                known.head()
                del (self.classes if key in self.classes else self.aside)[key]
        self._emptied.clear()

    @property
    def is_dry(self) -> bool:
        """Whether no task waits that a connected cluster could take."""
        return not any(known.tasks for known in self.classes.values())

    def set_aside(self, key: ClassKey) -> None:
        """No connected cluster could take tasks of this class."""
        self.aside[key] = self.classes.pop(key)

    def bring_back(self, is_offered: Callable[[ClassKey], bool]) -> None:
        """Let turns look again at what may be taken now."""
        for key in [key for key in self.aside if is_offered(key)]:
            known = self.classes[key] = self.aside.pop(key)
            known.is_starved = False
