"""Inputs: outcomes of tasks that other tasks need, kept from when they are known until nobody who needs them is left.

A task that is needed is noted in its batch by index, so that batches nobody needs cost nothing.
"""

from collections.abc import Iterable, Iterator, Mapping

from scaler.core.batches import Batch
from scaler.core.lifecycle import CLOSED, OVER, State
from scaler.core.needs import Input, Needed, Outcome
from scaler.ids import BatchId, TaskId
from scaler.protocol.columns import REFERENCE, WORD_BYTES, Frame
from scaler.protocol.inputs import input_frames
from scaler.ranges import members_within

#: so many tasks with inputs go to a cluster together, unless one alone needs more bytes
MAX_TASKS = 256
MAX_BYTES = 1 << 20


class InputManager:
    """Every task that is needed by one that has not ended."""

    def __init__(self) -> None:
        self._by_task: dict[TaskId, Input] = {}
        #: how many of them have a value that lies in the store of some host
        self.references = 0

    def __len__(self) -> int:
        return len(self._by_task)

    def get(self, task: TaskId) -> Input | None:
        """The record of a task, if it is needed."""
        return self._by_task.get(task)

    def need(
        self, batch: Batch, index: int, tasks: Iterable[TaskId], batches: Mapping[BatchId, Batch]
    ) -> Iterator[TaskId]:
        """A task needs others; yields those of them whose outcome is not coming and has to be asked for."""
        inputs = []
        for task in tasks:
            known = self._by_task.get(task)
            if known is None:
                of = batches.get(task.batch)
                known = self._by_task[task] = Input(task, {} if of is None else of.wanted, batch.holding)
                if not self.is_coming(task, batches):
                    yield task
            known.users[batch.serial, index] = None
            inputs.append(known)
        batch.needs[index] = Needed(inputs)

    def is_coming(self, task: TaskId, batches: Mapping[BatchId, Batch]) -> bool:
        """Whether an outcome of a task will pass by; of one that was never sent its client has one."""
        of = batches.get(task.batch)
        return of is not None and _is_coming(of, task.index)

    def learned(self, known: Input, outcome: Outcome) -> None:
        """What became of a task that others need, or needed."""
        known.outcome = outcome
        if known.users:
            known.holding.input_bytes += outcome.size_bytes
            self.references += outcome.status == REFERENCE

    def unlearned(self, known: Input) -> None:
        """The value of a task that others need is nowhere any more."""
        if known.outcome is not None and known.users:
            self._let_go(known, known.outcome)
        known.outcome = None

    def release(self, batch: Batch, lo: int, hi: int) -> None:
        """Tasks [lo, hi) have ended, or will without running again: what they needed may go."""
        for index in members_within(batch.needs, lo, hi):
            for known in batch.needs.pop(index).inputs:
                known.users.pop((batch.serial, index), None)
                if not known.users and known.task in self._by_task:
                    if known.outcome is not None:
                        self._let_go(known, known.outcome)
                    self._by_task.pop(known.task, None)
                    known.noted_in.pop(known.task.index, None)

    def _let_go(self, known: Input, outcome: Outcome) -> None:
        known.holding.input_bytes -= outcome.size_bytes
        self.references -= outcome.status == REFERENCE

    def check(self, by_serial: Mapping[int, Batch]) -> None:
        """Who needs and who is needed tell one story."""
        users: dict[TaskId, set[tuple[int, int]]] = {}
        for batch in by_serial.values():
            for index, needed in batch.needs.items():
                span = batch.spans.at(index)
                assert span is not None, (batch.id, index)
                assert span.state not in OVER, (batch.id, index)
                assert needed.is_ready or span.state is not State.QUEUED, (batch.id, index)
                assert needed.missing == sum(one.outcome is None for one in set(needed.inputs)), (batch.id, index)
                for one in needed.inputs:
                    users.setdefault(one.task, set()).add((batch.serial, index))
            assert all(self._by_task.get(known.task) is known for known in batch.wanted.values()), batch.id
        known = [one.outcome for one in self._by_task.values() if one.outcome is not None]
        assert self.references == sum(outcome.status == REFERENCE for outcome in known)
        assert users == {task: set(known.users) for task, known in self._by_task.items()}


def _is_coming(batch: Batch, index: int) -> bool:
    # what is kept at its cluster may have passed by, or is to come still: its client is asked, too
    span = batch.spans.at(index)
    return span is not None and span.state not in CLOSED and span.state is not State.KEPT


def sendable(batch: Batch, lo: int, hi: int) -> tuple[int, tuple[Frame, ...]]:
    """How many of the queued tasks [lo, hi) may go to a cluster together, as their end, and what they need.

    All of them need the same objects: they wait for these together, and whichever is left needs them.
    """
    positions: dict[TaskId, int] = {}
    values: list[tuple[Frame, ...]] = []
    needs: list[list[int]] = []
    objects: frozenset[TaskId] = frozenset()
    size = 0
    for index in range(lo, min(hi, lo + MAX_TASKS)):
        needed = batch.needs.get(index)
        outcomes = [(one.task, one.value) for one in needed.inputs] if needed is not None else []
        size += sum(WORD_BYTES if task in positions else WORD_BYTES + value.size_bytes for task, value in outcomes)
        own = frozenset([task for task, value in outcomes if value.status == REFERENCE])
        if needs and (size > MAX_BYTES or own != objects):
            break
        objects = own
        for task, value in outcomes:
            if positions.setdefault(task, len(values)) == len(values):
                values.append(value.data)
        needs.append([positions[task] for task, _ in outcomes])
    return lo + len(needs), input_frames(needs, values) if values else ()
