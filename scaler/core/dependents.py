"""Tasks that need the values of others: they wait, are queued once all are there, and fail as the first that failed.

Their clients name them as they append calls. An outcome passes by on its way to its client; one that has passed before
is asked of the client that has it.
"""

from collections import deque
from collections.abc import Callable, Iterable

from scaler.core.batches import Batch
from scaler.core.lifecycle import State, Trigger
from scaler.core.needs import Input, Outcome
from scaler.core.outbox import Outbox
from scaler.core.spans import Wait
from scaler.core.tasks import TaskManager
from scaler.ids import Incarnation, TaskId
from scaler.protocol import Failure, NeedInputs, Results
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, WORD_BYTES, ResultColumn
from scaler.protocol.inputs import Dependencies
from scaler.protocol.options import MAX_RANGES
from scaler.ranges import joined


class Dependents:
    """Moves tasks as those they need end; `ready` queues a range of them."""

    def __init__(self, tasks: TaskManager, outbox: Outbox, ready: Callable[[Batch, int, int], None]) -> None:
        self._tasks = tasks
        self._outbox = outbox
        self._ready = ready
        #: inputs that ended so in this turn, and whose users have not been told
        self._ended: deque[tuple[Input, Outcome]] = deque()

    def depend(self, batch: Batch, dependencies: Dependencies) -> None:
        """These tasks, which are queued, need others: they wait, unless all is there."""
        inputs, batches = self._tasks.inputs, self._tasks.batches
        fresh: list[int] = []
        asked: list[TaskId] = []
        for index, tasks in dependencies.items():
            span = batch.spans.at(index)
            if span is not None and span.state is State.QUEUED and index not in batch.needs:
                asked += inputs.need(batch, index, tasks, batches)
                fresh.append(index)
        for lo, hi in joined((index, index + 1) for index in fresh):
            for span in batch.spans.within(lo, hi):
                self._tasks.advance(batch, span.lo, span.hi, Trigger.UNREADY, wait=Wait.INPUTS)
        self._ask(batch.owner, asked)
        self._look_at(batch, fresh)

    def _ask(self, owner: Incarnation, tasks: list[TaskId]) -> None:
        for at in range(0, len(tasks), MAX_RANGES):
            self._outbox.send(owner, NeedInputs(tuple(tasks[at : at + MAX_RANGES])))

    # ---- what others need has ended

    def known(self, task: TaskId, outcome: Outcome) -> None:
        """A client answered what became of one of its tasks."""
        needed = self._tasks.inputs.get(task)
        if needed is not None:
            self._ended.append((needed, outcome))

    def finished(self, batch: Batch, column: ResultColumn) -> None:
        """These outcomes are on the way to their client."""
        wanted = batch.wanted
        few = len(wanted) < column.count
        indices = [i for i in wanted if column.lo <= i < column.hi] if few else range(column.lo, column.hi)
        for index in indices:
            needed = wanted.get(index)
            if needed is not None:
                one = column.slice(index, index + 1)
                self._ended.append((needed, Outcome(memoryview(one.statuses)[0], one.data)))

    def failed(self, batch: Batch, ranges: Iterable[tuple[int, int]], failure: Failure) -> None:
        """These tasks ended without a result."""
        outcome = Outcome(FAILED, (encode_failure(failure),))
        for lo, hi in ranges:
            for index in [i for i in batch.wanted if lo <= i < hi]:
                self._ended.append((batch.wanted[index], outcome))

    def tell(self) -> None:
        """Move all who needed what has ended in this turn, and those who needed these in turn: chains may be long."""
        while self._ended:
            ended, outcome = self._ended.popleft()
            if ended.outcome is not None:
                continue
            ended.outcome = outcome
            users: dict[int, list[int]] = {}
            for serial, index in ended.users:
                users.setdefault(serial, []).append(index)
            for serial, indices in users.items():
                batch = self._tasks.by_serial[serial]
                for index in indices:
                    batch.needs[index].learn(outcome)
                self._look_at(batch, indices)

    def _look_at(self, batch: Batch, indices: Iterable[int]) -> None:
        """Queue those of the tasks that have all they need, and fail those that never will."""
        ready: list[tuple[int, int]] = []
        for index in indices:
            span = batch.spans.at(index)
            if span is None or span.wait is not Wait.INPUTS:
                continue
            needed = batch.needs[index]
            if needed.failure is not None:
                self._fail(batch, index, needed.failure)
            elif not needed.missing:
                ready.append((index, index + 1))
        for lo, hi in joined(ready):
            for span in batch.spans.within(lo, hi):
                self._ready(batch, span.lo, span.hi)

    def _fail(self, batch: Batch, index: int, outcome: Outcome) -> None:
        """What a task needs has failed, and so has it, with the same error."""
        self._tasks.advance(batch, index, index + 1, Trigger.DEP_FAILED)
        size = outcome.size_bytes
        column = ResultColumn(
            lo=index,
            count=1,
            base=0,
            statuses=bytes((outcome.status,)),
            run_us=bytes(4),
            ends=size.to_bytes(WORD_BYTES, "little"),
            costs=b"",
            data=outcome.data,
        )
        self._outbox.send(batch.owner, Results(batch.id, index, index + 1, 0), column.frames())
        needed = batch.wanted.get(index)
        if needed is not None:
            self._ended.append((needed, outcome))
