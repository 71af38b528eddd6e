"""What busy clusters fetch before a task needs it: the objects of those at the head of the queue.

The tasks stay in the queue, where urgency, turns and fairness hold. A cluster is only told what to fetch, and takes the
tasks it was told of before others when their lane has its turn there. Whoever has a free slot takes what is left.
"""

from collections.abc import Iterator
from itertools import islice

from scaler.core.batches import Batch
from scaler.core.config import CoreConfig
from scaler.core.lanes import ClassKey, Lane
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.workers import Cluster
from scaler.ids import TaskId
from scaler.protocol import PrefetchObjects
from scaler.protocol.columns import REFERENCE, Frame
from scaler.protocol.inputs import input_frames

#: so many classes, lanes of each, and clusters are looked at in a turn
MOST_CLASSES = 16
MOST_LANES = 16
MOST_CLUSTERS = 16
#: so many tasks without objects are passed over in a lane in a turn
MOST_PLAIN = 1000
#: so many tasks that others were told of, when one is looked for that nobody was
MOST_OF_OTHERS = 1000
#: a task that its cluster does not take is passed by so many others for each slot that may run it
ROUNDS = 2
#: so many objects are told of at a time
MOST_OBJECTS = 1024


class Prefetch:
    """Tells clusters what to fetch, and which of the queued tasks a cluster takes first."""

    def __init__(self, managers: Managers) -> None:
        self._config: CoreConfig = managers.config
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._outbox = managers.outbox
        #: so many clusters may be fed since anything has changed; and how many spans had been queued by then
        self._to_look_at = 0
        self._seen = 0
        #: slots of the clusters that may take a class, of those asked for in this turn
        self._offered: dict[ClassKey, int] = {}

    # ---- what to fetch

    def look_ahead(self, now: float, *, has_new: bool, has_changed: bool) -> None:
        """Have busy clusters fetch what one task more for each of their slots needs.

        `has_new`: there may be new lanes; `has_changed`: loads are others.
        """
        unfed, puts = self._workers.unfed, self._tasks.queue.puts
        self._offered.clear()
        if not self._tasks.inputs.references:
            return
        if has_changed or puts != self._seen:
            self._seen, self._to_look_at = puts, len(self._workers.clusters)
        if self._to_look_at <= 0:
            return
        self._to_look_at -= MOST_CLUSTERS
        lanes = [(batch, lane) for batch, lane in self._lanes() if next(self._untold(batch, lane), None) is not None]
        if not lanes:
            return
        if has_new:
            self._workers.feed_anew()
        lanes.sort(key=lambda found: -found[1].priority)
        for cluster in list(islice(unfed.values(), MOST_CLUSTERS)):
            self._forget_old(cluster)
            if self._feed(cluster, lanes, now):
                del unfed[cluster.peer]
            else:
                unfed.move_to_end(cluster.peer)

    def _lanes(self) -> Iterator[tuple[Batch, Lane]]:
        """The lanes whose turn comes soon and whose tasks need objects, unless enough of them is sent ahead anyway."""
        kinds = (kind for kind in self._tasks.queue.kinds.values() if not kind.key.needs.alone)
        for known in islice((known for kind in kinds for known in kind.classes()), MOST_CLASSES):
            for lane in islice(known.lanes(), MOST_LANES):
                if not lane.tasks:
                    continue
                batch = self._tasks.by_serial[lane.serial]
                times = batch.times
                is_short = times.samples and times.estimate_s < self._config.lookahead_s / 2
                if batch.needs and not batch.options.everywhere and not is_short:
                    yield batch, lane

    def _untold(self, batch: Batch, lane: Lane) -> Iterator[int]:
        """The queued tasks of a lane that need objects and of which no cluster was told."""
        plain = 0
        for index in _queued(batch, lane, lane.told):
            if (batch.serial, index) in self._workers.told:
                lane.told = index + 1
                continue
            needed = batch.needs.get(index)
            if needed is not None and any(one.value.status == REFERENCE for one in needed.inputs):
                yield index
            else:
                plain += 1
            lane.told = index + 1
            if plain == MOST_PLAIN:
                return

    def _forget_old(self, cluster: Cluster) -> None:
        """What a cluster was told of and waits no longer."""
        for serial, index in list(cluster.expects):
            batch = self._tasks.by_serial.get(serial)
            if batch is None or not _is_queued(batch, index):
                del cluster.expects[serial, index]
                self._workers.told.pop((serial, index), None)

    def _feed(self, cluster: Cluster, lanes: list[tuple[Batch, Lane]], now: float) -> bool:
        """Tell a cluster of a task for each slot, as far as no others wait there; whether there were enough.

        What it was told of before that is less urgent does not count.
        """
        most = cluster.slots + min(0, cluster.free)
        wanted = most
        offered: dict[ClassKey, bool] = {}
        for batch, lane in lanes:
            if lane.key not in offered:
                offered[lane.key] = cluster.offers(lane.key, now)
            if offered[lane.key]:
                wanted = most - self._as_urgent(cluster, lane.priority)
                wanted -= self._tell(cluster, batch, lane, wanted) if wanted > 0 else 0
        return wanted <= 0

    def _as_urgent(self, cluster: Cluster, priority: int) -> int:
        """How many of the tasks it was told of are as urgent."""
        by_serial = self._tasks.by_serial
        return sum(by_serial[serial].options.priority >= priority for serial, _ in cluster.expects)

    def _tell(self, cluster: Cluster, batch: Batch, lane: Lane, most: int) -> int:
        """Tell a cluster of the next tasks of a lane; of how many."""
        values: dict[TaskId, tuple[Frame, ...]] = {}
        indices = list(islice(self._untold(batch, lane), most))
        for index in indices:
            cluster.expects[batch.serial, index] = None
            self._workers.told[batch.serial, index] = cluster
            for one in islice(batch.needs[index].inputs, MOST_OBJECTS - len(values)):
                if one.value.status == REFERENCE:
                    values[one.task] = one.value.data
        if values:
            frames = input_frames([list(range(len(values)))], list(values.values()))
            self._outbox.send(cluster.peer, PrefetchObjects(), frames)
        return len(indices)

    # ---- who takes what

    def first(self, cluster: Cluster, batch: Batch, lane: Lane, most: int, now: float) -> tuple[int, int]:
        """Which of the queued tasks of a lane, whose turn it is, a cluster is to take, as many or fewer.

        First those it was told of, then those that nobody was; what was told to others when nothing else is left, or
        when so many have gone past it that whoever was told cannot be about to take it.
        """
        first = lane.first
        if not self._workers.told or not batch.needs or (lane.passed and self._is_passed_over(lane, now)):
            return first, first + most
        for serial, index in cluster.expects:
            if serial == batch.serial and _is_queued(batch, index, lane):
                return index, self._end(cluster, serial, index, most)
        near = islice(_queued(batch, lane, first), MOST_OF_OTHERS)
        index = next((index for index in near if (batch.serial, index) not in self._workers.told), first)
        return index, index + most

    def _is_passed_over(self, lane: Lane, now: float) -> bool:
        slots = self._offered.get(lane.key)
        if slots is None:
            slots = self._offered[lane.key] = self._workers.slots_offering(lane.key, now)
        return lane.passed >= ROUNDS * slots

    def _end(self, cluster: Cluster, serial: int, index: int, most: int) -> int:
        end = index + 1
        while end < index + most and (serial, end) in cluster.expects:
            end += 1
        return end

    def took(self, batch: Batch, lane: Lane, lo: int, hi: int, *, is_head: bool) -> None:
        """Some cluster was given these; `is_head` if they were the first of their lane."""
        lane.passed = 0 if is_head else lane.passed + hi - lo
        if not self._workers.told or not batch.needs:
            return
        for index in range(lo, hi):
            cluster = self._workers.told.pop((batch.serial, index), None)
            if cluster is not None:
                cluster.expects.pop((batch.serial, index), None)


def _queued(batch: Batch, lane: Lane, start: int) -> Iterator[int]:
    """The queued tasks of a lane from an index on."""
    for lo in lane.starts_from(start):
        span = batch.spans.at(lo)
        if span is not None:
            yield from range(max(lo, start), span.hi)


def _is_queued(batch: Batch, index: int, lane: Lane | None = None) -> bool:
    span = batch.spans.at(index)
    if span is None or span.state is not State.QUEUED:
        return False
    return lane is None or batch.lane_of(span.counts) is lane
