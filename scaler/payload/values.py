"""Results to bytes and back: values, and what a task raised, with its type, message and the frames it went through."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from scaler import errors
from scaler.errors import ProtocolError, SerializationError, StoreFullError
from scaler.payload.diagnosis import FOR_CLIENTS, not_loadable, too_large, unpicklable_path
from scaler.payload.inputs import inline
from scaler.payload.parts import load_parts, owned, result_parts
from scaler.payload.pickling import dumps
from scaler.protocol.codec import decode_failure
from scaler.protocol.columns import (
    CONTENT,
    FAILED,
    MAX_VALUE_BYTES,
    RAISED,
    RAISED_RETRYABLE,
    REFERENCE,
    VALUE,
    Frame,
    ResultColumn,
    words,
)
from scaler.protocol.layout import parts_in
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
    try:
        data = dumps(value, owned)
    except Exception as error:
        raise _unsendable(value, error) from error
    return _not_too_large(data)


def dump_result(value: Any, lay: Callable[[Sequence[Frame]], bytes]) -> tuple[int, bytes]:  # Any: as above
    """A result as status and bytes: as `dump_value`, or, of a large one, what `lay` has made of its parts.

    One for which that finds no room goes as a small one does.
    """
    try:
        data, buffers = result_parts(value)
    except Exception as error:
        raise _unsendable(value, error) from error
    most_bytes = inline.most_bytes
    if len(data) >= most_bytes or (buffers and len(data) + sum(map(len, buffers)) >= most_bytes):
        with suppress(StoreFullError):
            return REFERENCE, lay((data, *buffers))
    return VALUE, dump_value(value) if buffers else _not_too_large(data)


def _unsendable(value: Any, error: Exception) -> SerializationError:  # Any: as above
    path = unpicklable_path(value, "result", error)
    return SerializationError(f"the task returned what cannot be sent back: {path}")


def _not_too_large(data: bytes) -> bytes:
    if len(data) > MAX_VALUE_BYTES:
        raise too_large("the result of the task", len(data))
    return data


def dump_outcome(error: BaseException | None, value: Any) -> tuple[int, bytes]:  # Any: as above
    """What was opened of a task that others need, as status and bytes: its exception, or its value."""
    if error is None:
        try:
            return VALUE, dump_value(value)
        except SerializationError as own:
            error = own
    from scaler.payload.exceptions import dump_exception  # noqa: PLC0415  # tblib is for what failed alone

    return RAISED, dump_exception(error, 0, "")


def load_value(status: int, data: Frame, attempts: int = 1, task: str = "") -> Outcome:
    """The outcome in the bytes of one result, which came of the last of so many attempts.

    `task` says for people which one it is, where the bytes of a failure do not.
    """
    if status == VALUE:
        return opened(lambda: pickle.loads(data))  # noqa: S301  # from a worker that showed our own key
    if status == CONTENT:
        return opened(lambda: load_parts(parts_in(memoryview(bytearray(data))), are_ours=True))
    if status in (RAISED, RAISED_RETRYABLE):
        from scaler.payload.exceptions import load_exception  # noqa: PLC0415  # tblib is for what failed alone

        return Outcome(None, load_exception(data, attempts))
    if status == FAILED:
        try:
            return Outcome(None, exception_from_failure(decode_failure(data), attempts, task))
        except ProtocolError as error:
            return Outcome(None, error)
    return Outcome(None, ProtocolError(f"a result has status {status}, which this version does not know"))


def opened(load: Callable[[], Any]) -> Outcome:  # Any: whatever a task returned
    """What a result's bytes come to; that they cannot be opened is an outcome, too."""
    try:
        return Outcome(load())
    except Exception as error:  # noqa: BLE001  # whatever a class's own code raises
        lost = not_loadable("the result", error, FOR_CLIENTS)
        lost.__cause__ = error
        return Outcome(None, lost)


class Kept(Protocol):
    """Stands for a value that lies elsewhere."""

    def open(self) -> Outcome:
        """The value, or why it cannot be had."""
        ...


def load_column(
    column: ResultColumn,
    attempts: int = 1,
    tell: Callable[[int], str] = lambda _: "",
    kept: Mapping[int, Kept] = MappingProxyType({}),
) -> tuple[list[Any], list[int]]:
    """The values of a column in order, exceptions among them, and the indices of those that are exceptions.

    `tell` says for people which task an index is, `kept` has those that lie elsewhere.
    """
    data = memoryview(column.data[0] if len(column.data) == 1 else b"".join(column.data))
    ends = words(column.ends).tolist()
    if column.base:
        ends = [end - column.base for end in ends]
    starts = [0, *ends[:-1]]
    statuses = bytes(column.statuses)
    if statuses.count(VALUE) == column.count:
        loads = pickle.loads
        with suppress(Exception):  # which one it is, and why, is found out below
            return [loads(data[start:end]) for start, end in zip(starts, ends, strict=True)], []  # as above
    outcomes = [
        kept[index].open()
        if index in kept
        else load_value(status, data[start:end], attempts, tell(index) if status == FAILED else "")
        for index, status, start, end in zip(range(column.lo, column.hi), statuses, starts, ends, strict=True)
    ]
    failed = [column.lo + number for number, outcome in enumerate(outcomes) if outcome.error is not None]
    return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes], failed


def exception_from_failure(failure: Failure, attempts: int | None = None, task: str = "") -> BaseException:
    """The exception of ours for a task that ended without one of its own; a cluster does not know its `attempts`.

    `task` says for people which one it is, unless the failure does, since it is another's.
    """
    kind = _FAILURES[failure.cause]
    text = failure.text
    if failure.stderr.strip():
        text += f"\nlast lines on stderr:\n{failure.stderr.rstrip()}"
    if failure.stack:
        text += f"\n{failure.stack.rstrip()}"
    if failure.task:
        task = f"in task {failure.task}"
    if failure.cause is Cause.OBJECT_LOST:
        text += f": make or send it anew, and submit again what needs it{f' ({task})' if task else ''}"
    error = kind(text)
    attempt = failure.attempts if attempts is None else attempts
    where = f"on {failure.place}, attempt {attempt}" if failure.place else ""
    if task or where:
        error.add_note(f"{task} {where}".strip())
    return error
