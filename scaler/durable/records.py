"""What is said of a durable work as rows of its log, and back. Pure."""

import enum
from collections.abc import Iterable

import msgspec

from scaler.durable.rows import Row
from scaler.errors import ProtocolError
from scaler.ledger.events import KnownOutcome
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    DefineFunction,
    Failure,
    OpenBatch,
    Results,
    TasksFailed,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, Frame, ResultColumn

Said = DefineFunction | OpenBatch | AppendTasks | CloseBatch | CancelTasks | ClearClient | Results | TasksFailed


class Kind(enum.IntEnum):
    """What a row is."""

    FUNCTION = 1
    OPEN = 2
    APPEND = 3
    CLOSE = 4
    CANCEL = 5
    CLEAR = 6
    RESULTS = 7
    FAILED = 8


#: the rows that say what became of tasks
ENDS = (Kind.CANCEL, Kind.RESULTS, Kind.FAILED)
CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")
UNREADABLE = Failure(Cause.OBJECT_LOST, "its result is on the disk of the scheduler no more, or damaged there")
_TYPES: dict[Kind, type[Said]] = {
    Kind.FUNCTION: DefineFunction,
    Kind.OPEN: OpenBatch,
    Kind.APPEND: AppendTasks,
    Kind.CLOSE: CloseBatch,
    Kind.CANCEL: CancelTasks,
    Kind.CLEAR: ClearClient,
    Kind.RESULTS: Results,
    Kind.FAILED: TasksFailed,
}
_KINDS = {said: kind for kind, said in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
_decoders = {kind: msgspec.msgpack.Decoder(said) for kind, said in _TYPES.items()}


def row_of(message: Said, frames: tuple[Frame, ...]) -> Row:
    """A message and the frames behind it, as a row."""
    batch, lo, hi = _where(message)
    return Row(_KINDS[type(message)], batch, lo, hi, _encoder.encode(message), frames)


def said_in(row: Row) -> Said:
    """The message of a row; `ProtocolError` where it is none."""
    try:
        return _decoders[Kind(row.kind)].decode(row.header)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProtocolError(f"a row of a durable work says nothing: {error}") from error


def outcome_in(index: int, rows: Iterable[Row]) -> KnownOutcome:
    """What became of one task, as the first of these rows that has it says."""
    for row in rows:
        message = said_in(row)
        match message:
            case Results(_, lo, hi, base) if lo <= index < hi:
                column = ResultColumn.from_frames(lo, hi, base, row.frames)
                return KnownOutcome(*column.one(index), message.attempts)
            case TasksFailed(_, ranges, failure) if _holds(ranges, index):
                return KnownOutcome(FAILED, (encode_failure(failure),))
            case CancelTasks(_, ranges) if _holds(ranges, index):
                return KnownOutcome(FAILED, (encode_failure(CANCELLED),))
    return KnownOutcome(FAILED, (encode_failure(UNREADABLE),))


def _holds(ranges: Iterable[tuple[int, int]], index: int) -> bool:
    return any(lo <= index < hi for lo, hi in ranges)


def _where(message: Said) -> tuple[int, int, int]:
    match message:
        case DefineFunction() | ClearClient():
            return 0, 0, 0
        case OpenBatch(batch) | CloseBatch(batch):
            return batch.n, 0, 0
        case AppendTasks(batch, lo, count):
            return batch.n, lo, lo + count
        case Results(batch, lo, hi):
            return batch.n, lo, hi
        case CancelTasks(batch, ranges) | TasksFailed(batch, ranges):
            return batch.n, min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
