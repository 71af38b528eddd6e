"""Calls that every worker makes once: for its client each is one task, at every cluster it is a run of its own.

The task waits while clusters have it. Each cluster answers with one outcome for all its workers, a failure if there was
one; the first failure of all, or else the first value, is the outcome of the task. Who is lost meanwhile is not waited
for; when nobody is left who could answer, the call begins anew with whoever comes. Of one client few are on their way
at a time.
"""

from collections import deque
from dataclasses import dataclass, field

from scaler.core.batches import Batch
from scaler.core.flow import Flow
from scaler.core.lanes import ClassKey
from scaler.core.lifecycle import State, Trigger
from scaler.core.managers import Managers
from scaler.core.outcomes import Outcomes
from scaler.core.results import check_outcomes
from scaler.core.spans import NO_NEEDS, Span, Wait
from scaler.core.workers import Cluster
from scaler.errors import ProtocolError
from scaler.ids import Incarnation, RunId
from scaler.protocol import DefineFunction, Results, Returned, RunSpan, SpanResult
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn

#: So many calls of one client are on their way at a time; the others wait for these.
MOST_AT_ONCE = 16


@dataclass(slots=True)
class _Answer:
    """What one cluster's workers came to."""

    cluster: Cluster
    run: RunId
    place: str
    column: ResultColumn
    failed: bool


