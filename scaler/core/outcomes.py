"""How tasks end, or come back to the queue, with all that follows: who is told, who may forget, who is beaten."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from scaler.core.batches import Batch
from scaler.core.dependents import Dependents
from scaler.core.flow import Flow
from scaler.core.lifecycle import AT_REST, CLOSED, ENDED, State, Trigger
from scaler.core.managers import Managers
from scaler.core.outbox import cut
from scaler.core.runs import Run
from scaler.core.spans import Counts, Span, Wait
from scaler.ids import Range
from scaler.protocol import Cause, Failure, NeedTasks, TasksFailed
from scaler.ranges import RangeSet, joined

#: So often may the host of a running task vanish.
VANISH_LIMIT = 3
_NOT_BEGUN = (State.ASSIGNED, State.RETRACTING)
_AT_ITS_CLUSTER = (State.KEPT, State.STORED)
_CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")


class Outcomes:
    """The moves that end tasks or give them back, each with its consequences."""

    def __init__(self, managers: Managers, flow: Flow) -> None:
        self._tasks = managers.tasks
        self._clients = managers.clients
        self._functions = managers.functions
        self._outbox = managers.outbox
        #: what was called off in this turn of calls that every worker makes
        self.called_off: list[tuple[Batch, int, int]] = []
        self.dependents = Dependents(managers.tasks, managers.outbox, flow.send, self.ready)

    # ---- ends

    def tell_failed(self, batch: Batch, ranges: Iterable[tuple[int, int]], failure: Failure) -> None:
        """Tell a client that tasks ended without a result."""
        ended = joined(ranges)
        for part in cut(ended):
            self._outbox.send(batch.owner, TasksFailed(batch.id, part, failure))
        if batch.wanted:
            self.dependents.failed(batch, ended, failure)

    def fail(self, batch: Batch, lo: int, hi: int, trigger: Trigger, failure: Failure) -> None:
        """[lo, hi) of one span failed for a reason the scheduler knows."""
        self._tasks.advance(batch, lo, hi, trigger, to=State.FAILED)
        self.tell_failed(batch, ((lo, hi),), failure)

    def refuse(self, batch: Batch, lo: int, hi: int, failure: Failure) -> None:
        """No worker can ever take [lo, hi), which is queued."""
        self.fail(batch, lo, hi, Trigger.REFUSE, failure)

    def cancelled(self, batch: Batch, lo: int, hi: int, trigger: Trigger) -> None:
        """[lo, hi) of one span is off; its client hears it now, and an orphan is gone."""
        self._tasks.advance(batch, lo, hi, trigger)
        self._tell_cancelled(batch, ((lo, hi),))

    def _tell_cancelled(self, batch: Batch, ranges: Sequence[tuple[int, int]]) -> None:
        if not batch.is_orphan:
            self.tell_failed(batch, ranges, _CANCELLED)
            return
        for lo, hi in ranges:
            self._tasks.drop(batch, lo, hi)

    def cancel(self, batch: Batch, lo: int, hi: int) -> None:
        """Nobody wants [lo, hi) any more: what is at a cluster is stopped there, the rest ends now."""
        self.beat_rivals(batch, lo, hi, None)
        if batch.options.everywhere:
            self.called_off.append((batch, lo, hi))
        off: list[tuple[int, int]] = []
        for span in batch.spans.within(lo, hi):
            if span.state in AT_REST or span.state in _AT_ITS_CLUSTER:
                if span.run is not None:
                    self._outbox.delivered(span.run.peer, span.run.id, span.lo, span.hi)
                self._tasks.advance(batch, span.lo, span.hi, Trigger.CANCEL)
                off.append((span.lo, span.hi))
            elif span.run is not None and span.state not in ENDED and span.state is not State.CANCELLING:
                self._tasks.advance(batch, span.lo, span.hi, Trigger.CANCEL)
                self._outbox.cancel(span.run.peer, span.run.id, span.lo, span.hi)
        if off:
            self._tell_cancelled(batch, off)

    def abandon(self, batch: Batch) -> None:
        """The client of a batch is lost or has dropped it: everything of it ends, and what is done is forgotten."""
        self._tasks.orphan(batch)
        self._clients.batch_is_over(batch.id)
        self.take(batch, 0, batch.appended)
        self.cancel(batch, 0, batch.appended)
        self.settle(batch)

    def take(self, batch: Batch, lo: int, hi: int) -> None:
        """The ledger has [lo, hi), or nobody wants it: what ended is gone, here and at the clusters.

        What has to be made anew, since it was lost before that was heard, has not.
        """
        for span in batch.spans.within(lo, hi):
            if span.state is State.STORED:
                self._tasks.advance(batch, span.lo, span.hi, Trigger.SUCCEED)
            if span.state in CLOSED:
                if span.run is not None:
                    self._outbox.delivered(span.run.peer, span.run.id, span.lo, span.hi)
                self._tasks.drop(batch, span.lo, span.hi)
            else:
                self.cancel(batch, span.lo, span.hi)

    def settle(self, batch: Batch) -> None:
        """Forget a batch that is over."""
        if batch.is_over:
            self._tasks.forget(batch)
            if batch.is_orphan:
                self._functions.give_up(batch.function, batch.owner)
            else:
                self._functions.release(batch.function)
                self._clients.batch_is_over(batch.id)

    # ---- back to the queue

    def give_back(self, batch: Batch, span: Span) -> None:
        """A cluster has not begun [lo, hi) of a span and will not: it is queued, or its arguments are asked for."""
        lo, hi = span.lo, span.hi
        if batch.is_resumed and batch.store.missing(lo, hi) == [(lo, hi)]:
            self._tasks.advance(batch, lo, hi, Trigger.UNREADY, wait=Wait.ARGUMENTS)
            self._outbox.send(batch.owner, NeedTasks(batch.id, lo, hi))
        else:
            self._tasks.advance(batch, lo, hi, Trigger.RETURN)
        self.adopt(batch, lo, hi)

    def ready(self, batch: Batch, lo: int, hi: int) -> None:
        """What [lo, hi) waited for is there."""
        self._tasks.advance(batch, lo, hi, Trigger.READY)
        self.adopt(batch, lo, hi)

    def lose(self, batch: Batch, span: Span, counts: Counts) -> None:
        """[lo, hi) of a span that was at a cluster is lost there through no fault of its own."""
        if span.state not in _NOT_BEGUN and counts.hosts_lost >= VANISH_LIMIT:
            text = f"its host was lost {counts.hosts_lost} times"
            self.beat_rivals(batch, span.lo, span.hi, None)
            self.fail(batch, span.lo, span.hi, Trigger.LOSE, Failure(Cause.VANISHED, text, attempts=counts.began))
            return
        to = None if span.state in _NOT_BEGUN else State.QUEUED
        self._tasks.advance(batch, span.lo, span.hi, Trigger.LOSE, to=to, counts=counts)
        self.adopt(batch, span.lo, span.hi)

    def lose_kept(self, batch: Batch, span: Span) -> None:
        """[lo, hi) of a span had ended, and its outcome is lost with the cluster that had it: it runs again.

        Arguments that have been let go of are asked for.
        """
        if batch.wanted:
            self.dependents.lost(batch, span.lo, span.hi)
        trigger = Trigger.OBJECT_LOST if span.state is State.STORED else Trigger.LOSE
        counts = span.counts._replace(began=span.counts.began + 1)
        missing = RangeSet(batch.store.missing(span.lo, span.hi))
        for lo, hi in missing.missing(span.lo, span.hi):
            self._tasks.advance(batch, lo, hi, trigger, to=State.QUEUED, counts=counts)
            self.adopt(batch, lo, hi)
        for lo, hi in missing:
            self._tasks.advance(batch, lo, hi, trigger, to=State.WAITING, counts=counts, wait=Wait.ARGUMENTS)
            self._outbox.send(batch.owner, NeedTasks(batch.id, lo, hi))

    def release_run(self, run: Run, *, charge: bool, unseen: int = 0) -> int:
        """A run and its cluster are gone; `charge` if without goodbye, so that what ran is counted.

        Of what is not known to have begun `unseen` tasks may have: the first of it. How many may have elsewhere.
        """
        batch = self._tasks.batch_of(run)
        for span in batch.spans.within(run.lo, run.hi):
            if span.run is not run or span.state in ENDED:
                continue
            if span.state is State.CANCELLING:
                self.cancelled(batch, span.lo, span.hi, Trigger.LOSE)
            elif span.state is State.RUNNING:
                counts = span.counts
                vanished = counts.vanished + 1 if charge else counts.vanished
                self.lose(batch, span, counts._replace(began=counts.began + 1, vanished=vanished))
            elif span.state in _AT_ITS_CLUSTER:
                self.lose_kept(batch, span)
            else:
                suspects = min(unseen, span.hi - span.lo)
                unseen -= suspects
                first = span.lo + suspects
                if suspects:
                    self.lose(batch, replace(span, hi=first), span.counts.suspect())
                if first < span.hi:
                    self.lose(batch, replace(span, lo=first), span.counts)
        for span in batch.spans.within(run.lo, run.hi):
            if span.run is run:
                self._tasks.part_with_run(batch, span.lo, span.hi)
        self._tasks.settle_run(run)
        self.settle(batch)
        return unseen

    # ---- rivals

    def claim(self, batch: Batch, run: Run, lo: int, hi: int) -> None:
        """A cluster also has [lo, hi), begun or finished, while its span stands elsewhere."""
        run.claims.add(lo, hi)
        if run not in batch.rivals:
            batch.rivals.append(run)

    def void_claims(self, batch: Batch, run: Run, lo: int, hi: int) -> list[Range]:
        """A run's claims on [lo, hi) are void; returns what they were. The caller settles the run."""
        void = run.claims.remove(lo, hi)
        if not run.claims and run in batch.rivals:
            batch.rivals.remove(run)
        return void

    def drop_claims(self, run: Run) -> None:
        """The cluster of a run is gone, and its claims with it."""
        if run.claims:
            self.void_claims(self._tasks.batch_of(run), run, run.lo, run.hi)
            self._tasks.settle_run(run)

    def beat_rivals(self, batch: Batch, lo: int, hi: int, winner: Run | None) -> None:
        """[lo, hi) has ended: other clusters that also have it are to stop."""
        for run in list(batch.rivals):
            for part in self.void_claims(batch, run, lo, hi):
                if run is not winner:
                    self._outbox.cancel(run.peer, run.id, *part)
            self._tasks.settle_run(run)

    def adopt(self, batch: Batch, lo: int, hi: int) -> None:
        """Of what was just queued of [lo, hi), a cluster that has it already keeps it; what lacks inputs waits."""
        for run in list(batch.rivals):
            for part in run.claims.within(lo, hi):
                for span in batch.spans.within(*part):
                    if span.state is State.QUEUED:
                        self._tasks.advance(batch, span.lo, span.hi, Trigger.CLAIM, to=State.RUNNING, run=run)
                        self.void_claims(batch, run, span.lo, span.hi)
        if batch.needs:
            self.dependents.queued(batch, lo, hi)
