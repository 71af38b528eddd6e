"""What clients may say of durable works: what is on disk must not be what the core takes for a breach of the rules."""

from scaler.durable.rows import MAX_ROW_BYTES, ROW_OVERHEAD_BYTES
from scaler.errors import ProtocolError
from scaler.ids import Incarnation, function_id
from scaler.protocol import AppendTasks, BatchOptions, DefineFunction
from scaler.protocol.columns import MAX_FRAME_BYTES, WORD_BYTES, ArgumentColumn, Frame
from scaler.protocol.inputs import Dependencies, read_dependencies, split_off
from scaler.protocol.options import LEAST_AMOUNT
from scaler.resources import MOST_AMOUNT

#: what a message takes in a row, at most, beside the frames behind it
_HEADER_BYTES = 1 << 20
#: files have numbers of 63 bits
_MOST_NUMBER = (1 << 63) - 1


def check_number(batch: int) -> None:
    """Raise `ProtocolError` where no file can hold the number of a batch."""
    if batch > _MOST_NUMBER:
        raise ProtocolError(f"{batch} is no number of a durable batch: it has more than 63 bits")


def fits_row(frames: tuple[Frame, ...]) -> bool:
    """Whether a file can hold these behind a message."""
    size_bytes = sum(map(len, frames)) + WORD_BYTES * len(frames)
    return size_bytes <= MAX_ROW_BYTES - _HEADER_BYTES - ROW_OVERHEAD_BYTES


def check_calls(message: AppendTasks, frames: tuple[Frame, ...]) -> None:
    """Raise `ProtocolError` where calls are larger than a row, or cut otherwise than the core takes them."""
    if any(len(frame) > MAX_FRAME_BYTES for frame in frames[1:]):
        raise ProtocolError(f"a call of batch {message.batch} came in a frame of more than {MAX_FRAME_BYTES} bytes")
    if not fits_row(frames):
        raise ProtocolError(f"calls of batch {message.batch} are larger than the {MAX_ROW_BYTES} bytes a file can hold")


def check_function(message: DefineFunction, frames: tuple[Frame, ...]) -> None:
    """Raise `ProtocolError` where the bytes are not what the name says."""
    if function_id(frames) != message.function or sum(map(len, frames)) != message.size_bytes:
        raise ProtocolError(f"the function {message.function.hex()} came with bytes of another name")
    if not fits_row(frames):
        raise ProtocolError(f"a function is larger than the {MAX_ROW_BYTES} bytes that a file can hold")


def check_options(options: BatchOptions) -> None:
    """Raise `ProtocolError` where no durable task can be run so."""
    if options.root or options.depth or options.parent is not None:
        raise ProtocolError("a task cannot submit to a durable work")
    for name, amount in options.resources:
        if not LEAST_AMOUNT <= amount <= MOST_AMOUNT:
            raise ProtocolError(f"{amount} of resource {name!r} is nothing to count with")


def calls_in(
    message: AppendTasks, frames: tuple[Frame, ...], owner: Incarnation
) -> tuple[ArgumentColumn, Dependencies]:
    """The calls in these frames, and which tasks of the same work they need."""
    frames, behind = split_off(frames, message.dependency_frames)
    needs = read_dependencies(message.lo, message.count, behind) if behind else {}
    if any(task.batch.owner != owner for tasks in needs.values() for task in tasks):
        raise ProtocolError("a durable task depends on one that is not of the same work")
    return ArgumentColumn.from_frames(message.lo, message.count, frames), needs


def empty_calls(lo: int, hi: int) -> ArgumentColumn:
    """What stands for calls that nobody will make."""
    return ArgumentColumn(lo, hi - lo, bytes(WORD_BYTES * (hi - lo + 1)), (b"",))
