"""The order in which a cluster serves its runs: by priority, then clients in turn, then by depth and age.

What tasks submit takes the turns of the client that submitted the outermost of them, and goes before what that has.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator

from scaler.ids import Incarnation, RunId
from scaler.worker.agent_work import Run

_Lane = OrderedDict[RunId, Run]
#: the runs of one client by how many tasks they are nested in, oldest first
_Lanes = dict[int, _Lane]


class RunQueue:
    """All and only runs that have queued tasks and whose function is here."""

    def __init__(self) -> None:
        #: how many tasks wait
        self.tasks = 0
        #: priorities that have runs, negated, so that the most urgent is first
        self._order: list[int] = []
        #: the clients of each, the one whose turn it is first; and the runs of each of those
        self._levels: dict[int, OrderedDict[Incarnation, _Lanes]] = {}

    def __contains__(self, run: Run) -> bool:
        level = self._levels.get(run.options.priority)
        lanes = None if level is None else level.get(run.root)
        lane = None if lanes is None else lanes.get(run.options.depth)
        return lane is not None and run.id in lane

    def added(self, run: Run, count: int, *, at_front: bool) -> None:
        """So many tasks of a run came to wait; a run that is new here goes before or behind those of its client."""
        self.tasks += count
        priority = run.options.priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = OrderedDict()
            insort(self._order, -priority)
        lanes = level.get(run.root)
        if lanes is None:
            lanes = level[run.root] = {}
        lane = lanes.get(run.options.depth)
        if lane is None:
            lane = lanes[run.options.depth] = OrderedDict()
        if run.id not in lane:
            lane[run.id] = run
            lane.move_to_end(run.id, last=not at_front)

    def removed(self, run: Run, count: int) -> None:
        """So many tasks of a run wait no longer."""
        self.tasks -= count
        if run.queued:
            return
        priority, depth = run.options.priority, run.options.depth
        level = self._levels[priority]
        lanes = level[run.root]
        del lanes[depth][run.id]
        if lanes[depth]:
            return
        del lanes[depth]
        if not lanes:
            del level[run.root]
            if not level:
                del self._levels[priority]
                self._order.remove(-priority)

    def head(self) -> Run:
        """The run to be served next; there is one."""
        level = self._levels[-self._order[0]]
        lanes = next(iter(level.values()))
        return next(iter(lanes[max(lanes)].values()))

    def in_order(self) -> Iterator[Run]:
        """All runs in the order in which they are to be served, as it is now."""
        for priority in self._order:
            for lanes in self._levels[-priority].values():
                for depth in sorted(lanes, reverse=True):
                    yield from lanes[depth].values()

    def pass_turn(self, run: Run) -> None:
        """The client of this run has had its share: others of its priority come first."""
        level = self._levels.get(run.options.priority)
        if level is not None and run.root in level:
            level.move_to_end(run.root)
