"""Cancelling what has not begun, and nothing else: what a cluster may have begun is asked back from it first.

Every task is answered for: it is cancelled, or its client is told that it runs, or its result comes. Only of a task
whose cluster was lost meanwhile nothing is said; its client asks again.
"""

from scaler.core.batches import Batch
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.outbox import cut
from scaler.core.outcomes import Outcomes
from scaler.core.retraction import Retraction
from scaler.core.spans import Span
from scaler.protocol import TasksBegan
from scaler.ranges import RangeSet

_AT_REST = (State.WAITING, State.QUEUED)
_SENT = (State.ASSIGNED, State.RETRACTING)


class Unbegun:
    """Asks back, and cancels what comes back."""

    def __init__(self, managers: Managers, outcomes: Outcomes, retraction: Retraction) -> None:
        self._workers = managers.workers
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._retraction = retraction

    def cancel(self, batch: Batch, lo: int, hi: int) -> None:
        """Cancel what of [lo, hi) never began; what is at a cluster is asked back, and told of when that answers."""
        batch.asked_back.remove(lo, hi)
        begun = RangeSet()
        for span in batch.spans.within(lo, hi):
            if span.state is State.RUNNING or (span.state in _AT_REST + _SENT and _has_begun(batch, span)):
                begun.add(span.lo, span.hi)
            elif span.state in _AT_REST:
                self._outcomes.cancel(batch, span.lo, span.hi)
            elif span.state in _SENT:
                self._ask_back(batch, span)
        self._tell_begun(batch, begun)

    def _ask_back(self, batch: Batch, span: Span) -> None:
        batch.asked_back.add(span.lo, span.hi)
        cluster = self._workers.clusters.get(span.run.peer) if span.run is not None else None
        if span.state is State.ASSIGNED and span.run is not None and cluster is not None:
            self._retraction.ask(cluster, span.run, span.lo, span.hi)

    def came_back(self, batch: Batch, lo: int, hi: int) -> None:
        """[lo, hi) came back from a cluster, not begun: what was asked back in order to be cancelled is cancelled."""
        for part in batch.asked_back.remove(lo, hi):
            self.cancel(batch, *part)

    def stayed(self, batch: Batch, lo: int, hi: int) -> None:
        """A cluster has given back all it could of [lo, hi): the rest has begun."""
        begun = RangeSet()
        for part in batch.asked_back.remove(lo, hi):
            for span in batch.spans.within(*part):
                if span.state is State.RUNNING:
                    begun.add(span.lo, span.hi)
        self._tell_begun(batch, begun)

    def _tell_begun(self, batch: Batch, begun: RangeSet) -> None:
        if not batch.is_orphan:
            for part in cut(begun.ranges()):
                self._outbox.send(batch.owner, TasksBegan(batch.id, part))


def _has_begun(batch: Batch, span: Span) -> bool:
    """Whether an earlier attempt has begun, or another cluster has it."""
    return span.counts.began > 0 or any(run.claims.intersects(span.lo, span.hi) for run in batch.rivals)
