"""The order in which a cluster serves its runs: by priority, then clients in turn, then by age."""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator

from scaler.ids import Incarnation, RunId
from scaler.worker.agent_work import Run

_Lane = OrderedDict[RunId, Run]


class RunQueue:
    """All and only runs that have queued tasks and whose function is here."""

    def __init__(self) -> None:
        #: how many tasks wait
        self.tasks = 0
        #: priorities that have runs, negated, so that the most urgent is first
        self._order: list[int] = []
        #: the clients of each, the one whose turn it is first; and the runs of each of those, oldest first
        self._levels: dict[int, OrderedDict[Incarnation, _Lane]] = {}

    def __contains__(self, run: Run) -> bool:
        level = self._levels.get(run.options.priority)
        return level is not None and run.batch.owner in level and run.id in level[run.batch.owner]

    def added(self, run: Run, count: int, *, at_front: bool) -> None:
        """So many tasks of a run came to wait; a run that is new here goes before or behind those of its client."""
        self.tasks += count
        priority = run.options.priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = OrderedDict()
            insort(self._order, -priority)
        lane = level.get(run.batch.owner)
        if lane is None:
            lane = level[run.batch.owner] = OrderedDict()
        if run.id not in lane:
            lane[run.id] = run
            lane.move_to_end(run.id, last=not at_front)

    def removed(self, run: Run, count: int) -> None:
        """So many tasks of a run wait no longer."""
        self.tasks -= count
        if run.queued:
            return
        priority, owner = run.options.priority, run.batch.owner
        level = self._levels[priority]
        lane = level[owner]
        del lane[run.id]
        if not lane:
            del level[owner]
            if not level:
                del self._levels[priority]
                self._order.remove(-priority)

    def head(self) -> Run:
        """The run to be served next; there is one."""
        level = self._levels[-self._order[0]]
        lane = next(iter(level.values()))
        return next(iter(lane.values()))

    def in_order(self) -> Iterator[Run]:
        """All runs in the order in which they are to be served, as it is now."""
        for priority in self._order:
            for lane in self._levels[-priority].values():
                yield from lane.values()

    def pass_turn(self, run: Run) -> None:
        """The client of this run has had its share: others of its priority come first."""
        level = self._levels.get(run.options.priority)
        if level is not None and run.batch.owner in level:
            level.move_to_end(run.batch.owner)
