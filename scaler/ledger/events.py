"""What the client's ledger is told and what it asks for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import Struct

from scaler.ids import BatchId, Epoch, FunctionId, ObjectId, Range, TaskId
from scaler.protocol import BatchOptions, Failure, FromClient, ToClient
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn
from scaler.protocol.inputs import Dependencies


class KnownOutcome(NamedTuple):
    """What became of a task: status and bytes, of the last of so many attempts.

    What its bytes speak of is there as long as somebody holds it, by `kept`.
    """

    status: int
    frames: tuple[Frame, ...]
    attempts: int = 1
    kept: object = None


class LinkUp(Struct, frozen=True):
    """A link to this scheduler stands. `resumed` says it is the same as before; else everything is said anew."""

    epoch: Epoch
    resumed: bool


class LinkDown(Struct, frozen=True):
    """The connection is lost; it is dialled again."""


class Received(Struct, frozen=True):
    """A message of the scheduler, with the frames behind its header."""

    message: ToClient
    frames: tuple[Frame, ...] = ()


class FunctionPickled(Struct, frozen=True):
    """A function that following batches name; told once for each content while the ledger knows it."""

    function: FunctionId
    frames: tuple[Frame, ...]


class BatchOpened(Struct, frozen=True):
    """The caller starts a batch."""

    batch: BatchId
    function: FunctionId
    options: BatchOptions


class TasksAppended(Struct, frozen=True):
    """The caller has pickled the next calls of an open batch; some may need what other tasks of this client return.

    `known` says what became of those of them whose outcome the ledger has handed out already.
    """

    batch: BatchId
    column: ArgumentColumn
    dependencies: Dependencies = {}
    known: tuple[tuple[TaskId, KnownOutcome], ...] = ()


class BatchClosed(Struct, frozen=True):
    """No call will follow in this batch."""

    batch: BatchId


class RestoredBatch(Struct, frozen=True):
    """A batch as it was told to an earlier scheduler: what is unresolved of it, with the calls of all that is."""

    batch: BatchId
    function: FunctionId
    options: BatchOptions
    columns: tuple[ArgumentColumn, ...]
    appended: int
    unresolved: tuple[Range, ...]
    closed: bool
    needs: Dependencies = {}


class Restored(Struct, frozen=True):
    """All that a ledger waited for, read from where it is kept, and the functions of it.

    `known` says what became of tasks that are needed and have ended.
    """

    batches: tuple[RestoredBatch, ...]
    functions: Mapping[FunctionId, tuple[Frame, ...]]
    known: tuple[tuple[TaskId, KnownOutcome], ...] = ()


class Unwanted(Struct, frozen=True):
    """The caller wants these no longer: cancelled, or every future to them is gone."""

    batch: BatchId
    ranges: tuple[Range, ...]


class CancelAsked(Struct, frozen=True):
    """The caller wants these cancelled if they have not begun; they are waited for until the scheduler says so."""

    batch: BatchId
    ranges: tuple[Range, ...]


class ObjectMade(Struct, frozen=True):
    """A value of the caller's has become an object of so many bytes."""

    object: ObjectId
    size_bytes: int


class ObjectFreed(Struct, frozen=True):
    """Nobody needs this object any more."""

    object: ObjectId


class LetGo(Struct, frozen=True):
    """Nobody held what this task returned and lies where it was made, when this was said."""

    task: TaskId


class ValueAsked(Struct, frozen=True):
    """The caller reads a value of so many bytes that lies on another host; of 0 bytes: not any more."""

    object: ObjectId
    size_bytes: int


class BatchAttached(Struct, frozen=True):
    """The caller waits for the tasks of a batch that its durable work had before; again: nothing."""

    batch: BatchId
    function: FunctionId
    options: BatchOptions
    appended: int


class FlushAsked(Struct, frozen=True):
    """The caller waits, by this number, until a batch is on disk up to `hi`, or without one all there are."""

    number: int
    batch: BatchId | None = None
    hi: int = 0


class FlushGivenUp(Struct, frozen=True):
    """The caller waits no longer."""

    number: int


