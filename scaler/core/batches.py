"""A batch: one function, one set of options, its calls as chunks, its tasks as spans."""

from scaler.core.chunks import ChunkStore
from scaler.core.holdings import Holding
from scaler.core.lanes import ClassKey, Lane
from scaler.core.lifecycle import CLOSED
from scaler.core.needs import Input, Needed
from scaler.core.runs import Run
from scaler.core.runtimes import RunTimes
from scaler.core.spans import NO_COUNTS, NO_NEEDS, Counts, Needs, SpanMap
from scaler.ids import BatchId, FunctionId, Incarnation
from scaler.protocol import BatchOptions
from scaler.ranges import RangeSet


class Batch:
    """What the scheduler knows of one batch; the task manager alone changes its spans."""

    __slots__ = (
        "_lane",
        "_lanes",
        "appended",
        "asked_back",
        "function",
        "gone",
        "holding",
        "id",
        "is_closed",
        "is_orphan",
        "is_resumed",
        "known_tags",
        "needs",
        "options",
        "rivals",
        "serial",
        "spans",
        "store",
        "times",
        "wanted",
    )

    def __init__(
        self,
        batch: BatchId,
        serial: int,
        function: FunctionId,
        options: BatchOptions,
        times: RunTimes,
        holding: Holding | None = None,
    ) -> None:
        self.id = batch
        #: counts batches as they were opened: their age, and their name after the client is lost
        self.serial = serial
        self.function = function
        self.options = options
        self.times = times
        self.spans = SpanMap()
        #: what is here of its client
        self.holding = Holding() if holding is None else holding
        self.store = ChunkStore(self.holding)
        #: indices below are known; those of them in no span are gone
        self.appended = 0
        self.gone = 0
        self.is_closed = False
        #: its client is lost or cleared it: nothing is sent to it, and what ends is gone at once
        self.is_orphan = False
        #: it came by `Resume`: arguments may be missing and are asked for
        self.is_resumed = False
        #: None, or the tags that were known when its own was found unknown: its tasks are refused
        self.known_tags: tuple[str, ...] | None = None
        #: what is to be cancelled if its cluster has not begun it, and was asked for
        self.asked_back = RangeSet()
        #: runs with claims beside the span's own run
        self.rivals: list[Run] = []
        #: what those of its tasks need that need others and have not ended, by index
        self.needs: dict[int, Needed] = {}
        #: those of its tasks that others need, by index
        self.wanted: dict[int, Input] = {}
        self._lane = self._new_lane(NO_NEEDS)
        self._lanes: dict[Needs, Lane] = {NO_NEEDS: self._lane}

    @property
    def owner(self) -> Incarnation:
        """The client whose it is."""
        return self.id.owner

    @property
    def root(self) -> Incarnation:
        """The client that has submitted it, or the outermost of the tasks it is nested in."""
        return self.options.root or self.id.owner

    @property
    def is_over(self) -> bool:
        """Whether nothing more can happen to it."""
        return not len(self.spans) and (self.is_closed or self.is_orphan)

    @property
    def unfinished(self) -> int:
        """How many of its tasks have not ended, counted anew."""
        return sum(span.hi - span.lo for span in self.spans.all() if span.state not in CLOSED)

    def lane_of(self, counts: Counts) -> Lane:
        """Where tasks with these counts queue.

        What a task has submitted cannot have a cluster to itself: its parent may be there, and waits for it.
        """
        if counts is NO_COUNTS:
            return self._lane
        needs = counts.needs
        if self.options.depth:
            needs = needs._replace(alone=False)
        lane = self._lanes.get(needs)
        if lane is None:
            lane = self._lanes[needs] = self._new_lane(needs)
        return lane

    def _new_lane(self, needs: Needs) -> Lane:
        options = self.options
        key = ClassKey(options.tag, options.resources, needs)
        return Lane(self.serial, self.root, options.priority, key, options.depth)

    def lanes(self) -> list[Lane]:
        """Every lane it has or had."""
        return list(self._lanes.values())
