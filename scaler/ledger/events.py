"""What the client's ledger is told and what it asks for."""

from dataclasses import dataclass

from scaler.ids import BatchId, Epoch, FunctionId, Range
from scaler.protocol import BatchOptions, Failure, FromClient, ToClient
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link to this scheduler stands. `resumed` says it is the same as before; else everything is said anew."""

    epoch: Epoch
    resumed: bool


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is lost; it is dialled again."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the scheduler, with the frames behind its header."""

    message: ToClient
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class FunctionPickled:
    """A function that following batches name; told once for each content while the ledger knows it."""

    function: FunctionId
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class BatchOpened:
    """The caller starts a batch."""

    batch: BatchId
    function: FunctionId
    options: BatchOptions


@dataclass(frozen=True, slots=True)
class TasksAppended:
    """The caller has pickled the next calls of an open batch."""

    batch: BatchId
    column: ArgumentColumn


@dataclass(frozen=True, slots=True)
class BatchClosed:
    """No call will follow in this batch."""

    batch: BatchId


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The caller wants these no longer: cancelled, or every future to them is gone."""

    batch: BatchId
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class ClearAsked:
    """All work of this client is dropped."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The client disconnects on purpose."""


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """The caller wants the scheduler to stop."""


Event = (
    LinkUp
    | LinkDown
    | Received
    | FunctionPickled
    | BatchOpened
    | TasksAppended
    | BatchClosed
    | Unwanted
    | ClearAsked
    | Leaving
    | ShutdownAsked
)


@dataclass(frozen=True, slots=True)
class Say:
    """Give a message to the link."""

    message: FromClient
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolve:
    """These tasks are done: each index is resolved exactly once, by this or by `Reject`."""

    batch: BatchId
    column: ResultColumn
    place: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Reject:
    """These tasks ended without a result, all for one reason."""

    batch: BatchId
    ranges: tuple[Range, ...]
    failure: Failure


@dataclass(frozen=True, slots=True)
class Began:
    """These tasks run now."""

    batch: BatchId
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """The scheduler told something that is no task's: tags, readiness, an answer to a question."""

    message: ToClient


Command = Say | Resolve | Reject | Began | Learned
