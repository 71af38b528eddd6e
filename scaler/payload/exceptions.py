"""What a task raised, in bytes and back: type, message, attributes, causes, notes and remote frames.

The worker tries its own bytes: an exception that cannot be made again from them is rebuilt without its `__init__`, and
one that cannot be pickled at all is described by a `TaskError`, so that the client always gets something to raise.
"""

import pickle
import traceback
from types import TracebackType
from typing import Any

import cloudpickle
import tblib

from scaler.errors import ProtocolError, TaskExceptionNotSerializableError
from scaler.payload.functions import PROTOCOL
from scaler.protocol.columns import Frame

MAX_TEXT = 64 << 10
_MAX_CHAIN = 20

Record = dict[str, Any]


def dump_exception(error: BaseException, skip_frames: int, note: str) -> bytes:
    """An exception in bytes, without its first `skip_frames` frames, which are the worker's own, and with a note."""
    trace = error.__traceback__
    for _ in range(skip_frames):
        trace = trace.tb_next if trace is not None else None
    record = _record(error, trace, 0)
    record["notes"] = [*record["notes"], note]
    return pickle.dumps(record, PROTOCOL)


def load_exception(data: Frame) -> BaseException:
    """The exception in the bytes, ready to be raised."""
    try:
        record = pickle.loads(data)  # noqa: S301  # from a worker that showed our own key
        return _rebuild(record)
    except Exception as error:  # noqa: BLE001  # a broken record is told as such
        return ProtocolError(f"a task's exception cannot be read: {error}")


def _record(error: BaseException, trace: TracebackType | None, depth: int) -> Record:
    blob, how = _pickle(error)
    cause, context = error.__cause__, error.__context__
    deeper = depth < _MAX_CHAIN
    return {
        "how": how,
        "blob": blob,
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": _text(error)[:MAX_TEXT],
        "text": "".join(traceback.format_exception(type(error), error, trace))[
            -MAX_TEXT:
        ]
        if how == "text"
        else "",
        "trace": _trace_dict(trace),
        "cause": _record(cause, cause.__traceback__, depth + 1)
        if cause is not None and deeper
        else None,
        "context": _record(context, context.__traceback__, depth + 1)
        if context is not None and context is not cause and deeper
        else None,
        "suppress": error.__suppress_context__,
        "notes": [str(note) for note in getattr(error, "__notes__", [])],
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as own:  # noqa: BLE001  # a broken __str__ must not hide the error
        return f"<no text: {type(own).__name__}>"


def _pickle(error: BaseException) -> tuple[bytes, str]:
    parts = (
        type(error),
        error.args,
        {k: v for k, v in vars(error).items() if k != "__notes__"},
    )
    for how, content in (("whole", error), ("parts", parts)):
        try:
            blob = cloudpickle.dumps(content, PROTOCOL)
            again = _unpickle(blob, how)
        except Exception:  # noqa: BLE001, S112  # the next, plainer form is tried
            continue
        if type(again).__qualname__ == type(error).__qualname__ and _text(
            again
        ) == _text(error):
            return blob, how
    return b"", "text"


def _unpickle(blob: bytes, how: str) -> BaseException:
    content = pickle.loads(blob)  # noqa: S301  # our own, or checked as above
    if how == "whole":
        if not isinstance(content, BaseException):
            raise TypeError("it pickles as something else")
        return content
    kind, args, state = content
    error: BaseException = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def _trace_dict(trace: TracebackType | None) -> dict[str, Any] | None:
    if trace is None:
        return None
    found: dict[str, Any] = tblib.Traceback(trace, get_locals=lambda _: {}).to_dict()
    return found


def _rebuild(record: Record) -> BaseException:
    try:
        if record["how"] == "text":
            raise pickle.PicklingError
        error = _unpickle(record["blob"], record["how"])
    except Exception:  # noqa: BLE001  # its class cannot be had here: described instead
        error = TaskExceptionNotSerializableError(
            f"{record['type']}: {record['message']}", record["type"], record["text"]
        )
    if record["trace"] is not None:
        error = error.with_traceback(
            tblib.Traceback.from_dict(record["trace"]).as_traceback()
        )
    if record["cause"] is not None:
        error.__cause__ = _rebuild(record["cause"])
    if record["context"] is not None:
        error.__context__ = _rebuild(record["context"])
    error.__suppress_context__ = record["suppress"]
    if record["text"]:
        error.add_note(record["text"])
    known = getattr(error, "__notes__", [])
    for note in record["notes"]:
        if note not in known:
            error.add_note(note)
    return error
