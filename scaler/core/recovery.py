"""What peers tell of an earlier scheduler, or of an earlier link: clients what they wait for, clusters what they have.

The rest is released when the recovery window ends. A claim that comes later wins only what nobody else has begun.
"""

from dataclasses import dataclass, field
from typing import assert_never

from scaler.core.batches import Batch
from scaler.core.clients import ClientRecord
from scaler.core.lifecycle import ENDED, State, Trigger
from scaler.core.managers import Managers
from scaler.core.outbox import cut
from scaler.core.outcomes import Outcomes
from scaler.core.requests import served
from scaler.core.results import Reports, check_outcomes
from scaler.core.retraction import Retraction
from scaler.core.runs import Run
from scaler.core.spans import Span
from scaler.core.workers import Cluster
from scaler.errors import ProtocolError
from scaler.ids import BatchId, Incarnation, Range, RunId
from scaler.protocol import Forget, Held, Holding, NeedResults, Resume, Returned, SpanResult
from scaler.protocol.columns import Frame, ResultColumn
from scaler.ranges import RangeSet, joined

#: A peer that arrives in the window keeps it open for so long, within its bounds.
ARRIVAL_S = 1.0
#: A report takes so much beside the bytes of results.
_REPORT_BYTES = 1024
#: what one more range in such a report, or in a claim, takes
_RANGE_BYTES = 128
#: claims and what is handed back of them may take so much: millions of runs
MOST_CLAIM_BYTES = 256 << 20
_UNPLACED = (State.HELD, State.QUEUED)
_NOT_CLAIMED = (State.CANCELLING, State.KEPT, State.STORED)


@dataclass(slots=True, eq=False)
class _Early:
    """A claim on a batch whose client has not come back yet, and what its cluster said of it since."""

    cluster: Cluster
    held: Held
    #: what it takes without its results
    claim_bytes: int
    #: what `CoreConfig.early_bytes` counts of the reports
    size_bytes: int = 0
    #: its results that there was no room for: the cluster has them still
    unkept: RangeSet = field(default_factory=RangeSet)
    reports: list[tuple[SpanResult | Returned, tuple[Frame, ...]]] = field(default_factory=list)


def _running(held: Held) -> list[tuple[int, int]]:
    return [(index, index + 1) for index in held.running]


def _ranges_of(held: Held) -> tuple[Range, ...]:
    """All that a claim names."""
    return joined([*held.queued, *_running(held), *held.finished])


