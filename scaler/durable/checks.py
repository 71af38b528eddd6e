"""What clients may say of durable works: what is on disk must not be what the core takes for a breach of the rules."""

from scaler.errors import ProtocolError
from scaler.ids import Incarnation, function_id
from scaler.protocol import AppendTasks, BatchOptions, DefineFunction
from scaler.protocol.columns import ArgumentColumn, Frame
from scaler.protocol.inputs import Dependencies, read_dependencies, split_off
from scaler.protocol.options import LEAST_AMOUNT
from scaler.resources import MOST_AMOUNT


def check_function(message: DefineFunction, frames: tuple[Frame, ...]) -> None:
    """Raise `ProtocolError` where the bytes are not what the name says."""
    if function_id(frames) != message.function or sum(map(len, frames)) != message.size_bytes:
        raise ProtocolError(f"the function {message.function.hex()} came with bytes of another name")


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
