"""What clusters report of their runs: results, what runs, what comes back, what is confirmed.

A report about tasks that meanwhile stand elsewhere is the network's habit: it is answered so that the cluster forgets
them, and changes nothing.
"""

from bisect import bisect_left

from scaler.core.batches import Batch
from scaler.core.flow import Flow
from scaler.core.lifecycle import LIVE, State, Trigger
from scaler.core.managers import Managers
from scaler.core.outbox import cut
from scaler.core.outcomes import Outcomes
from scaler.core.runs import Run
from scaler.core.spans import Counts, Span, Wait
from scaler.core.timers import Began
from scaler.core.unbegun import Unbegun
from scaler.core.workers import WALLTIME_FACTOR, Cluster
from scaler.errors import ProtocolError
from scaler.ids import RunId, TaskId
from scaler.protocol import (
    Cause,
    Confirmed,
    Failure,
    Forget,
    Results,
    RetractAnswered,
    Returned,
    ReturnReason,
    SpanResult,
    TasksBegan,
)
from scaler.protocol.codec import decode_failure
from scaler.protocol.columns import FAILED, RAISED_RETRYABLE, STATUSES, Frame, ResultColumn, words
from scaler.ranges import RangeSet, joined_indices

#: A client is told of a task that runs once it has run so long.
BEGAN_AFTER_S = 0.1
#: So long a cluster is not offered what it handed back, if others are idle.
BARRED_S = 0.1
#: No back-off is longer.
MAX_DELAY_S = 60.0
#: Up to so much of a back-off is left away, by a number made of the task's name, so that what failed together does not
#: come back together.
JITTER = 0.25
_BARS_KEPT = 64
_WORD = (1 << 64) - 1
_NOT_BEGUN = (State.ASSIGNED, State.RETRACTING)
_AT_ITS_CLUSTER = (State.KEPT, State.STORED)
#: what is said again
_NO_MOVES = ((State.KEPT, Trigger.KEEP), (State.STORED, Trigger.STORE))
_HAD_BEGUN = (ReturnReason.EXPIRED, ReturnReason.BYSTANDER)
_CHARGED = (Cause.DIED, Cause.MEMORY)


def check_outcomes(column: ResultColumn) -> None:
    """Raise `ProtocolError`, before anything changes, where parts of a column could not be sent on or understood."""
    ends = [column.base, *words(column.ends)]
    if ends != sorted(ends):
        raise ProtocolError(f"the ends of results [{column.lo}, {column.hi}) run backwards")
    statuses = memoryview(column.statuses)
    for index in column.unsuccessful():
        status = statuses[index - column.lo]
        if status == FAILED:
            decode_failure(b"".join(column.slice(index, index + 1).data))
        elif status not in STATUSES:
            raise ProtocolError(f"result {index} has the status {status}")


def back_off_s(delay_s: float, again: int, task: TaskId) -> float:
    """The pause before a task runs again that has raised `again` times before: doubled each time, jittered."""
    (owner, n), index = task
    mixed = (owner + n * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + again * 0x94D049BB133111EB) & _WORD
    mixed = ((mixed ^ mixed >> 31) * 0xD6E8FEB86659FD93) & _WORD
    left_away = JITTER * ((mixed >> 32) / (1 << 32))
    return min(MAX_DELAY_S, delay_s * 2.0 ** min(again, 32)) * (1 - left_away)


class _Piece:
    """A part of a result message that is wanted, being dealt with."""

    __slots__ = ("batch", "cluster", "column", "ended", "forward", "has_room", "is_kept", "run", "stored")

    def __init__(self, cluster: Cluster, run: Run, batch: Batch, column: ResultColumn, *, has_room: bool) -> None:
        self.cluster = cluster
        self.run = run
        self.batch = batch
        self.column = column
        #: whether it may be sent on; else what has ended stays at its cluster
        self.has_room = has_room
        self.is_kept = False
        #: those whose value lies with its cluster
        self.stored = RangeSet(joined_indices(column.stored()))
        #: how many tasks have ended with it
        self.ended = 0
        #: (lo, hi, attempts) to send on, ascending
        self.forward: list[tuple[int, int, int]] = []

    def send_on(self, lo: int, hi: int, attempts: int) -> None:
        forward = self.forward
        if forward and forward[-1][1] == lo and forward[-1][2] == attempts:
            forward[-1] = (forward[-1][0], hi, attempts)
        else:
            forward.append((lo, hi, attempts))


