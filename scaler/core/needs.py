"""What tasks need of others, and what became of these: the records that batches keep; see `core.inputs`."""

from typing import NamedTuple

from scaler.ids import TaskId
from scaler.protocol.columns import VALUE, Frame


class Outcome(NamedTuple):
    """What became of a task that others need."""

    status: int
    data: tuple[Frame, ...]

    @property
    def size_bytes(self) -> int:
        """How large the value is."""
        return sum(map(len, self.data))


class Input:
    """A task that others need."""

    __slots__ = ("noted_in", "outcome", "task", "users")

    def __init__(self, task: TaskId, noted_in: "dict[int, Input]") -> None:
        self.task = task
        self.outcome: Outcome | None = None
        #: who needs it and has not ended, as (batch serial, index)
        self.users: dict[tuple[int, int], None] = {}
        #: `Batch.wanted` of its batch
        self.noted_in = noted_in
        noted_in[task.index] = self


class Needed:
    """What one task needs."""

    __slots__ = ("failure", "inputs", "missing")

    def __init__(self, inputs: list[Input]) -> None:
        #: in the order in which its bytes speak of them
        self.inputs = inputs
        self.missing = 0
        #: of the first of them that has no value and never will
        self.failure: Outcome | None = None
        for one in dict.fromkeys(inputs):
            if one.outcome is None:
                self.missing += 1
            else:
                self._note(one.outcome)

    def learn(self, outcome: Outcome) -> None:
        """One of them has ended."""
        self.missing -= 1
        self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        if outcome.status != VALUE and self.failure is None:
            self.failure = outcome
