"""What a task raised, in bytes and back: type, message, attributes, causes, notes and remote frames.

The worker tries its own bytes: an exception that cannot be made again from them is rebuilt without its `__init__`, and
one that cannot be pickled at all is described by a `TaskError`, so that the client always gets something to raise.
"""

import pickle
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypedDict

import tblib

from scaler.errors import ProtocolError, TaskExceptionNotSerializableError
from scaler.payload.exception_parts import builtin_base, exception_again, set_attributes, type_name
from scaler.payload.pickling import PROTOCOL, dumps
from scaler.protocol.columns import Frame

#: a longer text is cut, in a message of an exception that is larger than `MAX_WHOLE_BYTES`, and in descriptions
MAX_TEXT = 64 << 10
MAX_WHOLE_BYTES = 1 << 20
#: so many causes, contexts and members of groups come along
MAX_LINKED = 50
#: of a deep recursion the first and the last frames are kept, half of this each
MAX_FRAMES = 100

#: file, name and line, and the module it was in
_Frame = tuple[str, str, int, str]


class _Record(TypedDict):
    """One exception; others are named by their number in the list of records."""

    blob: bytes | None
    type: str
    message: str
    text: str
    frames: list[_Frame]
    cause: int | None
    context: int | None
    suppress: bool
    members: list[int] | None
    notes: list[str]


def dump_exception(error: BaseException, skip_frames: int, note: str) -> bytes:
    """An exception in bytes, without its first `skip_frames` frames, which are the worker's own, and with a note.

    Whatever the exception is made of, this does not raise.
    """
    linked = _linked(error)
    numbers = {id(one): number for number, one in enumerate(linked)}
    records = [_record(one, numbers, 0 if number else skip_frames) for number, one in enumerate(linked)]
    records[0]["notes"].append(note)
    return pickle.dumps(records, PROTOCOL)


def load_exception(data: Frame, attempts: int = 1) -> BaseException:
    """The exception in the bytes, ready to be raised; its last note tells task, host and worker, and the attempt."""
    try:
        records = pickle.loads(data)  # noqa: S301  # from a worker that showed our own key
        records[0]["notes"][-1] += f", attempt {attempts}"
        return _rebuild(records)
    except Exception as error:  # noqa: BLE001  # a broken record is told as such
        return ProtocolError(f"a task's exception cannot be read: {type(error).__name__}: {error}")


# ---- at the worker


def _linked(error: BaseException) -> list[BaseException]:
    """The exception, then all it leads to, each once."""
    found = {id(error): error}
    queue = [error]
    for one in queue:
        members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for other in (one.__cause__, one.__context__, *members):
            if other is not None and id(other) not in found and len(found) < MAX_LINKED:
                found[id(other)] = other
                queue.append(other)
    return queue


def _record(error: BaseException, numbers: dict[int, int], skip_frames: int) -> _Record:
    trace = error.__traceback__
    while skip_frames and trace is not None:
        trace, skip_frames = trace.tb_next, skip_frames - 1
    members = None
    if isinstance(error, BaseExceptionGroup) and all(id(member) in numbers for member in error.exceptions):
        members = [numbers[id(member)] for member in error.exceptions]
    blob, omitted = _pickle(error, is_group=members is not None)
    notes = _notes(error)
    if omitted:
        notes.append(f"attributes that cannot be pickled stayed behind: {', '.join(omitted)}")
    return {
        "blob": blob,
        "type": type_name(type(error)),
        "message": _text(error)[:MAX_TEXT],
        "text": _description(error, trace) if blob is None else "",
        "frames": _frames(trace),
        "cause": numbers.get(id(error.__cause__)),
        "context": numbers.get(id(error.__context__)),
        "suppress": error.__suppress_context__,
        "members": members if blob is not None else None,
        "notes": notes,
    }


def _pickle(error: BaseException, *, is_group: bool) -> tuple[bytes | None, list[str]]:
    """Bytes from which the same type and message can be made again, and which attributes are not in them."""
    whole = None if is_group else _tried(error, error)
    if whole is not None and len(whole) <= MAX_WHOLE_BYTES:
        return whole, []
    parts = _parts(error, is_group=is_group)
    blob = None if whole is not None and not parts.is_cut else _tried(parts.content(), error, is_group=is_group)
    if blob is not None or whole is not None:
        return blob or whole, []
    omitted = sorted(name for name, part in parts.state.items() if not _is_picklable(part))
    for name in omitted:
        del parts.state[name]
    return _tried(parts.content(), error, is_group=is_group), omitted


@dataclass(slots=True)
class _Parts:
    """What an exception is made of, for one that its own class does not make again."""

    kind: type[BaseException]
    made_with: tuple[Any, ...]
    args: tuple[Any, ...]
    state: dict[str, Any]
    is_cut: bool = False

    def content(self) -> tuple[Any, ...]:
        return self.kind, self.made_with, self.args, self.state


