"""Tasks that need the values of others: they wait, are queued once all are there, and fail as the first that failed.

Their clients name them as they append calls. An outcome passes by on its way to its client; one that has passed before
is asked of the client that has it.
"""

from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from scaler.core.batches import Batch
from scaler.core.lifecycle import State, Trigger
from scaler.core.needs import Input, Outcome
from scaler.core.outbox import Outbox
from scaler.core.spans import Wait
from scaler.core.tasks import TaskManager
from scaler.ids import Range, TaskId
from scaler.protocol import Failure, NeedInputs, Results
from scaler.protocol.codec import decode_failure, encode_failure
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES, Frame, ResultColumn
from scaler.protocol.inputs import Dependencies
from scaler.protocol.options import MAX_RANGES
from scaler.ranges import joined, members_within


class Dependents:
    """Moves tasks as those they need end.

    `send` sends results to their client, `ready` queues a range of tasks, `tell_failed` tells of failed ranges.
    """

    def __init__(
        self,
        tasks: TaskManager,
        outbox: Outbox,
        send: Callable[[Results, tuple[Frame, ...]], None],
        ready: Callable[[Batch, int, int], None],
        tell_failed: Callable[[Batch, Iterable[tuple[int, int]], Failure], None],
    ) -> None:
        self._tasks = tasks
        self._outbox = outbox
        self._send = send
        self._ready = ready
        self._tell_failed = tell_failed
        #: inputs that ended so in this turn, and whose users have not been told
        self._ended: deque[tuple[Input, Outcome]] = deque()

    # ---- who needs what

    def depend(self, batch: Batch, dependencies: Dependencies) -> None:
        """Calls whose arguments have just come need others: those that are queued wait, unless all is there."""
        inputs, batches = self._tasks.inputs, self._tasks.batches
        asked = [task for index, tasks in dependencies.items() for task in inputs.need(batch, index, tasks, batches)]
        for at in range(0, len(asked), MAX_RANGES):
            self._outbox.send(batch.owner, NeedInputs(tuple(asked[at : at + MAX_RANGES])))
        self._hold_back(batch, dependencies)

    def queued(self, batch: Batch, lo: int, hi: int) -> None:
        """Of [lo, hi), which was just queued, nothing may be placed that lacks what it needs."""
        needs = batch.needs
        self._hold_back(batch, [index for index in members_within(needs, lo, hi) if not needs[index].is_ready])

    def _hold_back(self, batch: Batch, indices: Iterable[int]) -> None:
        """Those of these tasks that are queued and lack something wait for it."""
        needs = batch.needs
        lacking = joined((index, index + 1) for index in indices if index in needs and not needs[index].is_ready)
        for lo, hi in lacking:
            for span in batch.spans.within(lo, hi):
                if span.state is State.QUEUED:
                    self._tasks.advance(batch, span.lo, span.hi, Trigger.UNREADY, wait=Wait.INPUTS)
            self._look_at(batch, range(lo, hi))

    # ---- what others need has ended

    def known(self, task: TaskId, outcome: Outcome) -> None:
        """A client answered what became of one of its tasks."""
        needed = self._tasks.inputs.get(task)
        if needed is not None:
            self._ended.append((needed, outcome))

    def finished(self, batch: Batch, column: ResultColumn, lo: int, hi: int, attempts: int) -> None:
        """[lo, hi) of a column are the outcomes of these tasks, whenever their client has room for them."""
        for index in members_within(batch.wanted, lo, hi):
            self._ended.append((batch.wanted[index], Outcome(*column.one(index), attempts)))

    def failed(self, batch: Batch, ranges: Iterable[tuple[int, int]], failure: Failure) -> None:
        """These tasks ended without a result."""
        outcome = Outcome(FAILED, (encode_failure(failure),))
        for lo, hi in ranges:
            for index in members_within(batch.wanted, lo, hi):
                self._ended.append((batch.wanted[index], outcome))

    def tell(self) -> None:
        """Move all who needed what has ended in this turn, and those who needed these in turn: chains may be long."""
        while self._ended:
            ended, outcome = self._ended.popleft()
            if ended.outcome is not None:
                continue
            ended.outcome = outcome = self._named(outcome, ended.task)
            users: dict[int, list[int]] = {}
            for serial, index in ended.users:
                users.setdefault(serial, []).append(index)
            for serial, indices in users.items():
                batch = self._tasks.by_serial[serial]
                for index in indices:
                    batch.needs[index].learn(outcome)
                self._look_at(batch, indices)

    def _named(self, outcome: Outcome, task: TaskId) -> Outcome:
        """An outcome that may be passed on: a failure says of which task it is."""
        if outcome.status != FAILED:
            return outcome
        failure = decode_failure(b"".join(outcome.data))
        if failure.task:
            return outcome
        batch = self._tasks.batches.get(task.batch)
        name = f"{task} ({batch.options.name})" if batch is not None else str(task)
        attempts = outcome.attempts if failure.attempts == 1 else failure.attempts  # clusters do not count them
        return Outcome(FAILED, (encode_failure(replace(failure, task=name, attempts=attempts)),))

    def _look_at(self, batch: Batch, indices: Iterable[int]) -> None:
        """Queue those of the tasks that have all they need, and fail those that never will."""
        ready: list[tuple[int, int]] = []
        failing: dict[int, tuple[Outcome, list[tuple[int, int]]]] = {}
        for index in indices:
            span = batch.spans.at(index)
            if span is None or span.wait is not Wait.INPUTS:
                continue
            needed = batch.needs[index]
            if (outcome := needed.failure) is not None:
                failing.setdefault(id(outcome), (outcome, []))[1].append((index, index + 1))
            elif not needed.missing:
                ready.append((index, index + 1))
        for lo, hi in joined(ready):
            for span in batch.spans.within(lo, hi):
                self._ready(batch, span.lo, span.hi)
        for outcome, singles in failing.values():
            self._fail(batch, joined(singles), outcome)

    def _fail(self, batch: Batch, ranges: tuple[Range, ...], outcome: Outcome) -> None:
        """What these tasks need has failed, and so have they, with the same error."""
        for lo, hi in ranges:
            for span in batch.spans.within(lo, hi):
                self._tasks.advance(batch, span.lo, span.hi, Trigger.DEP_FAILED)
        if outcome.status == FAILED:
            self._tell_failed(batch, ranges, decode_failure(b"".join(outcome.data)))
            return
        longest = max(hi - lo for lo, hi in ranges)
        most = max(1, min(longest, MAX_FRAME_BYTES // max(1, outcome.size_bytes)))
        column = outcome.column(most)  # all that is told shares its bytes
        for lo, hi in ranges:
            for first in range(lo, hi, most):
                last = min(hi, first + most)
                answer = Results(batch.id, first, last, 0, attempts=outcome.attempts)
                self._send(answer, column.slice(0, last - first).frames())
            for index in members_within(batch.wanted, lo, hi):
                self._ended.append((batch.wanted[index], outcome))