class Reports:
    """Reads what clusters say of tasks."""

    def __init__(self, managers: Managers, outcomes: Outcomes, flow: Flow, unbegun: Unbegun) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._timers = managers.timers
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._flow = flow
        self._unbegun = unbegun

    def run_at(self, cluster: Cluster, name: RunId) -> Run | None:
        """The record of a run a cluster names, if it is that cluster's."""
        run = self._tasks.runs.get(name)
        return run if run is not None and run.load is cluster.load else None

    # ---- results

    def finished(self, cluster: Cluster, message: SpanResult, frames: tuple[Frame, ...], now: float) -> None:
        """Take in results: the wanted ones go on to their client if there is room, the others may be forgotten."""
        run = self.run_at(cluster, message.run)
        cluster.progress_at = now
        if run is None:
            self._outbox.send(cluster.peer, Forget(message.run))
        else:
            lo, hi = message.lo, message.hi
            column = ResultColumn.from_frames(lo, hi, message.base, frames)
            if lo < run.lo or hi > run.hi:
                raise ProtocolError(f"results of [{lo}, {hi}) for a run of [{run.lo}, {run.hi})")
            batch = self._tasks.batch_of(run)
            batch.times.observe(column.run_us)
            has_room = self._flow.has_room(batch, run, message, frames, now)
            piece = _Piece(cluster, run, batch, column, has_room=has_room)
            self._take_in(piece, now)
            if piece.ended:
                self._tasks.keeps_results(batch, run, column.size_bytes * piece.ended // column.count)
            for first, last, attempts in piece.forward:
                part = column.slice(first, last)
                answer = Results(batch.id, first, last, part.base, message.place, attempts, cluster.host)
                self._flow.send(answer, part.frames())
            if piece.is_kept:
                self._flow.keep(batch, message, frames)
            self._outcomes.settle(batch)
        self.running(cluster, message.running, now)

    def _take_in(self, piece: _Piece, now: float) -> None:
        column, run, batch = piece.column, piece.run, piece.batch
        bad = column.unsuccessful()
        spans = batch.spans.within(column.lo, column.hi)
        if bad or len(spans) != 1 or spans[0].hi - spans[0].lo != column.count:
            check_outcomes(column)
        unwanted = column.count
        for span in spans:
            if span.run is run and (span.state in LIVE or span.state in _AT_ITS_CLUSTER):
                unwanted -= span.hi - span.lo
                self._end(piece, span, bad, now)
            elif run.claims:
                for part in run.claims.within(span.lo, span.hi):
                    unwanted -= self._end_claimed(piece, Span(*part, span.state, span.run, span.counts), bad, now)
        if unwanted:
            self._decline(piece)

    def _decline(self, piece: _Piece) -> None:
        """What of a message is not on its way to the client, now or since before: the cluster may forget it."""
        run, column = piece.run, piece.column
        spans = piece.batch.spans.within(column.lo, column.hi)
        taken = RangeSet((span.lo, span.hi) for span in spans if span.run is run)
        for lo, hi in taken.missing(column.lo, column.hi):
            self._outbox.delivered(run.peer, run.id, lo, hi)

    def _end(self, piece: _Piece, span: Span, bad: list[int], now: float) -> None:
        """All of a span of this run has an outcome."""
        lo = span.lo
        for index in bad[bisect_left(bad, span.lo) : bisect_left(bad, span.hi)] if bad else bad:
            if lo < index:
                self._succeed(piece, span, lo, index)
            self._end_badly(piece, span, index, now)
            lo = index + 1
        if lo < span.hi:
            self._succeed(piece, span, lo, span.hi)

    def _succeed(self, piece: _Piece, span: Span, lo: int, hi: int) -> None:
        if span.state is State.CANCELLING:
            self._cancelled(piece, lo, hi, Trigger.SUCCEED)
        elif not piece.stored:
            self._end_for_good(piece, span, lo, hi, Trigger.SUCCEED)
        else:
            for first, last in piece.stored.within(lo, hi):
                self._end_for_good(piece, span, first, last, Trigger.STORE)
            for first, last in piece.stored.missing(lo, hi):
                self._end_for_good(piece, span, first, last, Trigger.SUCCEED)

    def _end_for_good(self, piece: _Piece, span: Span, lo: int, hi: int, trigger: Trigger) -> None:
        """[lo, hi) of a span has its outcome: it goes on, or, where there is no room, stays at the cluster.

        Of a value that lies with the cluster it is told where; the task is kept there until its client has that.
        """
        if span.state is not State.KEPT and trigger is not Trigger.STORE:
            piece.ended += hi - lo
        if piece.has_room:
            piece.send_on(lo, hi, span.counts.began + 1)
        elif (span.state, trigger) not in _NO_MOVES:
            piece.is_kept, trigger = True, Trigger.KEEP
        if (span.state, trigger) not in _NO_MOVES:
            self._tasks.advance(piece.batch, lo, hi, trigger, run=piece.run)
        if piece.batch.wanted:
            self._outcomes.dependents.finished(piece.batch, piece.column, lo, hi, span.counts.began + 1)
        if piece.batch.rivals:
            self._outcomes.beat_rivals(piece.batch, lo, hi, piece.run)

    def _cancelled(self, piece: _Piece, lo: int, hi: int, trigger: Trigger) -> None:
        self._outbox.delivered(piece.run.peer, piece.run.id, lo, hi)
        self._outcomes.cancelled(piece.batch, lo, hi, trigger)

    def _end_badly(self, piece: _Piece, span: Span, index: int, now: float) -> None:
        """One task failed: it is tried again after a pause, or its failure goes on as it is."""
        # what is kept was found final when it came first
        retry = None if span.state in _AT_ITS_CLUSTER else self._retry(piece, span.counts, index)
        trigger = Trigger.FAIL if retry is None else Trigger.RETRY
        if span.state is State.CANCELLING:
            self._cancelled(piece, index, index + 1, trigger)
        elif retry is None:
            self._end_for_good(piece, span, index, index + 1, Trigger.FAIL)
        else:
            counts, delay_s = retry
            due = now + delay_s
            if span.state is State.HELD:
                # another cluster may tell yet that it has tried again, for the scheduler before
                due = max(due, self._timers.recovers_until)
                self._tasks.advance(piece.batch, index, index + 1, Trigger.CLAIM, to=State.RUNNING, run=piece.run)
            self._outbox.delivered(piece.run.peer, piece.run.id, index, index + 1)
            self._tasks.advance(piece.batch, index, index + 1, Trigger.RETRY, counts=counts, wait=Wait.BACKOFF)
            self._timers.back_off(due, piece.batch, index)

    def _retry(self, piece: _Piece, counts: Counts, index: int) -> tuple[Counts, float] | None:
        """What is charged for a failure and how long to pause, or None if it is final."""
        options, column = piece.batch.options, piece.column
        status = memoryview(column.statuses)[index - column.lo]
        cause = decode_failure(b"".join(column.slice(index, index + 1).data)).cause if status == FAILED else None
        delay_s = 0.0
        if cause is Cause.OBJECT_LOST:
            pause_s = self._outcomes.dependents.looks_again_after_s(piece.batch, index, counts.lost)
            if pause_s is None:
                return None
            delay_s, charged = pause_s, counts._replace(lost=counts.lost + (pause_s > 0))
        elif status == RAISED_RETRYABLE and counts.raised < options.retries:
            charged = counts._replace(raised=counts.raised + 1)
            delay_s = back_off_s(options.retry_delay_s, counts.raised, TaskId(piece.batch.id, index))
        elif cause in _CHARGED and counts.died < options.retries:
            charged = counts._replace(died=counts.died + 1)
        else:
            return None
        return charged._replace(began=counts.began + 1, tried=(*counts.tried, piece.run.id)), delay_s

    def _end_claimed(self, piece: _Piece, span: Span, bad: list[int], now: float) -> int:
        """A run finished tasks whose span stands elsewhere; the first result wins. Returns how many were wanted."""
        wanted = 0
        if span.state is State.HELD:
            wanted = span.hi - span.lo
            self._end(piece, span, bad, now)
        elif span.state is State.WAITING:
            wanted = span.hi - span.lo
            self._tasks.advance(piece.batch, span.lo, span.hi, Trigger.READY)
            self._tasks.advance(piece.batch, span.lo, span.hi, Trigger.CLAIM, to=State.RUNNING, run=piece.run)
            self._end(piece, Span(span.lo, span.hi, State.RUNNING, piece.run, span.counts), bad, now)
        else:
            # at another cluster: claims end with the task, with its cancellation, and when it is queued
            assert span.run is not None
            rest = RangeSet(((span.lo, span.hi),))
            for index in bad:
                rest.remove(index, index + 1)
            for lo, hi in rest:
                wanted += hi - lo
                self._outbox.cancel(span.run.peer, span.run.id, lo, hi)
                self._succeed(piece, span, lo, hi)
        self._outcomes.void_claims(piece.batch, piece.run, span.lo, span.hi)
        self._tasks.settle_run(piece.run)
        return wanted

    # ---- what runs

    def running(self, cluster: Cluster, running: tuple[tuple[RunId, int], ...], now: float) -> None:
        """Take in what is in a cluster's slots: whatever is there has begun."""
        before = cluster.running
        if not running:
            if before:
                cluster.running = {}
            return
        current: dict[tuple[RunId, int], float] = {}
        for entry in running:
            since = before.get(entry)
            if since is not None or self.begun(cluster, *entry, now):
                current[entry] = now if since is None else since
        cluster.running = current

    def begun(self, cluster: Cluster, name: RunId, index: int, now: float) -> bool:
        """A task was seen to run; False if it is not this cluster's: not any more, or not yet after a restart."""
        run = self.run_at(cluster, name)
        if run is None:
            return False
        batch = self._tasks.batch_of(run)
        span = batch.spans.at(index)
        if span is None or span.run is not run or span.state not in LIVE:
            return False
        if span.state is not State.RUNNING:
            self._tasks.advance(batch, index, index + 1, Trigger.BEGIN)
        if not batch.is_orphan:
            self._timers.began.append(Began(now + BEGAN_AFTER_S, name, index))
        return True

    def tell_began(self, now: float) -> None:
        """Tell clients of the tasks that have been running for a while."""
        due = self._timers.began
        told: dict[int, tuple[Batch, RangeSet]] = {}
        while due and due[0].due <= now:
            entry = due.popleft()
            run = self._tasks.runs.get(entry.run)
            if run is None:
                continue
            batch = self._tasks.batch_of(run)
            span = batch.spans.at(entry.index)
            if span is not None and span.run is run and span.state is State.RUNNING:
                told.setdefault(batch.serial, (batch, RangeSet()))[1].add(entry.index, entry.index + 1)
        for batch, ranges in told.values():
            for part in cut(ranges.ranges()):
                self._outbox.send(batch.owner, TasksBegan(batch.id, part))

    # ---- what comes back

    def returned(self, cluster: Cluster, message: Returned, now: float) -> None:
        """Queue again what a cluster did not finish; what had begun is charged by the reason."""
        run = self.run_at(cluster, message.run)
        if run is None:
            return
        batch = self._tasks.batch_of(run)
        for lo, hi in message.ranges:
            if run.claims:  # what it has of tasks that stand elsewhere it has no more
                self._outcomes.void_claims(batch, run, lo, hi)
            for span in batch.spans.within(lo, hi):
                if span.run is not run:
                    continue
                if span.state in _NOT_BEGUN and message.reason in _HAD_BEGUN:
                    self._tasks.advance(batch, span.lo, span.hi, Trigger.BEGIN)
                    begun = Span(span.lo, span.hi, State.RUNNING, run, span.counts)
                    self._ended_early(cluster, batch, begun, message.reason, now)
                elif span.state in _NOT_BEGUN:
                    if not batch.asked_back:
                        self._bar(cluster, batch, span, message.reason, now)
                    self._outcomes.give_back(batch, span)
                    self._unbegun.came_back(batch, span.lo, span.hi)
                elif span.state is State.RUNNING:
                    self._ended_early(cluster, batch, span, message.reason, now)
                elif span.state is State.CANCELLING:
                    self._outcomes.cancelled(batch, span.lo, span.hi, Trigger.RETURN)
                elif span.state in _AT_ITS_CLUSTER and message.reason is ReturnReason.LOST:
                    self._outcomes.lose_kept(batch, span)
        self._tasks.settle_run(run)
        self._outcomes.settle(batch)

    def _bar(self, cluster: Cluster, batch: Batch, span: Span, reason: ReturnReason, now: float) -> None:
        bars = cluster.barred if reason is ReturnReason.RETRACTED else cluster.refused
        bars[batch.lane_of(span.counts)] = now + BARRED_S
        if len(bars) > _BARS_KEPT:
            for lane in [lane for lane, until in bars.items() if until <= now]:
                del bars[lane]

    def _ended_early(self, cluster: Cluster, batch: Batch, span: Span, reason: ReturnReason, now: float) -> None:
        """What was running came back unfinished: walltime teaches how long it runs at least."""
        if reason is not ReturnReason.EXPIRED:
            self._outcomes.lose(batch, span, span.counts._replace(began=span.counts.began + 1))
            return
        for index in range(span.lo, span.hi):
            since = cluster.running.get((span.run.id, index), now) if span.run is not None else now
            counts = span.counts
            least_s = max(counts.least_s, now - since)
            one = Span(index, index + 1, span.state, span.run)
            self._outcomes.lose(batch, one, counts._replace(began=counts.began + 1, least_s=least_s))
            self._refuse_hopeless(batch, index, least_s)

    def _refuse_hopeless(self, batch: Batch, index: int, least_s: float) -> None:
        """A task that runs longer than any cluster ever offered fails, naming both figures."""
        longest_s = self._workers.longest_offer_s
        span = batch.spans.at(index)
        if longest_s is None or span is None or span.state is not State.QUEUED:
            return
        if longest_s <= WALLTIME_FACTOR * span.counts.needs.least_s:
            text = f"it ran for {least_s:.1f} s without ending, and no worker ever offered more than {longest_s:.1f} s"
            self._outcomes.refuse(batch, index, index + 1, Failure(Cause.WALLTIME, text, attempts=span.counts.began))

    def retract_answered(self, cluster: Cluster, message: RetractAnswered) -> None:
        """All that could be had of a retraction came back before; what did not has begun."""
        cluster.retracts = max(0, cluster.retracts - 1)
        cluster.load.note()
        run = self.run_at(cluster, message.run)
        if run is None:
            return
        batch = self._tasks.batch_of(run)
        for span in batch.spans.within(message.lo, message.hi):
            if span.run is run and span.state is State.RETRACTING:
                self._tasks.advance(batch, span.lo, span.hi, Trigger.BEGIN)
        self._unbegun.stayed(batch, message.lo, message.hi)

    def confirmed(self, cluster: Cluster, message: Confirmed) -> None:
        """A cluster has dropped cancelled tasks."""
        run = self.run_at(cluster, message.run)
        if run is None:
            return
        batch = self._tasks.batch_of(run)
        for lo, hi in message.ranges:
            for span in batch.spans.within(lo, hi):
                if span.run is run and span.state is State.CANCELLING:
                    self._outcomes.cancelled(batch, span.lo, span.hi, Trigger.CONFIRM)
        self._outcomes.settle(batch)