def _parts(error: BaseException, *, is_group: bool) -> _Parts:
    """As the built-in class under the user's sees it: `OSError` has more than its `args`."""
    _, made_with, *rest = builtin_base(type(error)).__reduce__(error)
    state = dict(rest[0] or {}) if rest else {}
    state.pop("__notes__", None)
    if is_group:
        return _Parts(type(error), made_with[:1], made_with[:1], state)
    parts = _Parts(
        type(error),
        tuple(map(_shortened, made_with)),
        tuple(map(_shortened, error.args)),
        {name: _shortened(part) for name, part in state.items()},
    )
    before, after = (*made_with, *state.values()), (*parts.made_with, *parts.state.values())
    parts.is_cut = any(one is not other for one, other in zip(before, after, strict=True))
    return parts


def _tried(content: Any, error: BaseException, *, is_group: bool = False) -> bytes | None:
    """The content in bytes if the error, or one cut short, comes out of them."""
    try:
        blob = dumps(content)
        again = _unpickle(blob, error.exceptions if is_group and isinstance(error, BaseExceptionGroup) else None)
    except BaseException:  # noqa: BLE001  # no way, whatever the user's class did
        return None
    is_same = type_name(type(again)) == type_name(type(error)) and (
        _text(again) == _text(error) or len(_text(error)) > MAX_TEXT
    )
    return blob if is_same else None


def _is_picklable(part: Any) -> bool:
    try:
        pickle.loads(dumps(part))  # noqa: S301  # bytes of our own
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


def _shortened(part: Any) -> Any:
    if isinstance(part, str) and len(part) > MAX_TEXT:
        return f"{part[:MAX_TEXT]}… ({len(part) - MAX_TEXT} more characters)"
    return part


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as own:  # noqa: BLE001  # a broken __str__ must not hide the error
        return f"<no text: {type(own).__name__}>"


def _notes(error: BaseException) -> list[str]:
    try:
        return [str(note)[:MAX_TEXT] for note in getattr(error, "__notes__", ())]
    except Exception:  # noqa: BLE001  # users may have put anything there
        return []


def _description(error: BaseException, trace: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, trace))[-MAX_TEXT:]
    except Exception as own:  # noqa: BLE001  # it runs the user's code
        return f"{type_name(type(error))}: {_text(error)[:MAX_TEXT]} (not described further: {type(own).__name__})"


def _frames(trace: TracebackType | None) -> list[_Frame]:
    frames: list[_Frame] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        module = trace.tb_frame.f_globals.get("__name__", "")
        frames.append((code.co_filename, code.co_name, trace.tb_lineno or 0, str(module)))
        trace = trace.tb_next
    if len(frames) > MAX_FRAMES:
        del frames[MAX_FRAMES // 2 : -MAX_FRAMES // 2]
    return frames


# ---- at the client, and where the worker tries its own bytes


def _unpickle(blob: bytes, members: tuple[BaseException, ...] | None) -> BaseException:
    content = pickle.loads(blob)  # noqa: S301  # from a worker that showed our own key, or our own
    if isinstance(content, BaseException):
        return content
    kind, made_with, args, state = content
    if members is not None:
        made_with = args = (*made_with, members)
    error = exception_again(kind, made_with)
    set_attributes(error, {"args": args, **state})
    return error


def _rebuild(records: list[_Record]) -> BaseException:
    made: dict[int, BaseException] = {}
    for number in _members_first(records):
        record = records[number]
        members = record["members"]
        made[number] = _made(record, tuple(made[member] for member in members) if members is not None else None)
    for number, record in enumerate(records):
        error = made[number]
        object.__setattr__(error, "__traceback__", _trace(record["frames"]))
        if record["cause"] is not None:
            object.__setattr__(error, "__cause__", made[record["cause"]])
        if record["context"] is not None:
            object.__setattr__(error, "__context__", made[record["context"]])
        object.__setattr__(error, "__suppress_context__", record["suppress"])
        if record["notes"]:
            object.__setattr__(error, "__notes__", record["notes"])
    return made[0]


def _members_first(records: list[_Record]) -> Iterator[int]:
    """All numbers, a group's after those of its members; groups do not contain themselves."""
    done: set[int] = set()

    def visit(number: int) -> Iterator[int]:
        if number not in done:
            done.add(number)
            for member in records[number]["members"] or ():
                yield from visit(member)
            yield number

    for number in range(len(records)):
        yield from visit(number)


def _made(record: _Record, members: tuple[BaseException, ...] | None) -> BaseException:
    try:
        if record["blob"] is None:
            raise pickle.UnpicklingError
        return _unpickle(record["blob"], members)
    except Exception:  # noqa: BLE001  # its class cannot be had here: described instead
        text = record["text"] or f"{''.join(traceback.format_tb(_trace(record['frames'])))}{record['type']}"
        return TaskExceptionNotSerializableError(f"{record['type']}: {record['message']}", record["type"], text)


def _trace(frames: list[_Frame]) -> TracebackType | None:
    nested: dict[str, Any] | None = None
    for file, name, line, module in reversed(frames):
        code = {"co_filename": file, "co_name": name}
        variables = {"__name__": module, "__file__": file}
        frame = {"f_globals": variables, "f_code": code, "f_lineno": line}
        nested = {"tb_frame": frame, "tb_lineno": line, "tb_next": nested}
    if nested is None:
        return None
    trace: TracebackType | None = tblib.Traceback.from_dict(nested).as_traceback()
    return trace