@dataclass(slots=True, eq=False)
class _Call:
    """One call that is on its way through all workers."""

    batch: Batch
    index: int
    #: the clusters that have not answered, and what the call is named there
    asked: dict[Incarnation, RunId] = field(default_factory=dict)
    answer: _Answer | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether its client waits for it still."""
        span = self.batch.spans.at(self.index)
        return span is not None and span.wait is Wait.WORKERS


@dataclass(slots=True)
class _OfClient:
    """The calls of one client."""

    #: those that have begun and not ended, by the serial of their batch and their index
    begun: dict[tuple[int, int], _Call] = field(default_factory=dict)
    #: ranges of those that wait for these, the oldest first; some may be off since
    parked: deque[tuple[Batch, int, int]] = field(default_factory=deque)
    #: those that are queued to begin now; some may have begun or be off since
    due: list[tuple[Batch, int]] = field(default_factory=list)


class Everywhere:
    """All such calls."""

    def __init__(self, managers: Managers, outcomes: Outcomes, flow: Flow) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._flow = flow
        #: all and only calls that some cluster has not answered, by every name they have at one
        self._calls: dict[RunId, _Call] = {}
        self._clients: dict[Incarnation, _OfClient] = {}
        #: calls that nobody has to answer any more, and that end when their client has room
        self._answered: list[_Call] = []

    def has_room(self, batch: Batch) -> bool:
        """Whether one more call of its client may begin."""
        known = self._clients.get(batch.owner)
        return known is None or len(known.begun) < MOST_AT_ONCE

    def park(self, batch: Batch, lo: int, hi: int) -> None:
        """The queued calls [lo, hi) wait until earlier ones of their client have ended."""
        self._tasks.advance(batch, lo, hi, Trigger.UNREADY, wait=Wait.WORKERS)
        self._clients[batch.owner].parked.append((batch, lo, hi))

    def begin(self, batch: Batch, column: ArgumentColumn, frames: tuple[Frame, ...], now: float) -> None:
        """A queued task of one call goes to all clusters that offer what it wants; `frames` are its function."""
        lo, hi = column.lo, column.hi
        call = _Call(batch, lo)
        self._clients.setdefault(batch.owner, _OfClient()).begun[batch.serial, lo] = call
        key = ClassKey(batch.options.tag, batch.options.resources, NO_NEEDS)
        for cluster in self._workers.clusters.values():
            if not cluster.slots or not cluster.offers(key, now):
                continue
            if cluster.is_new_function(batch.function):
                size_bytes = sum(len(frame) for frame in frames)
                self._outbox.send(cluster.peer, DefineFunction(batch.function, size_bytes), frames)
            run = call.asked[cluster.peer] = self._tasks.name_run()
            self._calls[run] = call
            message = RunSpan(run, batch.id, lo, hi, batch.function, batch.options)
            self._outbox.send(cluster.peer, message, column.frames())
        self._tasks.advance(batch, lo, hi, Trigger.UNREADY, wait=Wait.WORKERS)

    def asked(self, cluster: Cluster, run: RunId) -> Batch | None:
        """The batch of such a call, which a cluster has under this name and has not answered."""
        call = self._calls.get(run)
        return call.batch if call is not None and call.asked.get(cluster.peer) == run else None

    def keeps(self, cluster: Cluster, message: SpanResult | Returned, frames: tuple[Frame, ...] = ()) -> bool:
        """Whether a report is of such a call; it is dealt with then."""
        call = self._calls.get(message.run)
        if call is None or call.asked.get(cluster.peer) != message.run:
            return False
        if isinstance(message, SpanResult):
            if (message.lo, message.hi) != (call.index, call.index + 1):
                raise ProtocolError(f"results of [{message.lo}, {message.hi}) for a call on every worker")
            column = ResultColumn.from_frames(message.lo, message.hi, message.base, frames)
            check_outcomes(column)
            self._take_in(call, _Answer(cluster, message.run, message.place, column, bool(column.unsuccessful())))
        self._need_not_wait(call, cluster.peer)
        return True

    def _take_in(self, call: _Call, answer: _Answer) -> None:
        """The first failure counts, or else the first value."""
        before = call.answer
        counts = before is None or (answer.failed and not before.failed)
        self._let_go(call, before if counts else answer)
        call.answer = answer if counts else before

    def _let_go(self, call: _Call, answer: _Answer | None) -> None:
        if answer is not None:
            self._outbox.delivered(answer.cluster.peer, answer.run, call.index, call.index + 1)

    def cluster_left(self, cluster: Cluster) -> None:
        """A cluster is gone, and was left out of the tables."""
        for call in dict.fromkeys(self._calls.values()):
            if cluster.peer in call.asked:
                self._need_not_wait(call, cluster.peer)

    def _need_not_wait(self, call: _Call, peer: Incarnation) -> None:
        """A cluster has answered, or will not."""
        del self._calls[call.asked.pop(peer)]
        if not call.asked:
            self._answered.append(call)
            self._end_answered()

    def tick(self) -> None:
        """End what all have answered and there is room for now; stop what nobody waits for any more; begin others."""
        if self._answered:
            self._end_answered()
        if not self._clients:
            self._outcomes.called_off.clear()
            return
        called_off, self._outcomes.called_off = self._outcomes.called_off, []
        for batch, lo, hi in called_off:
            self._call_off(batch, lo, hi)
        for owner, known in list(self._clients.items()):
            if known.parked:
                self._unpark(known)
            elif not known.begun:
                del self._clients[owner]

    def _call_off(self, batch: Batch, lo: int, hi: int) -> None:
        known = self._clients.get(batch.owner)
        if known is None:
            return
        for call in list(known.begun.values()):
            if call.batch is batch and lo <= call.index < hi and not call.is_wanted:
                self._has_ended(call)
                self._let_go(call, call.answer)
                for peer, run in call.asked.items():
                    self._outbox.cancel(peer, run, call.index, call.index + 1)
                    del self._calls[run]
        known.parked = deque(part for part in known.parked if part[0] is not batch or _waiting(*part))

    def _has_ended(self, call: _Call) -> None:
        del self._clients[call.batch.owner].begun[call.batch.serial, call.index]

    def _unpark(self, known: _OfClient) -> None:
        """Queue as many calls as may begin now."""
        known.due = [(batch, index) for batch, index in known.due if _is_queued(batch, index)]
        while known.parked and len(known.begun) + len(known.due) < MOST_AT_ONCE:
            batch, lo, hi = known.parked.popleft()
            for span in _waiting(batch, lo, hi)[:1]:
                known.due.append((batch, span.lo))
                self._outcomes.ready(batch, span.lo, span.lo + 1)
                if span.lo + 1 < hi:
                    known.parked.appendleft((batch, span.lo + 1, hi))

    def _end_answered(self) -> None:
        answered, self._answered = self._answered, []
        for call in answered:
            if not call.is_wanted:
                continue  # it was called off
            if self._flow.may_send(call.batch.owner):
                self._end(call)
            else:
                self._answered.append(call)

    def _end(self, call: _Call) -> None:
        """All who were asked have answered, or are gone."""
        self._has_ended(call)
        batch, lo, hi, answer = call.batch, call.index, call.index + 1, call.answer
        self._tasks.advance(batch, lo, hi, Trigger.READY)
        cluster = self._booked_at(answer)
        if answer is None or cluster is None:
            return  # it begins anew
        name = answer.run if cluster is answer.cluster else self._tasks.name_run()
        run = self._tasks.known_run(name, batch, lo, hi, cluster.load)
        self._tasks.advance(batch, lo, hi, Trigger.CLAIM, to=State.RUNNING, run=run)
        self._tasks.advance(batch, lo, hi, Trigger.FAIL if answer.failed else Trigger.SUCCEED, run=run)
        column = answer.column
        message = Results(batch.id, lo, hi, column.base, answer.place, host=answer.cluster.host)
        self._flow.send(message, column.frames())
        self._outcomes.settle(batch)

    def _booked_at(self, answer: _Answer | None) -> Cluster | None:
        """The cluster a finished task is booked at: where it finished, or any other if that is gone."""
        clusters = self._workers.clusters
        if answer is not None and clusters.get(answer.cluster.peer) is answer.cluster:
            return answer.cluster
        return next(iter(clusters.values()), None)

    def check(self) -> None:
        """Every call is known by all its names, and waits; few of a client have begun."""
        begun = [call for known in self._clients.values() for call in known.begun.values()]
        for run, call in self._calls.items():
            assert run in call.asked.values()
            assert all(self._calls[name] is call for name in call.asked.values())
            assert all(peer in self._workers.clusters for peer in call.asked)
            assert any(call is one for one in begun)
        assert all(call.is_wanted and (call.asked or call in self._answered) for call in begun)
        assert all(len(known.begun) <= MOST_AT_ONCE for known in self._clients.values())
        parked = [part for known in self._clients.values() for part in known.parked]
        for batch in self._tasks.by_serial.values():
            known_of = {call.index for call in begun if call.batch is batch}
            for other, lo, hi in parked:
                if other is batch:
                    indices = {index for span in _waiting(other, lo, hi) for index in range(span.lo, span.hi)}
                    assert not known_of & indices
                    known_of |= indices
            waiting = [span for span in batch.spans.all() if span.wait is Wait.WORKERS]
            assert known_of == {index for span in waiting for index in range(span.lo, span.hi)}


def _waiting(batch: Batch, lo: int, hi: int) -> list[Span]:
    """What of [lo, hi) has not been called off."""
    return [span for span in batch.spans.within(lo, hi) if span.wait is Wait.WORKERS]


def _is_queued(batch: Batch, index: int) -> bool:
    span = batch.spans.at(index)
    return span is not None and span.state is State.QUEUED
