"""Results to bytes and back: values, and what a task raised, with its type, message and the frames it went through."""

import pickle
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import cloudpickle

from scaler import errors
from scaler.errors import DeserializeObjectError, ProtocolError, SerializationError
from scaler.payload.calls import PLAIN
from scaler.payload.diagnosis import unpicklable_path
from scaler.payload.functions import PROTOCOL
from scaler.protocol.codec import decode_failure
from scaler.protocol.columns import (
    FAILED,
    RAISED,
    RAISED_RETRYABLE,
    VALUE,
    Frame,
    ResultColumn,
    words,
)
from scaler.protocol.options import Cause, Failure

_FAILURES: dict[Cause, type[BaseException]] = {
    Cause.DIED: errors.WorkerDiedError,
    Cause.VANISHED: errors.WorkerDiedError,
    Cause.MEMORY: errors.MemoryLimitError,
    Cause.TIMEOUT: errors.TaskTimeoutError,
    Cause.WALLTIME: errors.WalltimeError,
    Cause.UNKNOWN_TAG: errors.UnknownTagError,
    Cause.DEPENDENCY: errors.TaskError,
    Cause.OBJECT_LOST: errors.ObjectLostError,
    Cause.MISSING_OBJECT: errors.MissingObjects,
    Cause.CANCELLED: CancelledError,
    Cause.REFUSED: errors.SchedulerError,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: its value, or the exception to raise."""

    value: Any
    error: BaseException | None = None


def dump_value(value: Any) -> bytes:  # Any: whatever a task returns
    """A result in bytes; `SerializationError` names the part that cannot be pickled."""
    if type(value) in PLAIN:
        return pickle.dumps(value, PROTOCOL)
    try:
        data: bytes = cloudpickle.dumps(value, PROTOCOL)
    except Exception as error:
        raise SerializationError(
            f"the task returned what cannot be sent back: {unpicklable_path(value, 'result', error)}"
        ) from error
    return data


def load_value(status: int, data: Frame) -> Outcome:
    """The outcome in the bytes of one result."""
    if status == VALUE:
        try:
            return Outcome(pickle.loads(data))  # noqa: S301  # from a worker that showed our own key
        except BaseException as error:  # noqa: BLE001  # whatever a class's own code raises
            text = f"the result cannot be loaded here: {type(error).__name__}: {error}"
            wrapped = DeserializeObjectError(text)
            wrapped.__cause__ = error
            return Outcome(None, wrapped)
    if status in (RAISED, RAISED_RETRYABLE):
        from scaler.payload.exceptions import (
            load_exception,
        )  # tblib is loaded only where something failed

        return Outcome(None, load_exception(data))
    if status == FAILED:
        return Outcome(None, exception_from_failure(decode_failure(data)))
    raise ProtocolError(
        f"a result has status {status}, which this version does not know"
    )


def load_column(column: ResultColumn) -> tuple[list[Any], list[int]]:
    """The values of a column in order, exceptions among them, and the indices of those that are exceptions."""
    data = memoryview(
        column.data[0] if len(column.data) == 1 else b"".join(column.data)
    )
    base = column.base
    ends = words(column.ends).tolist()
    if base:
        ends = [end - base for end in ends]
    starts = [0, *ends[:-1]]
    if not column.unsuccessful():
        loads = pickle.loads
        try:
            return [
                loads(data[start:end]) for start, end in zip(starts, ends, strict=True)
            ], []  # noqa: S301  # as above
        except BaseException:  # noqa: BLE001  # found out below, one by one
            pass
    outcomes = [
        load_value(status, data[start:end])
        for status, start, end in zip(bytes(column.statuses), starts, ends, strict=True)
    ]
    failed = [
        column.lo + number
        for number, outcome in enumerate(outcomes)
        if outcome.error is not None
    ]
    return [
        outcome.value if outcome.error is None else outcome.error
        for outcome in outcomes
    ], failed


def exception_from_failure(failure: Failure) -> BaseException:
    """The exception of ours for a task that ended without one of its own."""
    kind = _FAILURES[failure.cause]
    text = failure.text
    if failure.stderr.strip():
        text += f"\nlast lines on stderr:\n{failure.stderr.rstrip()}"
    if failure.stack:
        text += f"\n{failure.stack.rstrip()}"
    error = kind(text)
    if failure.place:
        error.add_note(f"on {failure.place}, attempt {failure.attempts}")
    return error