class Recovery:
    """Puts together what this scheduler was not told the first time."""

    def __init__(self, managers: Managers, outcomes: Outcomes, reports: Reports, retraction: Retraction) -> None:
        self._config = managers.config
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._clients = managers.clients
        self._functions = managers.functions
        self._timers = managers.timers
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._reports = reports
        self._retraction = retraction
        self._has_started = False
        #: when the window ends, and when at the latest
        self._until = self._latest = 0.0
        #: when a client that has not come back is taken for lost, and what clusters have of it for nobody's
        self.absent_at = 0.0
        #: batches whose HELD tasks wait for their release, and until when, by serial
        self._held: dict[int, tuple[Batch, float]] = {}
        #: claims on batches nobody has resumed yet
        self._early: dict[BatchId, list[_Early]] = {}
        self._early_runs: dict[RunId, _Early] = {}
        #: of all of them
        self._early_bytes = self._claim_bytes = 0

    def start(self, now: float) -> None:
        """The window opens with the first event."""
        if not self._has_started:
            self._has_started = True
            self._until = now + self._config.recovery_s
            self._latest = now + self._config.recovery_max_s
            self._timers.recovers_until = self._until
            self.absent_at = now + self._config.client_timeout_s

    def joined(self, now: float) -> None:
        """A peer arrived: while some do, the window stays open a little longer."""
        if now < self._until:
            self._until = max(self._until, min(now + ARRIVAL_S, self._latest))
            self._timers.recovers_until = self._until

    def shift(self, seconds: float) -> None:
        """The shell overslept."""
        self._until += seconds
        self._latest += seconds
        self.absent_at += seconds
        self._held = {serial: (batch, until + seconds) for serial, (batch, until) in self._held.items()}

    # ---- clients

    def resume(self, client: ClientRecord, message: Resume, now: float) -> None:
        """A client names what it still waits for of a batch: held until claimed or released."""
        ranges = joined(message.unresolved)
        last = ranges[-1].hi if ranges else 0
        known = last if message.size is None else message.size
        if message.batch.owner != client.peer or message.batch in self._tasks.batches or last > known:
            raise ProtocolError(f"batch {message.batch} cannot be resumed")
        options = served(client, message.options)
        client.names(message.batch)
        batch = self._tasks.open(message.batch, message.function, options)
        self._functions.use(message.function, client.peer)
        batch.is_resumed = True
        batch.is_closed = message.size is not None
        self._tasks.hold(batch, ranges, known)
        until = self._until if now < self._until else now + self._config.recovery_s
        self._held[batch.serial] = batch, until
        self._timers.release_by(until)
        for early in self._early.pop(message.batch, ()):
            self._drop_early(early)
            if early.held.run not in self._tasks.runs:
                self._claim(early.cluster, batch, early.held)
                for report, frames in early.reports:
                    self._replay(early.cluster, report, frames, now)
                for part in cut(early.unkept.ranges()):
                    self._outbox.send(early.cluster.peer, NeedResults(early.held.run, part))
        self._outcomes.settle(batch)

    def resumed(self, client: ClientRecord) -> None:
        """A client has named all that it waits for: claims on other batches of it are nobody's."""
        client.has_resumed = True
        self._forget_early([name for name in self._early if name.owner == client.peer])

    def _has_told_all(self, owner: Incarnation) -> bool:
        client = self._clients.clients.get(owner)
        return client is not None and client.has_resumed

    def _replay(self, cluster: Cluster, report: SpanResult | Returned, frames: tuple[Frame, ...], now: float) -> None:
        match report:
            case SpanResult():
                self._reports.finished(cluster, report, frames, now)
            case Returned():
                self._reports.returned(cluster, report, now)
            case _:
                assert_never(report)

    # ---- clusters

    def holding(self, cluster: Cluster, message: Holding, now: float) -> None:
        """A cluster names what it has: wanted runs are adopted, unknown ones forgotten once their client had time."""
        for held in message.runs:
            batch = self._tasks.batches.get(held.batch)
            if held.run in self._tasks.runs:
                continue
            if not self._tasks.may_have_named(held.run):
                raise ProtocolError(f"run {held.run} is held before it was given")
            if batch is not None:
                self._claim(cluster, batch, held)
            elif now < self.absent_at and not self._has_told_all(held.batch.owner):
                self._keep_claim(cluster, held)
            else:
                self._outbox.send(cluster.peer, Forget(held.run))

    def awaited(self, cluster: Cluster, run: RunId) -> BatchId | None:
        """The batch of a run that a cluster has and whose client has not come back yet."""
        early = self._early_runs.get(run)
        return early.held.batch if early is not None and early.cluster is cluster else None

    def _keep_claim(self, cluster: Cluster, held: Held) -> None:
        """A claim on a batch whose client is not here: kept, if no other claim on that run is."""
        known = self._early_runs.get(held.run)
        if known is not None:
            if known.cluster is not cluster:
                self._outbox.send(cluster.peer, Forget(held.run))
            return
        ranges = _ranges_of(held)
        size_bytes = _REPORT_BYTES + _RANGE_BYTES * len(ranges)
        if self._claim_bytes + size_bytes > MOST_CLAIM_BYTES:
            self._outbox.send(cluster.peer, Forget(held.run))
            return
        early = self._early_runs[held.run] = _Early(cluster, held, size_bytes)
        self._claim_bytes += size_bytes
        self._early.setdefault(held.batch, []).append(early)
        self._timers.release_by(self.absent_at)

    def keeps(self, cluster: Cluster, message: SpanResult | Returned, frames: tuple[Frame, ...] = ()) -> bool:
        """Whether a report is of a claim that waits for its client; it is looked at now and dealt with then."""
        early = self._early_runs.get(message.run)
        if early is None or early.cluster is not cluster:
            return False
        if isinstance(message, SpanResult):
            check_outcomes(ResultColumn.from_frames(message.lo, message.hi, message.base, frames))
            claimed = _ranges_of(early.held)
            if not claimed or message.lo < claimed[0].lo or message.hi > claimed[-1].hi:
                raise ProtocolError(f"results of [{message.lo}, {message.hi}) are of no run that is held")
            size_bytes = _REPORT_BYTES + sum(len(frame) for frame in frames)
            if self._early_bytes + size_bytes > self._config.early_bytes:
                early.unkept.add(message.lo, message.hi)
                return True
            early.size_bytes += size_bytes
            self._early_bytes += size_bytes
        else:
            size_bytes = _REPORT_BYTES + _RANGE_BYTES * len(message.ranges)
            if self._claim_bytes + size_bytes > MOST_CLAIM_BYTES:
                self._let_go(early)
                return True
            early.claim_bytes += size_bytes
            self._claim_bytes += size_bytes
        early.reports.append((message, frames))
        return True

    def _let_go(self, early: _Early) -> None:
        """There is no room for what a claim has grown to: its tasks will be queued, or are claimed by others."""
        self._early[early.held.batch].remove(early)
        self._drop_early(early)
        self._outbox.send(early.cluster.peer, Forget(early.held.run))

    def _drop_early(self, early: _Early) -> None:
        """A claim waits no longer; the caller takes it from its batch."""
        del self._early_runs[early.held.run]
        self._early_bytes -= early.size_bytes
        self._claim_bytes -= early.claim_bytes

    def _claim(self, cluster: Cluster, batch: Batch, held: Held) -> None:
        """Adopt what stands nowhere else; of the rest the first result wins, or the claimer is told to stop."""
        ranges = _ranges_of(held)
        if not ranges or batch.options.everywhere:  # what one cluster has of a call on every worker is not all of it
            self._outbox.send(cluster.peer, Forget(held.run))
            return
        run = self._tasks.known_run(held.run, batch, ranges[0].lo, ranges[-1].hi, cluster.load)
        unwanted = RangeSet(ranges)
        for lo, hi in held.queued:
            for span in batch.spans.within(lo, hi):
                if self._is_free(batch, span):
                    unwanted.remove(span.lo, span.hi)
                    self._adopt(batch, span, run, State.ASSIGNED)
        for lo, hi in joined(_running(held)):
            self._claim_begun(batch, run, lo, hi, unwanted, is_finished=False)
        for lo, hi in held.finished:
            self._claim_begun(batch, run, lo, hi, unwanted, is_finished=True)
        self._tasks.settle_run(run)
        self._decline(cluster, held, run, unwanted)

    def _is_free(self, batch: Batch, span: Span) -> bool:
        """Whether a span stands at no cluster; what waits is queued, for a claimer has all it needs."""
        if span.state is State.WAITING:
            self._tasks.advance(batch, span.lo, span.hi, Trigger.READY)
            return True
        return span.state in _UNPLACED

    def _adopt(self, batch: Batch, span: Span, run: Run, state: State) -> None:
        self._tasks.advance(batch, span.lo, span.hi, Trigger.CLAIM, to=state, run=run)

    def _claim_begun(self, batch: Batch, run: Run, lo: int, hi: int, unwanted: RangeSet, *, is_finished: bool) -> None:
        for span in batch.spans.within(lo, hi):
            if span.state in ENDED or span.state in _NOT_CLAIMED or span.run is run or run.id in span.counts.tried:
                continue
            unwanted.remove(span.lo, span.hi)
            if is_finished and span.state is State.HELD:
                self._outcomes.claim(batch, run, span.lo, span.hi)
            elif self._is_free(batch, span):
                self._adopt(batch, span, run, State.RUNNING)
            else:
                self._outcomes.claim(batch, run, span.lo, span.hi)
                other = self._workers.clusters.get(span.run.peer) if span.run is not None else None
                if other is not None and span.run is not None and span.state is State.ASSIGNED:
                    self._retraction.ask(other, span.run, span.lo, span.hi)

    def _decline(self, cluster: Cluster, held: Held, run: Run, unwanted: RangeSet) -> None:
        """Tell a cluster what of its claim nobody wants."""
        if not run.held and not run.claims:
            self._outbox.send(cluster.peer, Forget(held.run))
            return
        finished = RangeSet(held.finished)
        for lo, hi in unwanted:
            for part in finished.within(lo, hi):
                self._outbox.delivered(cluster.peer, held.run, *part)
            for part in finished.missing(lo, hi):
                self._outbox.cancel(cluster.peer, held.run, *part)

    # ---- the end of the window

    def release(self, now: float) -> None:
        """What nobody claimed in time is queued; claims nobody answered for in time are forgotten."""
        if self._timers.release_at is None or now < self._timers.release_at:
            return
        self._timers.release_at = None
        for serial, (batch, until) in list(self._held.items()):
            due = max(until, self._until) if now < self._until else until
            if now < due:
                self._timers.release_by(due)
            else:
                del self._held[serial]
                self.release_held(batch)
        if self._early:
            if now >= self.absent_at:
                self._forget_early(list(self._early))
            else:
                self._timers.release_by(self.absent_at)

    def release_held(self, batch: Batch) -> None:
        """Queue what is HELD, but for what a cluster says it has finished: that comes."""
        coming = RangeSet(part for run in batch.rivals for part in run.claims)
        for span in batch.spans.within(0, batch.appended):
            if span.state is State.HELD:
                for lo, hi in coming.missing(span.lo, span.hi):
                    self._tasks.advance(batch, lo, hi, Trigger.RELEASE)

    def _forget_early(self, names: list[BatchId]) -> None:
        """Nobody waits for these batches: clusters may let go of what they have of them."""
        for name in names:
            for early in self._early.pop(name):
                self._drop_early(early)
                self._outbox.send(early.cluster.peer, Forget(early.held.run))

    def cluster_lost(self, cluster: Cluster, batches: list[Batch]) -> None:
        """What the cluster said it had finished does not come: it is queued if its batch's window is over."""
        for early in [early for early in self._early_runs.values() if early.cluster is cluster]:
            self._early[early.held.batch].remove(early)
            self._drop_early(early)
        for batch in batches:
            if batch.is_resumed and batch.serial not in self._held:
                self.release_held(batch)

    def check(self) -> None:
        """Claims that wait for their clients are known by batch and by run, and their bytes are counted."""
        early = [one for claims in self._early.values() for one in claims]
        assert {one.held.run: one for one in early} == self._early_runs
        assert len(early) == len(self._early_runs)
        assert self._early_bytes == sum(one.size_bytes for one in early)
        assert self._claim_bytes == sum(one.claim_bytes for one in early)
