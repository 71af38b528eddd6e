"""What tasks need of others, and what became of these: the records that batches keep; see `core.inputs`."""

from array import array
from typing import NamedTuple

from scaler.core.holdings import Holding
from scaler.ids import TaskId
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, MAX_VALUE_BYTES, SUCCESSES, Frame, ResultColumn
from scaler.protocol.options import Cause, Failure

_TOO_MUCH = (
    f"the results that it needs have more than {MAX_VALUE_BYTES >> 20:,} MiB together, which is more than goes with "
    "one call: gather them in several tasks, or pass the names of files"
)


class Outcome(NamedTuple):
    """What became of a task that others need."""

    status: int
    data: tuple[Frame, ...]
    attempts: int = 1

    @property
    def size_bytes(self) -> int:
        """How large the value is."""
        return sum(map(len, self.data))

    def column(self, count: int) -> ResultColumn:
        """The same as the outcome of so many tasks, from index 0 on; of several only where all of it fits a frame."""
        size = self.size_bytes
        return ResultColumn(
            lo=0,
            count=count,
            base=0,
            statuses=bytes((self.status,)) * count,
            run_us=bytes(4 * count),
            ends=array("Q", (size * number for number in range(1, count + 1))).tobytes(),
            costs=b"",
            data=self.data if count == 1 else (b"".join(self.data) * count,),
        )


#: of a task whose inputs no message has room for
_TOO_LARGE = Outcome(FAILED, (encode_failure(Failure(Cause.REFUSED, _TOO_MUCH, attempts=0)),))


class Input:
    """A task that others need."""

    __slots__ = ("holding", "noted_in", "outcome", "task", "users")

    def __init__(self, task: TaskId, noted_in: "dict[int, Input]", holding: Holding | None = None) -> None:
        self.task = task
        #: where its value is counted while somebody needs it
        self.holding = Holding() if holding is None else holding
        self.outcome: Outcome | None = None
        #: who needs it and has not ended, as (batch serial, index)
        self.users: dict[tuple[int, int], None] = {}
        #: `Batch.wanted` of its batch
        self.noted_in = noted_in
        noted_in[task.index] = self

    @property
    def value(self) -> Outcome:
        """What became of it, where all are known to have a value."""
        if self.outcome is None:
            raise LookupError(f"task {self.task} has no value yet")
        return self.outcome


class Needed:
    """What one task needs."""

    __slots__ = ("failure", "inputs", "missing", "size_bytes")

    def __init__(self, inputs: list[Input]) -> None:
        #: in the order in which its bytes speak of them
        self.inputs = inputs
        self.missing = 0
        #: of the values there are, each counted once
        self.size_bytes = 0
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

    def unlearn(self, lost: Outcome) -> None:
        """The value of one of them is nowhere any more."""
        self.missing += 1
        if self.failure is None:
            self.size_bytes -= lost.size_bytes

    @property
    def is_ready(self) -> bool:
        """Whether all of them have a value."""
        return not self.missing and self.failure is None

    def _note(self, outcome: Outcome) -> None:
        if self.failure is not None:
            return
        if outcome.status not in SUCCESSES:
            self.failure = outcome
            return
        self.size_bytes += outcome.size_bytes
        if self.size_bytes > MAX_VALUE_BYTES:
            self.failure = _TOO_LARGE
