"""Futures, outcomes and columns for the tests of what users hold."""

from array import array
from itertools import accumulate
from typing import Any

from scaler.client.draft import Draft, S
from scaler.client.failures import Failing
from scaler.client.futures import ScalerFuture
from scaler.client.sinks import Sink
from scaler.errors import ClientQuitException
from scaler.ids import BatchId, FunctionId, Incarnation, Range, TaskId
from scaler.ledger.events import Event, Resolve
from scaler.payload.exceptions import dump_exception
from scaler.payload.functions import PickledFunction
from scaler.payload.pickling import Lift
from scaler.payload.values import Outcome, dump_value
from scaler.protocol import BatchOptions, Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, RAISED, VALUE, ResultColumn

BATCH = BatchId(Incarnation(1), 1)


class Origin:
    """Remembers what is not wanted any more."""

    def __init__(self) -> None:
        self.unwanted: list[int] = []
        self.asked: list[int] = []

    def task_id(self, index: int) -> TaskId:
        return TaskId(BatchId(Incarnation(255), 3), index)

    def unwant(self, index: int) -> None:
        self.unwanted.append(index)

    def explain(self, index: int) -> str:
        return f"{index} waits"

    def ask_to_cancel(self, index: int) -> None:
        self.asked.append(index)


class Box:
    """An outcome that counts how often it is opened."""

    is_far = False

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.failed = error is not None
        self.opened = 0
        self._outcome = Outcome(value, error)

    def open(self) -> Outcome:
        self.opened += 1
        return self._outcome


def futures(*outcomes: Any) -> list[ScalerFuture]:
    """One for each: an exception, a value, or ... for one that is not done."""
    made = []
    for index, outcome in enumerate(outcomes):
        future = ScalerFuture(Origin(), index)
        if isinstance(outcome, BaseException):
            future.settle(Box(error=outcome))
        elif outcome is not ...:
            future.settle(Box(outcome))
        made.append(future)
    return made


def _pickled(outcome: Any) -> tuple[int, bytes]:
    if isinstance(outcome, Failure):
        return FAILED, encode_failure(outcome)
    if isinstance(outcome, Exception):
        return RAISED, dump_exception(outcome, 0, "note")
    return VALUE, dump_value(outcome)


def resolved(lo: int, *outcomes: Any, attempts: int = 1, base: int = 0) -> Resolve:
    """What the ledger says of the tasks from `lo` on: values, exceptions that were raised, and failures of ours."""
    pickled = list(map(_pickled, outcomes))
    ends = array("Q", accumulate((len(data) for _, data in pickled), initial=base))[1:].tobytes()
    statuses, data = bytes(status for status, _ in pickled), b"".join(data for _, data in pickled)
    count = len(pickled)
    column = ResultColumn(lo, count, base, statuses, bytes(4 * count), ends, b"", (data,))
    return Resolve(BATCH, column, "host", attempts)


class Line:
    """What a sink told its client."""

    def __init__(self) -> None:
        self.unwanted: list[tuple[BatchId, int]] = []
        self.given_up: list[Range] = []
        self.forgotten: list[BatchId] = []
        self.failed: list[ScalerFuture] = []
        self.asked: list[Range] = []
        self.failing: list[Failing] = []

    def unwant(self, batch: BatchId, index: int) -> None:
        self.unwanted.append((batch, index))

    def give_up(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        assert batch == BATCH
        self.given_up += ranges

    def forget(self, batch: BatchId) -> None:
        self.forgotten.append(batch)

    def note_failed(self, future: ScalerFuture) -> None:
        self.failed.append(future)

    def note_failed_among(self, tasks: Failing) -> None:
        self.failing.append(tasks)

    def explain(self, task: TaskId) -> str:
        return f"{task.index} waits"

    def ask_to_cancel(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        assert batch == BATCH
        self.asked += ranges


class Io:
    """What drafts need of the I/O thread; remembers what it is told."""

    def __init__(self) -> None:
        self.posted: list[Event] = []
        self.forgotten: list[BatchId] = []
        self.is_over = False
        self.error = ClientQuitException("left")

    def remember(self, sink: Sink) -> None:
        assert sink.batch == BATCH

    def post(self, *events: Event) -> None:
        self.posted += events

    def forget(self, batch: BatchId) -> None:
        self.forgotten.append(batch)


FUNCTION = PickledFunction(FunctionId(bytes(16)), (b"f",), "square")


def drafted(sink: S, io: Io, lift: Lift | None = None) -> Draft[S]:
    """A draft of the batch, whose opening is forgotten already."""
    draft = Draft(io, sink, FUNCTION, BatchOptions(name="square"), lift=lift)  # type: ignore[arg-type]  # all that it needs of the thread
    io.posted.clear()
    return draft
