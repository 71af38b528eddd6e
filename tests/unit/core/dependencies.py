"""What tasks need of each other, in as few words as possible; see `examples`."""

from array import array
from collections.abc import Sequence
from itertools import accumulate

from msgspec.structs import replace

from scaler.core.events import Command, Received, Send
from scaler.ids import BatchId, Incarnation, RunId, TaskId
from scaler.protocol import (
    BatchOptions,
    Failure,
    InputKnown,
    NeedInputs,
    Results,
    RunSpan,
)
from scaler.protocol.columns import Frame, ResultColumn
from scaler.protocol.inputs import Dependencies, Inputs, input_frames
from tests.unit.core.examples import (
    ALICE,
    PLAIN,
    Checked,
    F,
    appends,
    arguments,
    opens,
)

#: more slots than any of these tests has tasks
WIDE = 1000


def task(batch: BatchId, index: int) -> TaskId:
    return TaskId(batch, index)


def needing(
    batch: BatchId, needs: Dependencies, lo: int = 0, hi: int = 1, options: BatchOptions = PLAIN
) -> list[Received]:
    """A new batch, some of whose calls need others."""
    return [opens(batch, options), appends(batch, lo, hi, needs)]


def span_with(
    peer: Incarnation, run: RunId, batch: BatchId, lo: int, needs: Sequence[Sequence[int]], *inputs: Frame
) -> Command:
    """Calls from `lo` on that go with the values at these positions of `inputs`."""
    hi = lo + len(needs)
    behind = input_frames(needs, [(value,) for value in inputs])
    message = RunSpan(run, batch, lo, hi, F, PLAIN, len(behind))
    return Send(peer, message, arguments(lo, hi).frames() + behind)


def known(of: TaskId, status: int, *data: Frame, attempts: int = 1) -> Received:
    return Received(of.batch.owner, InputKnown(of, status, attempts), data)


def asks(*tasks: TaskId) -> Command:
    return Send(ALICE, NeedInputs(tasks))


def alike(batch: BatchId, lo: int, hi: int, status: int, data: bytes, attempts: int = 1) -> Command:
    """The same error for all of [lo, hi), which did not begin."""
    count = hi - lo
    ends = array("Q", accumulate([len(data)] * count)).tobytes()
    column = ResultColumn(lo, count, 0, bytes([status]) * count, bytes(4 * count), ends, b"", (data * count,))
    return Send(batch.owner, Results(batch, lo, hi, 0, "", attempts), column.frames())


def of(origin: TaskId, failure: Failure, attempts: int = 1) -> Failure:
    """A failure as those who need the task fail with it."""
    return replace(failure, task=f"{origin} (f)", attempts=attempts)


def inputs_of(commands: Sequence[Command]) -> list[Inputs]:
    """What was sent along with the runs that need something."""
    return [
        Inputs.from_frames(command.message.hi - command.message.lo, command.frames[-command.message.input_frames :])
        for command in commands
        if isinstance(command, Send) and isinstance(command.message, RunSpan) and command.message.input_frames
    ]


def is_clean(core: Checked) -> bool:
    """Whether nothing is kept of what tasks needed."""
    batches = core.managers.tasks.by_serial.values()
    return not len(core.managers.tasks.inputs) and not any(batch.needs or batch.wanted for batch in batches)
