"""Runs: one sending of a slice to one cluster, and what a cluster has at the moment."""

from collections import OrderedDict

from scaler.core.runtimes import RunTimes
from scaler.ids import Incarnation, RunId
from scaler.ranges import RangeSet
from scaler.resources import Resources


class Load:
    """What one cluster has and has not finished; the task manager keeps it true, placement reads it."""

    __slots__ = (
        "_changed",
        "_is_noted",
        "by_times",
        "live",
        "peer",
        "resources",
        "runs",
        "size_bytes",
        "unfinished",
    )

    def __init__(self, peer: Incarnation, changed: "list[Incarnation]") -> None:
        self.peer = peer
        #: tasks ASSIGNED, RETRACTING, RUNNING or CANCELLING there
        self.unfinished = 0
        #: the same by function and tag
        self.by_times: dict[RunTimes, int] = {}
        #: argument bytes sent with what is unfinished
        self.size_bytes = 0
        #: what the unfinished tasks hold, by name
        self.resources: dict[str, float] = {}
        #: every run it is known to have, and those with something unfinished, oldest first
        self.runs: OrderedDict[RunId, Run] = OrderedDict()
        self.live: OrderedDict[RunId, Run] = OrderedDict()
        self._changed = changed
        self._is_noted = False

    def note(self) -> None:
        """Have this cluster looked at before the turn ends."""
        if not self._is_noted:
            self._is_noted = True
            self._changed.append(self.peer)

    def noted(self) -> None:
        """The cluster has been looked at."""
        self._is_noted = False

    def change(self, count: int, times: RunTimes, size_bytes: int, resources: Resources) -> None:
        """So many tasks came (or, below zero, went)."""
        self.unfinished += count
        self.size_bytes += size_bytes
        left = self.by_times.get(times, 0) + count
        if left:
            self.by_times[times] = left
        else:
            del self.by_times[times]
        for name, amount in resources:
            self.resources[name] = self.resources.get(name, 0.0) + count * amount
        self.note()

    def work_s(self) -> float:
        """The estimated slot-seconds of what is unfinished."""
        return sum(count * times.estimate_s for times, count in self.by_times.items())

    def filled_s(self, lookahead_s: float) -> float:
        """What of the lookahead of all slots is taken: a task fills that of one slot at most, however long it runs."""
        return sum(count * min(times.estimate_s, lookahead_s) for times, count in self.by_times.items())


class Run:
    """One sending of [lo, hi) of a batch to a cluster, or what a cluster claims to have of an earlier one."""

    __slots__ = (
        "batch",
        "claims",
        "held",
        "hi",
        "id",
        "lo",
        "load",
        "result_bytes",
        "serial",
        "size_bytes",
        "stored",
        "unfinished",
    )

    def __init__(self, run: RunId, serial: int, lo: int, hi: int, load: Load) -> None:
        self.id = run
        #: names the batch
        self.serial = serial
        self.lo = lo
        self.hi = hi
        self.load = load
        #: tasks in spans of this run
        self.held = 0
        #: those of them that are LIVE
        self.unfinished = 0
        #: argument bytes of those
        self.size_bytes = 0
        #: those whose value lies with its cluster
        self.stored = 0
        #: about what the outcomes take that its cluster keeps of the others
        self.result_bytes = 0
        #: what its cluster also has, begun or finished, while the span stands elsewhere: the first result wins
        self.claims = RangeSet()

    @property
    def peer(self) -> Incarnation:
        """The cluster that has it."""
        return self.load.peer
