"""What waits for a worker, in order: by class, then priority, then in turn by client, then by depth, age and index.

What tasks submit takes the turns of the client that submitted the outermost of them, and goes before what that has.
Classes may be as many as tasks: those that differ only in how much they want are of one kind, and turns look at kinds.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from scaler.core.lanes import ClassKey, KindKey, Lane
from scaler.ids import Incarnation
from scaler.resources import Resources

_Key = TypeVar("_Key")
#: So many lanes of a client are told of when it is asked which there are.
LANES_OF_A_CLIENT = 4
#: Tasks are counted for so many batches together.
BATCHES_TOGETHER = 64


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

    __slots__ = ("_levels", "_priorities", "filed", "is_aside", "key", "kind", "nested_of", "tasks", "turn")

    def __init__(self, key: ClassKey, kind: "QueueKind") -> None:
        self.key = key
        self.kind = kind
        self.tasks = 0
        #: it is in `Queue.aside`
        self.is_aside = False
        #: the priority under which its kind has it, not below that of its head
        self.filed = 0
        #: counts turns: the lower, the longer ago it was served
        self.turn = 0
        #: clients it has or had lanes of that others of their tasks have submitted
        self.nested_of: dict[Incarnation, None] = {}
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

    def lanes(self) -> Iterator[Lane]:
        """Some of its lanes, the urgent first, clients in turn, some without tasks; nothing may be moved meanwhile."""
        for negated in self._priorities:
            for lanes in self._levels[-negated].clients.values():
                yield from (lane for *_, lane in islice(lanes, LANES_OF_A_CLIENT))

    def tasks_of(self) -> "Counter[Incarnation]":
        """How many tasks of each client are in it, without those that tasks have submitted."""
        counted = Counter[Incarnation]()
        for level in self._levels.values():
            for owner, lanes in level.clients.items():
                counted[owner] += sum(lane.tasks for *_, lane in lanes if not lane.depth)
        return +counted

    def pass_turn(self, lane: Lane) -> None:
        """The client of this lane has had its turn."""
        level = self._levels[lane.priority]
        if len(level.clients) > 1:
            level.clients.move_to_end(lane.owner)


class QueueKind:
    """The classes with tasks, and not set aside, that want the same things, in different amounts."""

    __slots__ = ("_amounts", "_filed", "_priorities", "key")

    def __init__(self, key: KindKey) -> None:
        self.key = key
        #: by priority, the one served longest ago first
        self._filed: dict[int, dict[ClassKey, QueueClass]] = {}
        #: negated, so the largest comes first
        self._priorities: list[int] = []
        #: of each name what its classes want of it, the least first
        self._amounts: tuple[list[float], ...] = tuple([[] for _ in key.names])

    @property
    def is_empty(self) -> bool:
        """Whether it has no class."""
        return not self._filed

    def add(self, known: QueueClass) -> None:
        """A class has tasks; the caller files it."""
        for amounts, (_, amount) in zip(self._amounts, known.key.resources, strict=True):
            insort(amounts, amount)

    def remove(self, known: QueueClass) -> None:
        """A class has none left, or waits aside."""
        self.unfile(known)
        for amounts, (_, amount) in zip(self._amounts, known.key.resources, strict=True):
            del amounts[bisect_left(amounts, amount)]

    def file(self, known: QueueClass, priority: int) -> None:
        """Put a class behind the others of a priority."""
        known.filed = priority
        filed = self._filed.get(priority)
        if filed is None:
            self._filed[priority] = {known.key: known}
            insort(self._priorities, -priority)
        else:
            filed[known.key] = known

    def unfile(self, known: QueueClass) -> None:
        """Take a class out of the order."""
        filed = self._filed[known.filed]
        del filed[known.key]
        if not filed:
            del self._filed[known.filed], self._priorities[bisect_left(self._priorities, -known.filed)]

    def least(self) -> Resources:
        """Less than this of any name is not enough for one of its classes."""
        return tuple([(name, amounts[0]) for name, amounts in zip(self.key.names, self._amounts, strict=True)])

    def classes(self) -> Iterator[QueueClass]:
        """Its classes, the most urgent first; nothing may be filed meanwhile."""
        for negated in self._priorities:
            yield from self._filed[-negated].values()

    def in_order(self) -> Iterator[QueueClass]:
        """Its classes, the most urgent first; those that are filed anew meanwhile may come twice, or not at all."""
        for negated in list(self._priorities):
            yield from list(self._filed.get(-negated, {}).values())


class Queue:
    """Every queued task of every client."""

    def __init__(self) -> None:
        #: the classes that have tasks
        self.classes: dict[ClassKey, QueueClass] = {}
        #: the same by kind, but for what emptied since they were swept
        self.kinds: dict[KindKey, QueueKind] = {}
        #: classes that some cluster with room may take tasks of; of all others only one that changed has to be asked
        self.woken: dict[ClassKey, QueueClass] = {}
        #: classes with tasks that no connected cluster could take, in no other index and looked at by no turn
        self.aside: dict[ClassKey, QueueClass] = {}
        #: how many tasks wait for a worker, and how many of them in `aside`
        self.tasks = 0
        self.tasks_aside = 0
        #: how many wait of each priority, by age: of so many batches together that were opened one after the other
        self._by_age: dict[int, dict[int, int]] = {}
        #: how many of either each client has, without those that tasks have submitted
        self.waiting = Counter[Incarnation]()
        self.waiting_aside = Counter[Incarnation]()
        #: classes that had lanes of what tasks have submitted, by the client whose turn that is
        self._nested: dict[Incarnation, dict[ClassKey, QueueClass]] = {}
        #: classes that had no task left at some time since they were swept
        self._emptied: dict[ClassKey, QueueClass] = {}
        #: the class swept last: tasks that come one by one are often of that
        self._last: QueueClass | None = None
        self._pushes = 0
        self._turns = 0
        #: counts spans that were queued
        self.puts = 0

    def put(self, lane: Lane, lo: int, count: int) -> None:
        """A span of a lane is queued."""
        known = self.classes.get(lane.key) or self.aside.get(lane.key)
        if known is None:
            known = self._new_class(lane)
        if known.is_aside:
            self.tasks_aside += count
        if not lane.depth:
            (self.waiting_aside if known.is_aside else self.waiting)[lane.owner] += count
        lane.put(lo, count)
        self.puts += 1
        _add(self._by_age.setdefault(lane.priority, {}), lane.serial // BATCHES_TOGETHER, count)
        known.tasks += count
        self.tasks += count
        if not lane.in_heap:
            self._pushes += 1
            known.push(lane, self._pushes)
            if lane.depth:
                known.nested_of[lane.owner] = None
                self._nested.setdefault(lane.owner, {})[lane.key] = known
            if not known.is_aside:
                self.woken[lane.key] = known
                if lane.priority > known.filed:
                    self._file(known, lane.priority)

    def _new_class(self, lane: Lane) -> QueueClass:
        known = self._last
        if known is None or known.key != lane.key:
            name = lane.key.kind
            known = QueueClass(lane.key, self.kinds.get(name) or QueueKind(name))
        self._last = None
        self._come_in(known, lane.priority)
        return known

    def _come_in(self, known: QueueClass, priority: int) -> None:
        """Turns look at a class from now on."""
        self.classes[known.key] = self.woken[known.key] = known
        known.kind = self.kinds.setdefault(known.kind.key, known.kind)
        known.kind.add(known)
        self._turns += 1
        known.turn = self._turns
        known.kind.file(known, priority)

    def _file(self, known: QueueClass, priority: int) -> None:
        """The last of its priority from now on."""
        known.kind.unfile(known)
        self._turns += 1
        known.turn = self._turns
        known.kind.file(known, priority)

    def pass_turn(self, known: QueueClass, lane: Lane) -> None:
        """A class has had its turn, and in it the client of this lane."""
        known.pass_turn(lane)
        if len(self.classes) > 1:
            self._file(known, known.filed)

    def head(self, known: QueueClass) -> tuple[Lane, int] | None:
        """The lane of a class whose turn it is, and how many clients share its priority; it is filed by that."""
        head = known.head()
        if head is not None and head[0].priority != known.filed:
            self._file(known, head[0].priority)
        return head

    def nested(self, owner: Incarnation) -> list[QueueClass]:
        """Classes that may have tasks of this client which others of its tasks have submitted."""
        found = self._nested.get(owner)
        return [known for known in found.values() if not known.is_aside] if found else []

    def take(self, lane: Lane, lo: int, count: int) -> None:
        """A span of a lane is queued no longer, or not as this one."""
        lane.take(lo, count)
        self.tasks -= count
        by_age = self._by_age[lane.priority]
        _take_off(by_age, lane.serial // BATCHES_TOGETHER, count)
        if not by_age:
            del self._by_age[lane.priority]
        known = self.classes.get(lane.key) or self.aside[lane.key]
        if known.is_aside:
            self.tasks_aside -= count
        if not lane.depth:
            _take_off(self.waiting_aside if known.is_aside else self.waiting, lane.owner, count)
        known.tasks -= count
        if not known.tasks:
            self._emptied[lane.key] = known

    def sweep(self) -> None:
        """Drop the classes that have no task left."""
        for key, known in self._emptied.items():
            if not known.tasks:
                # its lanes are asked so that each knows it is in no heap any more
                known.head()
                if known.is_aside:
                    del self.aside[key]
                else:
                    self._leave(known)
                    self._last = known
                for owner in known.nested_of:
                    nested = self._nested[owner]
                    del nested[key]
                    if not nested:
                        del self._nested[owner]
                known.nested_of.clear()
        self._emptied.clear()

    def _leave(self, known: QueueClass) -> None:
        """No turn looks at a class any more."""
        del self.classes[known.key]
        self.woken.pop(known.key, None)
        known.kind.remove(known)
        if known.kind.is_empty:
            del self.kinds[known.kind.key]

    def ahead(self, priority: int, serial: int) -> int:
        """How many tasks are more urgent, or as urgent and of batches opened before those counted with this one."""
        ahead = sum(sum(by_age.values()) for other, by_age in self._by_age.items() if other > priority)
        as_urgent = self._by_age.get(priority, {})
        return ahead + sum(count for age, count in as_urgent.items() if age < serial // BATCHES_TOGETHER)

    @property
    def is_dry(self) -> bool:
        """Whether no task waits that a connected cluster could take."""
        return self.tasks == self.tasks_aside

    def set_aside(self, key: ClassKey) -> None:
        """No connected cluster could take tasks of this class."""
        known = self.classes[key]
        self._leave(known)
        self.aside[key] = known
        known.is_aside = True
        self.tasks_aside += known.tasks
        for owner, count in known.tasks_of().items():
            _take_off(self.waiting, owner, count)
            self.waiting_aside[owner] += count

    def bring_back(self, is_offered: Callable[[ClassKey], bool]) -> None:
        """Let turns look again at what may be taken now."""
        for key in [key for key in self.aside if is_offered(key)]:
            known = self.aside.pop(key)
            self.tasks_aside -= known.tasks
            known.is_aside = False
            for owner, count in known.tasks_of().items():
                _take_off(self.waiting_aside, owner, count)
                self.waiting[owner] += count
            head = known.head()
            self._come_in(known, head[0].priority if head is not None else 0)

    def check(self) -> None:
        """Every index of classes holds all and only what it is an index of."""
        assert not self.classes.keys() & self.aside.keys()
        assert self.tasks == sum(known.tasks for known in (*self.classes.values(), *self.aside.values()))
        assert all(known.is_aside is (key in self.aside) for key, known in (self.classes | self.aside).items())
        assert self.tasks_aside == sum(known.tasks for known in self.aside.values())
        assert sum(sum(by_age.values()) for by_age in self._by_age.values()) == self.tasks
        assert all(all(by_age.values()) and by_age for by_age in self._by_age.values())
        for classes, waiting in ((self.classes, self.waiting), (self.aside, self.waiting_aside)):
            assert dict(waiting) == dict(sum((known.tasks_of() for known in classes.values()), Counter()))
        assert self.woken.items() <= self.classes.items()
        ordered = [known for kind in self.kinds.values() for known in kind.in_order()]
        assert {id(known) for known in ordered} == {id(known) for known in self.classes.values()}
        assert len(ordered) == len(self.classes)
        for name, kind in self.kinds.items():
            order = [(-known.filed, known.turn) for known in kind.in_order()]
            assert order == sorted(order)
            assert order
            assert all(known.key.kind == name and known.kind is kind for known in kind.in_order())
            amounts = zip(*(known.key.resources for known in kind.in_order()), strict=True)
            assert kind.least() == tuple(min(of_one_name) for of_one_name in amounts)
        for known in (*self.classes.values(), *self.aside.values()):
            head = known.head()
            assert head is None or known.filed >= head[0].priority or known.is_aside
            assert all(self._nested[owner][known.key] is known for owner in known.nested_of)
        assert sum(map(len, self._nested.values())) == sum(
            len(known.nested_of) for known in (*self.classes.values(), *self.aside.values())
        )


def _add(counted: dict[_Key, int], key: _Key, count: int) -> None:
    counted[key] = counted.get(key, 0) + count


def _take_off(counted: dict[_Key, int], key: _Key, count: int) -> None:
    left = counted.get(key, 0) - count
    if left:
        counted[key] = left
    else:
        counted.pop(key, None)
