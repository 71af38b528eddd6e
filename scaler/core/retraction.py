"""Asking busy clusters for what they have not begun, when the queue is dry and slots stand idle."""

from itertools import islice

from scaler.core.lanes import ClassKey
from scaler.core.lifecycle import State, Trigger
from scaler.core.managers import Managers
from scaler.core.queue import QueueKind
from scaler.core.runs import Run
from scaler.core.spans import NO_NEEDS
from scaler.core.workers import Cluster
from scaler.protocol import Retract

#: Less work ahead of each slot than 2**(this - 1) milliseconds is not worth the way back …
SHORT_OCTAVE = 4
#: … unless its cluster has told no result for so long.
STALLED_S = 0.02
#: Clusters looked at in one turn.
_LOOKED_AT = 8


class Retraction:
    """Levels out what clusters have queued."""

    def __init__(self, managers: Managers) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._timers = managers.timers
        self._outbox = managers.outbox

    def balance(self, now: float) -> None:
        """Retract from the busiest clusters about as much as the idle slots can begin at once, or half of it."""
        wanted = self._workers.free_slots - self._tasks.tasks_in[State.RETRACTING]
        if wanted <= 0 or not self._workers.in_surplus or self._is_work_queued(now):
            return
        looked_at = 0
        for octave in range(len(self._workers.surplus) - 1, -1, -1):
            for cluster in list(islice(self._workers.surplus[octave].values(), _LOOKED_AT)):
                looked_at += 1
                if wanted <= 0 or looked_at > _LOOKED_AT:
                    return
                if cluster.retracts:
                    continue
                if octave < SHORT_OCTAVE and now < cluster.progress_at + STALLED_S:
                    self._timers.place_by(cluster.progress_at + STALLED_S)
                    continue
                wanted -= self._retract(cluster, wanted, now)

    def _is_work_queued(self, now: float) -> bool:
        """Whether idle slots have something to come; what none of them may take is no reason to stay idle."""
        others = list(islice(self._workers.idle.values(), _LOOKED_AT))
        return any(
            other.may_take(kind, now) and not other.is_alone and not other.is_reserved and _has_taker(other, kind)
            for kind in self._tasks.queue.kinds.values()
            if not kind.key.needs.alone
            for other in others
        )

    def _retract(self, cluster: Cluster, wanted: int, now: float) -> int:
        """Ask one cluster for the last of what it has beyond one task per slot; returns how many tasks."""
        surplus = -cluster.free
        left = count = min(surplus, max(wanted, -(-surplus // 2)))
        for run in list(reversed(cluster.load.live.values())):
            if not left:
                break
            batch = self._tasks.batch_of(run)
            key = ClassKey(batch.options.tag, batch.options.resources, NO_NEEDS)
            if batch.is_orphan or not self._is_wanted(cluster, key, now):
                continue
            for span in reversed(batch.spans.within(run.lo, run.hi)):
                if left and span.run is run and span.state is State.ASSIGNED:
                    lo = max(span.lo, span.hi - left)
                    self.ask(cluster, run, lo, span.hi)
                    left -= span.hi - lo
        return count - left

    def _is_wanted(self, cluster: Cluster | None, key: ClassKey, now: float) -> bool:
        """Whether one of the clusters idle longest, other than `cluster`, could run tasks of a class."""
        others = islice(self._workers.idle.values(), _LOOKED_AT)
        return any(
            other is not cluster
            and other.offers(key, now)
            and (not key.resources or other.fitting(key.resources) > 0)
            and not other.is_alone
            and not other.is_reserved
            for other in others
        )

    def ask(self, cluster: Cluster, run: Run, lo: int, hi: int) -> None:
        """Ask for [lo, hi) of a run, which lies in one ASSIGNED span."""
        cluster.retracts += 1
        self._tasks.advance(self._tasks.batch_of(run), lo, hi, Trigger.RETRACT)
        self._outbox.send(cluster.peer, Retract(run.id, lo, hi))


def _has_taker(cluster: Cluster, kind: QueueKind) -> bool:
    """Whether a cluster with enough for the least of each can hold a task of one of these classes."""
    return len(kind.key.names) < 2 or any(cluster.fits(known.key.resources) for known in kind.in_order())
