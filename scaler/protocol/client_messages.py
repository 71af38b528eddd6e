"""What a client and a scheduler say to each other."""

from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import BatchId, FunctionId, Natural, TaskId
from scaler.protocol.connection import Label, Place, Text
from scaler.protocol.options import (
    MAX_RANGES,
    BatchOptions,
    Failure,
    Ranges,
    check_quantity,
    check_range,
    check_ranges,
)

# ---- client to scheduler


class DefineFunction(Struct, frozen=True, array_like=True, tag=10):
    """The pickled bytes of a function, in the frames behind it; before the first batch that names it, or on request.

    Client to scheduler, scheduler to cluster. Answers `NeedFunction`.
    """

    function: FunctionId
    size_bytes: Natural


class OpenBatch(Struct, frozen=True, array_like=True, tag=11):
    """A new batch; calls follow by `AppendTasks`. Client to scheduler. A refusal is a `TasksFailed`."""

    batch: BatchId
    function: FunctionId
    options: BatchOptions


class AppendTasks(Struct, frozen=True, array_like=True, tag=12):
    """The calls [lo, lo + count) of a batch, an `ArgumentColumn` behind it. Client to scheduler; answers `NeedTasks`.

    The last `dependency_frames` of the frames name the tasks whose values the calls need, see `protocol.inputs`.
    """

    batch: BatchId
    lo: Natural
    count: Natural
    dependency_frames: Natural = 0

    def __post_init__(self) -> None:
        check_range(self.lo, self.lo + self.count)
        check_quantity("dependency_frames", self.dependency_frames)


class CloseBatch(Struct, frozen=True, array_like=True, tag=13):
    """No call will follow; the batch has `size` of them. Client to scheduler."""

    batch: BatchId
    size: Natural

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"the size of a batch is {self.size}")


class Resume(Struct, frozen=True, array_like=True, tag=14):
    """A batch an earlier scheduler knew, without its arguments: what the ledger still waits for. Client to scheduler.

    `size` is None while the batch is open. Sent for every unfinished batch after a `Hello` that did not resume, and
    followed by one `Resumed`.
    """

    batch: BatchId
    function: FunctionId
    options: BatchOptions
    size: Natural | None
    unresolved: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.unresolved)


class Resumed(Struct, frozen=True, array_like=True, tag=15):
    """All batches have been resumed. Client to scheduler."""


class Taken(Struct, frozen=True, array_like=True, tag=16):
    """The ledger has these results; their bytes may be freed everywhere. Client to scheduler, gathered for 50 ms."""

    batch: BatchId
    ranges: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class CancelTasks(Struct, frozen=True, array_like=True, tag=17):
    """Nobody wants these any more. Client to scheduler; each is answered by a `TasksFailed` or its result.

    `unless_begun` leaves alone what has begun, and has it answered by `TasksBegan`. Of what the scheduler knows nothing
    for sure, since a cluster was lost or it has just started, nothing is said: ask again.
    """

    batch: BatchId
    ranges: Ranges
    unless_begun: bool = False

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class ClearClient(Struct, frozen=True, array_like=True, tag=18):
    """Drop all work and objects of this client. Client to scheduler."""


class ShutdownScheduler(Struct, frozen=True, array_like=True, tag=19):
    """Ask the scheduler to stop. Client or operator to scheduler; answered by `ShutdownAnswer`."""


class ExplainTask(Struct, frozen=True, array_like=True, tag=20):
    """Why does this task not run yet? Client to scheduler; answered by `Explanation`."""

    task: TaskId


class InputKnown(Struct, frozen=True, array_like=True, tag=21):
    """What became of a task that others depend on: its status, its value in the frames. Client to scheduler.

    Answers `NeedInputs`; it came of the last of so many `attempts`.
    """

    task: TaskId
    status: Natural
    attempts: Natural = 1

    def __post_init__(self) -> None:
        check_quantity("attempts", self.attempts)


# ---- scheduler to client


class Results(Struct, frozen=True, array_like=True, tag=30):
    """Outcomes of [lo, hi), a `ResultColumn` behind it. Scheduler to client; answered by `Taken`, a repeat too."""

    batch: BatchId
    lo: Natural
    hi: Natural
    base: Natural
    place: Place = ""
    attempts: Natural = 1
    host: Label = ""

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)


class TasksFailed(Struct, frozen=True, array_like=True, tag=31):
    """These tasks end without a result, all for one reason. Scheduler to client; answered by `Taken`."""

    batch: BatchId
    ranges: Ranges
    failure: Failure

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class NeedFunction(Struct, frozen=True, array_like=True, tag=32):
    """Send the function (again). Scheduler to client, cluster to scheduler; answered by `DefineFunction`.

    Code that a function came with is asked for in the same way; `of` is that function then.
    """

    function: FunctionId
    of: FunctionId | None = None


class NeedTasks(Struct, frozen=True, array_like=True, tag=33):
    """Send the arguments of [lo, hi) again: after a restart they are wanted only for what nobody holds.

    Scheduler to client; answered by `AppendTasks`.
    """

    batch: BatchId
    lo: Natural
    hi: Natural

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)


class KnownTags(Struct, frozen=True, array_like=True, tag=34):
    """The tags tasks may ask for; None while no worker has ever connected and every tag is accepted.

    Scheduler to client, at the start and when the set grows.
    """

    tags: tuple[Label, ...] | None


class TasksBegan(Struct, frozen=True, array_like=True, tag=35):
    """These tasks run now. Scheduler to client, at most every 100 ms, for what runs that long."""

    batch: BatchId
    ranges: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class QueueFull(Struct, frozen=True, array_like=True, tag=111):
    """Whether so many tasks wait that clients are to keep theirs. Scheduler to client, whenever it changes."""

    full: bool


class ShutdownAnswer(Struct, frozen=True, array_like=True, tag=36):
    """`refused` says why not, or is "" and the scheduler stops. Scheduler to client or operator."""

    refused: Text = ""


class Explanation(Struct, frozen=True, array_like=True, tag=37):
    """Where a task stands, in one line. Scheduler to client."""

    task: TaskId
    text: Text


class WorkersReady(Struct, frozen=True, array_like=True, tag=38):
    """Whether at least one worker can take tasks. Scheduler to client, at the start and whenever it changes."""

    ready: bool


class NeedInputs(Struct, frozen=True, array_like=True, tag=39):
    """Tasks that wait need the values of these, which are done and known here no more. Scheduler to client.

    Answered by an `InputKnown` for each that the ledger has an outcome of.
    """

    tasks: Annotated[tuple[TaskId, ...], Meta(max_length=MAX_RANGES)]


class TasksWait(Struct, frozen=True, array_like=True, tag=80):
    """No connected worker offers what the tasks of a batch want: they wait for one that does. Scheduler to client.

    Told when the batch is opened, so that its client need not ask.
    """

    batch: BatchId
    text: Text
