"""What busy clusters fetch before a task needs it: the objects of those at the head of the queue.

The tasks stay in the queue, where urgency, turns and fairness hold. A cluster is only told what to fetch, and takes the
tasks it was told of before others when their lane has its turn there. Whoever has a free slot takes what is left.
"""

from collections.abc import Iterator
from itertools import islice

from scaler.core.batches import Batch
from scaler.core.config import CoreConfig
from scaler.core.lanes import Lane
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.workers import Cluster
from scaler.ids import TaskId
from scaler.protocol import PrefetchObjects
from scaler.protocol.columns import REFERENCE, Frame
from scaler.protocol.inputs import input_frames

#: so many classes, lanes of each, and clusters are looked at in a turn
MOST_CLASSES = 64
MOST_LANES = 8
MOST_CLUSTERS = 64
#: so many objects are told of at a time
MOST_OBJECTS = 1024


class Prefetch:
    """Tells clusters what to fetch, and which of the queued tasks a cluster takes first."""

    def __init__(self, managers: Managers) -> None:
        self._config: CoreConfig = managers.config
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._outbox = managers.outbox

    # ---- what to fetch

    def look_ahead(self, now: float) -> None:
        """Have busy clusters fetch what one task more for each of their slots needs."""
        unfed = self._workers.unfed
        if not unfed or not self._tasks.inputs.references:
            return
        lanes = [
            (batch, lane) for batch, lane in self._lanes() if next(self._unexpected(batch, lane), None) is not None
        ]
        if not lanes:
            return
        for cluster in list(islice(unfed.values(), MOST_CLUSTERS)):
            wanted = self._wanted(cluster)
            for batch, lane in lanes:
                if wanted > 0 and cluster.offers(lane.key, now):
                    wanted -= self._tell(cluster, batch, lane, wanted)
            if wanted > 0:
                unfed.move_to_end(cluster.peer)
            else:
                del unfed[cluster.peer]

    def _lanes(self) -> Iterator[tuple[Batch, Lane]]:
        """The lanes whose turn comes soon and whose tasks need objects, unless enough of them is sent ahead anyway."""
        kinds = (kind for kind in self._tasks.queue.kinds.values() if not kind.key.needs.alone)
        for known in islice((known for kind in kinds for known in kind.classes()), MOST_CLASSES):
            for lane in islice(known.lanes(), MOST_LANES):
                batch = self._tasks.by_serial[lane.serial]
                times = batch.times
                is_short = times.samples and times.estimate_s < self._config.lookahead_s / 2
                if batch.needs and not batch.options.everywhere and not is_short:
                    yield batch, lane

    def _unexpected(self, batch: Batch, lane: Lane) -> Iterator[int]:
        """The queued tasks of a lane that no cluster was told of."""
        for start in lane.starts_from(lane.expected):
            span = batch.spans.at(start)
            if span is not None:
                yield from range(max(start, lane.expected), span.hi)

    def _wanted(self, cluster: Cluster) -> int:
        """How many more tasks it may be told of: one for each slot, as far as no others wait there."""
        for serial, index in list(cluster.expects):
            batch = self._tasks.by_serial.get(serial)
            if batch is None or not _is_queued(batch, index):
                del cluster.expects[serial, index]
        return cluster.slots + min(0, cluster.free) - len(cluster.expects)

    def _tell(self, cluster: Cluster, batch: Batch, lane: Lane, most: int) -> int:
        """Tell a cluster of the next tasks of a lane; of how many."""
        values: dict[TaskId, tuple[Frame, ...]] = {}
        indices = list(islice(self._unexpected(batch, lane), most))
        for index in indices:
            cluster.expects[batch.serial, index] = None
            lane.expected = index + 1
            needed = batch.needs.get(index)
            for one in needed.inputs if needed is not None else ():
                if one.value.status == REFERENCE and len(values) < MOST_OBJECTS:
                    values[one.task] = one.value.data
        if values:
            frames = input_frames([list(range(len(values)))], list(values.values()))
            self._outbox.send(cluster.peer, PrefetchObjects(), frames)
        return len(indices)

    # ---- who takes what

    def first(self, cluster: Cluster, batch: Batch, lane: Lane, most: int) -> tuple[int, int]:
        """Which of the queued tasks of a lane, whose turn it is, a cluster is to take, as many or fewer.

        First those it was told of, then those that nobody was; what was told to others when nothing else is left, or
        when so many have gone past it that whoever was told cannot be about to take it.
        """
        first = lane.first
        if lane.expected <= first:
            return first, first + most
        if lane.expected - first <= 2 * self._workers.slots:
            for serial, index in cluster.expects:
                if serial == batch.serial and _is_queued(batch, index, lane):
                    return index, self._end(cluster, batch.serial, index, most)
            index = next(self._unexpected(batch, lane), first)
            return index, index + most
        return first, first + most

    def _end(self, cluster: Cluster, serial: int, index: int, most: int) -> int:
        end = index + 1
        while end < index + most and (serial, end) in cluster.expects:
            end += 1
        return end

    def took(self, cluster: Cluster, batch: Batch, lane: Lane, lo: int, hi: int) -> None:
        """A cluster was given these."""
        if lo >= lane.expected > 0:
            lane.expected = hi
        if cluster.expects:
            for index in range(lo, hi):
                cluster.expects.pop((batch.serial, index), None)


def _is_queued(batch: Batch, index: int, lane: Lane | None = None) -> bool:
    span = batch.spans.at(index)
    if span is None or span.state is not State.QUEUED:
        return False
    return lane is None or batch.lane_of(span.counts) is lane