class WorksAsked(Struct, frozen=True):
    """The caller wants to know which durable works there are."""


class DropAsked(Struct, frozen=True):
    """The caller wants a durable work forgotten."""

    name: str


class ClearAsked(Struct, frozen=True):
    """All work of this client is dropped."""


class Leaving(Struct, frozen=True):
    """The client disconnects on purpose."""


class ShutdownAsked(Struct, frozen=True):
    """The caller wants the scheduler to stop."""


class ExplainAsked(Struct, frozen=True):
    """The caller wants to know why a task does not run yet."""

    task: TaskId


Event = (
    LinkUp
    | LinkDown
    | Received
    | FunctionPickled
    | BatchOpened
    | TasksAppended
    | Restored
    | BatchClosed
    | Unwanted
    | CancelAsked
    | ObjectMade
    | ObjectFreed
    | LetGo
    | ValueAsked
    | BatchAttached
    | FlushAsked
    | FlushGivenUp
    | ClearAsked
    | Leaving
    | ShutdownAsked
    | ExplainAsked
    | WorksAsked
    | DropAsked
)


class Say(Struct, frozen=True):
    """Give a message to the link."""

    message: FromClient
    frames: tuple[Frame, ...] = ()


class KnownInput(Struct, frozen=True):
    """A task that another one needed, and what became of it."""

    task: TaskId
    known: KnownOutcome | None

    def outcome(self) -> KnownOutcome | None:
        """The same; of a value that was lost what it has come to since, as whoever holds it knows."""
        latest = getattr(self.known.kept, "outcome", None) if self.known is not None else None
        return self.known if latest is None else latest()


class Again(Struct, frozen=True):
    """All it takes to submit failed tasks anew; `columns` have the calls of all of them, in order, among others."""

    function: FunctionId
    frames: tuple[Frame, ...]
    options: BatchOptions
    columns: tuple[ArgumentColumn, ...]
    inputs: dict[int, tuple[KnownInput, ...]] = {}

    def only(self, index: int) -> "Again":
        """The same for one of them, which keeps the bytes of no other alive."""
        column = next(column for column in self.columns if column.lo <= index < column.hi).slice(index, index + 1)
        if len(column.data) == 1:
            column = ArgumentColumn(index, 1, bytes(column.offsets), (bytes(column.data[0]),))
        inputs = self.inputs.get(index, ())
        return Again(self.function, self.frames, self.options, (column,), {index: inputs} if inputs else {})

    def inputs_of_one(self) -> tuple[KnownInput, ...]:
        """What the only task in it needed."""
        return next(iter(self.inputs.values()), ())


class Resolve(Struct, frozen=True):
    """These tasks are done: each index is resolved exactly once, by this or by `Reject`.

    `again` is there if any of them failed. Of values that lie where they were made `kept` has what is to be held by
    whoever needs them, by index; what becomes of these later is told by that.
    """

    batch: BatchId
    column: ResultColumn
    place: str
    attempts: int
    host: str = ""
    again: Again | None = None
    kept: Mapping[int, Any] = MappingProxyType({})  # Any: as the ledger was given it by whoever holds such values


class Reject(Struct, frozen=True):
    """These tasks ended without a result, all for one reason."""

    batch: BatchId
    ranges: tuple[Range, ...]
    failure: Failure
    again: Again | None = None


class Began(Struct, frozen=True):
    """These tasks run now."""

    batch: BatchId
    ranges: tuple[Range, ...]


class Learned(Struct, frozen=True):
    """The scheduler told something that is no task's: tags, readiness, an answer to a question."""

    message: ToClient


class Fetched(Struct, frozen=True):
    """Piece `n` of a value that the caller reads."""

    object: ObjectId
    n: int
    frames: tuple[Frame, ...]


class NotThere(Struct, frozen=True):
    """A value that the caller reads is nowhere any more: its task runs again, or has been run."""

    object: ObjectId


class Flushed(Struct, frozen=True):
    """What the caller waits for by this number is on disk, or has an outcome, or nobody wants it any more."""

    number: int


Command = Say | Resolve | Reject | Began | Learned | Fetched | NotThere | Flushed
