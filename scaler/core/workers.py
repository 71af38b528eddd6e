"""The worker manager: clusters, what they offer, what they have, and which of them can take more.

It knows work as loads. A cluster whose load changed is looked at once before a turn ends; no event looks at them all.
"""

import ipaddress
from collections import OrderedDict

from scaler.core.config import CoreConfig
from scaler.core.lanes import ClassKey, Lane
from scaler.core.queue import QueueKind
from scaler.core.runs import Load
from scaler.errors import ProtocolError
from scaler.ids import FunctionId, Incarnation, RunId
from scaler.protocol import ClusterReady, ClusterStatistics, Door
from scaler.protocol.options import MAX_INDEX
from scaler.resources import Resources

#: A cluster is filled up again once less than this part of its lookahead is left.
REFILL_BELOW = 0.75
#: A task is placed only where more than this times its known least run time is left.
WALLTIME_FACTOR = 1.2
#: Function names remembered per cluster; forgetting them costs a second sending.
_FUNCTIONS_REMEMBERED = 10_000
#: sums of fractions miss whole numbers by a little
_ROUNDING = 1e-9
#: all known tags go to clients in one header
MOST_TAG_BYTES = 256 << 10


class Cluster:
    """One worker cluster, as it described itself, and what it has."""

    def __init__(self, peer: Incarnation, name: str, changed: list[Incarnation]) -> None:
        self.peer = peer
        self.name = name
        self.host = ""
        #: where it has called from, and where others can call it
        self.address = ""
        self.door: Door | None = None
        self.workers = 0
        self.slots = 0
        #: whether all its slots have been up, since it last had none
        self.was_full = False
        self.tags: tuple[str, ...] = ()
        self.resources: dict[str, float] = {}
        self.ends_at: float | None = None
        self.load = Load(peer, changed)
        #: functions sent to it and not asked for again
        self._functions: set[FunctionId] = set()
        #: the run and index in each busy slot as last told, and since when
        self.running: dict[tuple[RunId, int], float] = {}
        #: lanes it handed tasks of back from, until when they are offered to others first
        self.barred: dict[Lane, float] = {}
        #: the same, without exception: it cannot take them
        self.refused: dict[Lane, float] = {}
        #: it runs a task that must be alone there
        self.is_alone = False
        #: it is given nothing until it is empty, for a task that must be alone
        self.is_reserved = False
        #: clients inside tasks of it, which may wait for what is placed there
        self.children = 0
        #: a `Retract` has not been answered
        self.retracts = 0
        #: the free slots `WorkerManager.free_slots` counts of it
        self.counted_free = 0
        #: when its last results came
        self.progress_at = 0.0
        #: the index of `WorkerManager.surplus` it is in, or -1
        self.surplus = -1
        #: what it told last while somebody watches
        self.statistics: ClusterStatistics | None = None
        #: queued tasks it was told of, by the serial of their batch and index; some may be elsewhere by now
        self.expects: dict[tuple[int, int], None] = {}

    @property
    def free(self) -> int:
        """Slots without work, below zero where more is there than slots."""
        return self.slots - self.load.unfinished

    @property
    def is_busy(self) -> bool:
        """Whether it has no slot without work, and will take more."""
        return 0 < self.slots <= self.load.unfinished and not self.is_alone and not self.is_reserved

    def is_new_function(self, function: FunctionId) -> bool:
        """Whether a function has to be sent before the next run of it; it counts as sent from now on."""
        if function in self._functions:
            return False
        if len(self._functions) >= _FUNCTIONS_REMEMBERED:
            self._functions.clear()
        self._functions.add(function)
        return True

    def has_child(self) -> None:
        """One more: whatever it was kept empty for cannot be alone there."""
        self.children += 1
        self.is_alone = self.is_reserved = False
        self.load.note()

    def lacks(self, function: FunctionId) -> None:
        """It asked for a function again."""
        self._functions.discard(function)

    def offers(self, key: ClassKey, now: float) -> bool:
        """Whether tasks of a class may run there at all, were it empty."""
        if key.tag is not None and key.tag not in self.tags:
            return False
        if any(self.resources.get(name, 0.0) < amount for name, amount in key.resources):
            return False
        return self.ends_at is None or self.ends_at - now > WALLTIME_FACTOR * key.needs.least_s

    def may_take(self, kind: QueueKind, now: float) -> bool:
        """Whether it may have room for a task of one of these classes; False only where it has none for any."""
        key = kind.key
        if key.tag is not None and key.tag not in self.tags:
            return False
        if key.names and not self.fits(kind.least()):
            return False
        return self.ends_at is None or self.ends_at - now > WALLTIME_FACTOR * key.needs.least_s

    def fits(self, resources: Resources) -> bool:
        """Whether it can hold one more task with these resources."""
        used = self.load.resources
        for name, amount in resources:
            if (self.resources.get(name, 0.0) - used.get(name, 0.0)) / amount + _ROUNDING < 1:
                return False
        return True

    def fitting(self, resources: Resources) -> int:
        """How many more tasks with these resources it can hold."""
        used = self.load.resources
        room = min((self.resources.get(name, 0.0) - used.get(name, 0.0)) / amount for name, amount in resources)
        return int(min(room + _ROUNDING, MAX_INDEX))

    def bars(self, lane: Lane, now: float) -> bool:
        """Whether others are to be offered tasks of a lane first; what ran out is forgotten."""
        until = self.barred.get(lane)
        if until is None:
            return False
        if until <= now:
            del self.barred[lane]
        return until > now

    def refuses(self, lane: Lane, now: float) -> bool:
        """Whether it just said that it cannot take tasks of a lane; what ran out is forgotten."""
        until = self.refused.get(lane)
        if until is None:
            return False
        if until <= now:
            del self.refused[lane]
        return until > now


