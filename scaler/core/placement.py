"""Which cluster is given which tasks: guided shares of about a lookahead's work, the longest idle cluster first."""

from collections.abc import Iterable, Iterator

from scaler.core.batches import Batch
from scaler.core.everywhere import Everywhere
from scaler.core.inputs import sendable
from scaler.core.lanes import Lane
from scaler.core.lifecycle import State, Trigger
from scaler.core.managers import Managers
from scaler.core.outcomes import Outcomes
from scaler.core.prefetch import Prefetch
from scaler.core.queue import QueueClass, QueueKind
from scaler.core.spans import Span, Wait
from scaler.core.turns import Turns
from scaler.core.workers import Cluster
from scaler.ids import FunctionId, Incarnation
from scaler.protocol import DefineFunction, NeedFunction, NeedTasks, RunSpan
from scaler.protocol.columns import Frame

#: So many classes may be looked at in vain for a cluster that has no idle slot.
MOST_IN_VAIN = 64


class Placement:
    """Gives queued tasks to clusters with room."""

    def __init__(self, managers: Managers, outcomes: Outcomes, everywhere: Everywhere) -> None:
        self._everywhere = everywhere
        self._prefetch = Prefetch(managers)
        self._config = managers.config
        self._tasks = managers.tasks
        self._queue = managers.tasks.queue
        self._workers = managers.workers
        self._functions = managers.functions
        self._timers = managers.timers
        self._outbox = managers.outbox
        self._outcomes = outcomes
        #: batches with tasks that wait for their function, by serial
        self._without_function: dict[int, Batch] = {}
        #: batches with tasks that wait for their client to take results, by client and serial
        self._without_room: dict[Incarnation, dict[int, Batch]] = {}
        #: all clusters with `is_reserved`, and some that had it
        self._reserved: list[Cluster] = []
        #: slots that may take a class, of those asked for in this turn
        self._offered: dict[QueueClass, int] = {}

    def place(self, now: float) -> None:
        """Give out what can be given out now; afterwards no cluster with room could take the head of any class."""
        self._end_reservations(now)
        if self._without_room:
            self._look_for_room()
        has_changed = bool(self._workers.changed)
        changed = self._workers.refresh()
        queue = self._queue
        if self._timers.place_at is not None and self._timers.place_at <= now:
            self._timers.place_at = None
            queue.woken.update(queue.classes)
        self._sort_out(now)
        if not queue.classes:
            return
        self._offered.clear()
        has_new = bool(queue.woken)
        if has_new:
            self._fill_all(changed, now)
        else:
            self._fill_each(changed, list(queue.kinds.values()), now)
        queue.sweep()
        queue.woken.clear()
        for kind in list(queue.kinds.values()):
            if kind.key.needs.alone:
                for known in kind.in_order():
                    self._reserve(known, now)
        has_changed = has_changed or bool(self._workers.changed)
        self._workers.refresh()
        self._prefetch.look_ahead(now, has_new=has_new, has_changed=has_changed)

    def _sort_out(self, now: float) -> None:
        """Set the classes aside that no connected cluster could take, and bring back those that one can take now.

        Asked are only classes that are new or were woken, unless offers have changed.
        """
        workers, queue = self._workers, self._queue
        queue.sweep()
        anew = workers.offering_anew
        if anew and queue.aside:
            queue.bring_back(lambda key: any(cluster.offers(key, now) for cluster in anew))
        for key in list(queue.classes if workers.has_offered_more else queue.woken):
            if not workers.is_offered(key, now):
                queue.set_aside(key)
        anew.clear()
        workers.has_offered_more = False

    def _fill_all(self, changed: list[Cluster], now: float) -> None:
        """Fill every cluster with room, the longest idle first; one that has not changed takes but what was woken."""
        everything = list(self._queue.kinds.values())
        if len(everything) == 1:
            self._fill_each(self._everyone(), everything, now)
            return
        woken = list({id(known.kind): known.kind for known in self._queue.woken.values()}.values())
        if len(woken) == len(everything):
            self._fill_each(self._everyone(), everything, now)
            return
        has_changed = {cluster.peer for cluster in changed}
        for cluster in self._everyone():
            self._fill_each((cluster,), everything if cluster.peer in has_changed else woken, now)

    def _fill_each(self, clusters: Iterable[Cluster], kinds: list[QueueKind], now: float) -> None:
        for cluster in clusters:
            if self._queue.is_dry:
                break
            self._fill(cluster, kinds, now)

    def _everyone(self) -> Iterator[Cluster]:
        """Every cluster with room, the longest idle first."""
        idle = self._workers.idle
        yield from (cluster for peer, cluster in idle.items() if peer in self._workers.with_room)
        yield from (cluster for peer, cluster in self._workers.with_room.items() if peer not in idle)

    def _fill(self, cluster: Cluster, kinds: list[QueueKind], now: float) -> None:
        """Give one cluster as much as it has room for, the most urgent class first."""
        if len(self._queue.classes) == 1:
            self._fill_with_one(cluster, next(iter(self._queue.classes.values())), now)
            return
        turns = Turns(self._queue, cluster, kinds, now)
        shares: dict[QueueClass, int] = {}
        in_vain = 0
        while not cluster.is_alone and (best := turns.next()) is not None:
            known, lane, sharers = best
            if known not in shares:
                shares[known] = self._share(cluster, known, now)
            count = self._allowance(cluster, known, lane, shares[known], now)
            if count > 0:
                before = known.tasks
                self._give(cluster, known, lane, -(-count // sharers), now)
                shares[known] -= before - known.tasks
                if known.tasks:
                    turns.again(known)
                else:
                    self._queue.sweep()  # so that its kind knows what is the least of the others
            elif cluster.free <= 0:
                in_vain += 1
                if in_vain == MOST_IN_VAIN:
                    break  # none of its slots is idle: there is time for the others when one is

    def _fill_with_one(self, cluster: Cluster, known: QueueClass, now: float) -> None:
        """The same where all that waits is of one class: most of the time."""
        share: int | None = None
        while not cluster.is_alone and (head := self._queue.head(known)) is not None:
            if share is None:
                if not cluster.offers(known.key, now):
                    return
                share = self._share(cluster, known, now)
            lane, sharers = head
            count = self._allowance(cluster, known, lane, share, now)
            if count <= 0:
                return
            before = known.tasks
            self._give(cluster, known, lane, -(-count // sharers), now)
            share -= before - known.tasks

    def _share(self, cluster: Cluster, known: QueueClass, now: float) -> int:
        """What one cluster may take of a class in one turn: half of its part by slots, so that shares shrink.

        Its part is of the slots that may take that class at all; one that is the only one may take everything.
        """
        if known.tasks <= cluster.free:
            return known.tasks
        slots = self._offered.get(known)
        if slots is None:
            slots = self._offered[known] = self._workers.slots_offering(known.key, now)
        if cluster.slots == slots:
            return known.tasks
        return -(-known.tasks * cluster.slots // (2 * slots))

    # ---- how many

    def _allowance(self, cluster: Cluster, known: QueueClass, lane: Lane, share: int, now: float) -> int:
        """How many tasks of a lane the cluster may be given now."""
        free, load = cluster.free, cluster.load
        if load.size_bytes >= self._config.cluster_bytes or self._is_barred(cluster, lane, now):
            return 0
        if known.key.needs.alone:
            return 1 if not load.unfinished else 0
        times = self._tasks.by_serial[lane.serial].times
        slots = cluster.slots
        count = free
        if times.samples and not times.nests:
            lookahead_s = self._config.lookahead_s
            count = int((lookahead_s * slots - load.filled_s(lookahead_s)) / times.estimate_s)
            count = min(count, slots * times.ramp - load.by_times.get(times, 0))
            count = max(min(count, share), free)
        if known.key.resources:
            count = min(count, cluster.fitting(known.key.resources))
        return count

    def _is_barred(self, cluster: Cluster, lane: Lane, now: float) -> bool:
        if cluster.refused and cluster.refuses(lane, now):
            self._timers.place_by(cluster.refused[lane])
            return True
        if not cluster.barred or not cluster.bars(lane, now):
            return False
        others = len(self._workers.idle) - (cluster.peer in self._workers.idle)
        if cluster.free > 0 and not others:
            return False
        self._timers.place_by(cluster.barred[lane])
        return True

    # ---- giving

    def _give(self, cluster: Cluster, known: QueueClass, lane: Lane, count: int, now: float) -> None:
        """Send the first tasks of a lane, one slice of one chunk, or ask their client for what is missing."""
        batch = self._tasks.by_serial[lane.serial]
        head = lane.first
        lo, end = self._prefetch.first(cluster, batch, lane, count, now)
        span = batch.spans.at(lo)
        if span is None or span.state is not State.QUEUED:
            raise IndexError(f"the lane of batch {batch.id} is not what is queued")
        if self._tasks.result_bytes.get(batch.owner, 0) >= self._config.untaken_bytes:
            self._tasks.advance(batch, span.lo, span.hi, Trigger.UNREADY, wait=Wait.ROOM)
            self._without_room.setdefault(batch.owner, {})[batch.serial] = batch
            return
        frames = self._functions.frames(batch.function)
        if frames is None:
            self._ask_function(batch, span)
            return
        hi, load = min(span.hi, end), cluster.load
        column = batch.store.slice(lo, hi, self._config.cluster_bytes - load.size_bytes)
        if column is None:
            self._ask_arguments(batch, span)
            return
        if batch.options.everywhere and not self._everywhere.has_room(batch):
            self._everywhere.park(batch, span.lo, span.hi)
            return
        if batch.options.everywhere:
            self._everywhere.begin(batch, column.slice(lo, lo + 1), frames, now)
            return
        inputs: tuple[Frame, ...] = ()
        if batch.needs:
            hi, inputs = sendable(batch, lo, column.hi)
            column = column.slice(lo, hi)
        if cluster.is_new_function(batch.function):
            size_bytes = sum(len(frame) for frame in frames)
            self._outbox.send(cluster.peer, DefineFunction(batch.function, size_bytes), frames)
        size_bytes = column.size_bytes + sum(map(len, inputs)) if inputs else column.size_bytes
        run = self._tasks.new_run(batch, lo, column.hi, load, size_bytes)
        self._tasks.advance(batch, lo, column.hi, Trigger.PLACE, run=run)
        self._prefetch.took(batch, lane, lo, column.hi, is_head=lo == head)
        alone = known.key.needs.alone
        message = RunSpan(run.id, batch.id, lo, column.hi, batch.function, batch.options, len(inputs), alone)
        self._outbox.send(cluster.peer, message, column.frames() + inputs)
        cluster.is_alone = alone
        self._queue.pass_turn(known, lane)

    def _ask_arguments(self, batch: Batch, span: Span) -> None:
        """Ask for all that is missing in a row: its client sends as fast as it is taken, as it did the first time."""
        lo, hi = batch.store.missing(span.lo, span.hi)[0]
        self._tasks.advance(batch, lo, hi, Trigger.UNREADY, wait=Wait.ARGUMENTS)
        self._outbox.send(batch.owner, NeedTasks(batch.id, lo, hi))

    def _ask_function(self, batch: Batch, span: Span) -> None:
        self._tasks.advance(batch, span.lo, span.hi, Trigger.UNREADY, wait=Wait.FUNCTION)
        if batch.serial not in self._without_function:
            waiting = {serial: known for serial, known in self._without_function.items() if not known.is_over}
            self._without_function = waiting | {batch.serial: batch}
            self._outbox.send(batch.owner, NeedFunction(batch.function))

    def function_defined(self, function: FunctionId) -> None:
        """A function is here: what waited for it is queued."""
        for serial, batch in list(self._without_function.items()):
            if batch.function == function:
                del self._without_function[serial]
                for span in batch.spans.within(0, batch.appended):
                    if span.wait is Wait.FUNCTION:
                        self._outcomes.ready(batch, span.lo, span.hi)

    def _look_for_room(self) -> None:
        """Queue what waited for clients that have taken half of what may wait for them, or of those that are gone."""
        for owner, batches in list(self._without_room.items()):
            if self._tasks.result_bytes.get(owner, 0) <= self._config.untaken_bytes // 2:
                del self._without_room[owner]
                for batch in batches.values():
                    for span in batch.spans.within(0, batch.appended):
                        if span.wait is Wait.ROOM:
                            self._outcomes.ready(batch, span.lo, span.hi)

    def _reserve(self, known: QueueClass, now: float) -> None:
        """Keep one cluster from taking more until it is empty, for a task that must be alone there."""
        everyone = self._workers.clusters.values()
        clusters = [one for one in everyone if one.slots and not one.children and one.offers(known.key, now)]
        if not clusters or any(cluster.is_reserved for cluster in clusters):
            return
        chosen = min(clusters, key=lambda cluster: cluster.load.work_s() / cluster.slots)
        if chosen.load.unfinished:
            chosen.is_reserved = True
            chosen.load.note()
            self._reserved.append(chosen)

    def _end_reservations(self, now: float) -> None:
        """Let clusters take more whose reservation has been used, or whose task found its place elsewhere."""
        for cluster in self._reserved:
            alone = (kind for kind in self._queue.kinds.values() if kind.key.needs.alone)
            waiting = (known.key for kind in alone for known in kind.in_order() if known.tasks)
            if not any(cluster.offers(key, now) for key in waiting):
                cluster.is_reserved = False
                cluster.load.note()
        self._reserved = [cluster for cluster in self._reserved if cluster.is_reserved]