class WorkerManager:
    """All clusters, and those that can take more in the order in which they are asked."""

    def __init__(self, config: CoreConfig) -> None:
        self._config = config
        #: clusters whose load changed in this turn
        self.changed: list[Incarnation] = []
        self.clusters: dict[Incarnation, Cluster] = {}
        #: all and only clusters with a free slot, the one idle longest first
        self.idle: OrderedDict[Incarnation, Cluster] = OrderedDict()
        #: all and only clusters that may be given more, idle or not
        self.with_room: OrderedDict[Incarnation, Cluster] = OrderedDict()
        #: clusters without a free slot that may be told of tasks to come
        self.unfed: OrderedDict[Incarnation, Cluster] = OrderedDict()
        #: which cluster was told of a queued task, by the serial of its batch and its index; some may not wait any more
        self.told: dict[tuple[int, int], Cluster] = {}
        #: clusters with more tasks than slots, by the octave of the seconds of work ahead of each slot
        self.surplus: list[OrderedDict[Incarnation, Cluster]] = [OrderedDict() for _ in range(32)]
        #: how many clusters are in any of these
        self.in_surplus = 0
        #: clusters that offer other things than when this was last emptied
        self.offering_anew: list[Cluster] = []
        #: what some cluster offered may be offered no more, since this was last set back
        self.has_offered_more = False
        self.slots = 0
        #: slots without work, of all clusters
        self.free_slots = 0
        #: None while no worker ever connected; in the order in which they were first seen
        self.known_tags: tuple[str, ...] | None = None
        #: the longest walltime any cluster of this epoch had to offer, or None if one had no end
        self.longest_offer_s: float | None = 0.0

    def join(self, peer: Incarnation, name: str, address: str = "") -> Cluster:
        """A cluster connected, from there; it takes nothing until it said what it offers."""
        cluster = self.clusters[peer] = Cluster(peer, name, self.changed)
        cluster.address = address
        self.offering_anew.append(cluster)
        return cluster

    def leave(self, cluster: Cluster) -> None:
        """A cluster is gone; its runs were dealt with before."""
        del self.clusters[cluster.peer]
        self.has_offered_more = True
        self.slots -= cluster.slots
        self.free_slots -= cluster.counted_free
        self.idle.pop(cluster.peer, None)
        self.with_room.pop(cluster.peer, None)
        self.unfed.pop(cluster.peer, None)
        for task in cluster.expects:
            del self.told[task]
        self._leave_surplus(cluster)

    def describe(self, cluster: Cluster, ready: ClusterReady, now: float) -> bool:
        """Take in what a cluster offers; tells whether the known tags grew. `ProtocolError` where they are too many."""
        known = self.known_tags or ()
        new = tuple(dict.fromkeys(tag for tag in ready.tags if tag not in known))
        if new and sum(len(tag.encode()) for tag in known + new) > MOST_TAG_BYTES:
            raise ProtocolError(
                f"the known tags would have more than {MOST_TAG_BYTES} bytes with those of {ready.name!r}"
            )
        before = cluster.tags, cluster.resources, cluster.ends_at
        self.slots += ready.slots - cluster.slots
        cluster.name, cluster.host = ready.name, ready.host
        cluster.door = _door(cluster.address, ready)
        cluster.workers, cluster.slots, cluster.tags = ready.workers, ready.slots, ready.tags
        cluster.resources = dict(ready.resources)
        cluster.ends_at = None if ready.ends_in_s is None else now + ready.ends_in_s
        if ready.ends_in_s is None:
            self.longest_offer_s = None
        elif self.longest_offer_s is not None:
            self.longest_offer_s = max(self.longest_offer_s, ready.ends_in_s)
        if (cluster.tags, cluster.resources, cluster.ends_at) != before:
            self.offering_anew.append(cluster)
            self.has_offered_more = True
        cluster.load.note()
        grew = self.known_tags is None or bool(new)
        self.known_tags = known + new
        return grew

    def feed_anew(self) -> None:
        """There is more that busy clusters may be told of."""
        for peer, cluster in self.clusters.items():
            if cluster.is_busy:
                self.unfed.setdefault(peer, cluster)

    def refresh(self) -> list[Cluster]:
        """Bring the indexes up to date with the loads that changed; returns those that can take more."""
        with_room = []
        for peer in self.changed:
            cluster = self.clusters.get(peer)
            if cluster is not None:
                cluster.load.noted()
                if self._place_in_indexes(cluster):
                    with_room.append(cluster)
        self.changed.clear()
        return with_room

    def _place_in_indexes(self, cluster: Cluster) -> bool:
        load, slots, lookahead_s = cluster.load, cluster.slots, self._config.lookahead_s
        free, work_s = slots - load.unfinished, load.work_s()
        if not load.unfinished:
            cluster.is_alone = cluster.is_reserved = False
        counted_free = 0 if cluster.is_reserved else max(free, 0)
        self.free_slots += counted_free - cluster.counted_free
        cluster.counted_free = counted_free
        if free > 0:
            if cluster.peer not in self.idle:
                self.idle[cluster.peer] = cluster
        else:
            self.idle.pop(cluster.peer, None)
        if cluster.is_busy:
            self.unfed[cluster.peer] = cluster
        else:
            self.unfed.pop(cluster.peer, None)
        has_room = (
            (free > 0 or load.filled_s(lookahead_s) < REFILL_BELOW * lookahead_s * slots)
            and slots > 0
            and not cluster.is_alone
            and not cluster.is_reserved
            and load.size_bytes < self._config.cluster_bytes
        )
        if not has_room:
            self.with_room.pop(cluster.peer, None)
        elif cluster.peer not in self.with_room:
            self.with_room[cluster.peer] = cluster
        octave = -1 if free >= 0 else min(31, int(work_s / max(slots, 1) * 1000).bit_length())
        if octave != cluster.surplus:
            self._leave_surplus(cluster)
            cluster.surplus = octave
            if octave >= 0:
                self.surplus[octave][cluster.peer] = cluster
                self.in_surplus += 1
        return has_room

    def _leave_surplus(self, cluster: Cluster) -> None:
        if cluster.surplus >= 0:
            del self.surplus[cluster.surplus][cluster.peer]
            self.in_surplus -= 1
            cluster.surplus = -1

    def is_offered(self, key: ClassKey, now: float) -> bool:
        """Whether any cluster that is here could take tasks of a class, were it empty."""
        return any(cluster.offers(key, now) for cluster in self.clusters.values())

    def slots_offering(self, key: ClassKey, now: float) -> int:
        """How many slots there are where tasks of a class may run."""
        return sum(cluster.slots for cluster in self.clusters.values() if cluster.offers(key, now))

    def check(self) -> None:
        """Every index against what it is an index of."""
        assert self.slots == sum(cluster.slots for cluster in self.clusters.values())
        unreserved = (cluster for cluster in self.clusters.values() if not cluster.is_reserved)
        assert self.free_slots == sum(max(cluster.free, 0) for cluster in unreserved)
        assert not self.changed
        for peer, cluster in self.clusters.items():
            assert peer == cluster.peer == cluster.load.peer
            assert (peer in self.idle) == (cluster.free > 0)
            assert peer not in self.with_room or cluster.slots > 0
            assert (cluster.surplus >= 0) == (cluster.free < 0)
        assert self.told == {task: one for one in self.clusters.values() for task in one.expects}
        for index in (self.idle, self.with_room, self.unfed):
            assert all(self.clusters[peer] is cluster for peer, cluster in index.items())
        assert self.in_surplus == sum(map(len, self.surplus))
        for octave, members in enumerate(self.surplus):
            assert all(self.clusters[peer].surplus == octave for peer in members)


def _door(address: str, ready: ClusterReady) -> Door | None:
    """Where other hosts find a cluster that has called from an address, if they do."""
    host, _, port = address.rpartition(":")
    try:
        is_near = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return None
    return Door(f"tcp://{host}:{ready.port}", ready.key) if port and ready.port and ready.key and not is_near else None
