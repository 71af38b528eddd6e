"""Functions to bytes and back: by reference where workers can import them, else by value, anew at each call.

A function of `__main__`, a closure or a notebook cell may have changed since it was last sent, so its bytes are made
each time; equal bytes have equal names and travel once.
"""

import functools
import pickle
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.errors import DeserializeObjectError, SerializationError
from scaler.ids import FunctionId, function_id
from scaler.payload.diagnosis import not_loadable, too_large, unpicklable_path
from scaler.payload.fresh import Fresh, freshened, shared_state
from scaler.payload.importing import use_code
from scaler.payload.pickling import PROTOCOL, dumps, dumps_by_value, is_importable, resolves
from scaler.payload.shipping import shipping
from scaler.protocol.code import NO_CODE, OWN_CODE, Code, split_code, with_code
from scaler.protocol.columns import MAX_VALUE_BYTES, Frame, frames_of
from scaler.protocol.connection import LONGEST_LABEL

_REMEMBERED = (types.FunctionType, types.BuiltinFunctionType)


@dataclass(frozen=True, slots=True)
class PickledFunction:
    """A function's name by content, its bytes in frames of at most 1 MiB, and what to call it in messages.

    `code` is what of our own modules travels with it, `shared` what it brings that calls may change for others.
    """

    id: FunctionId
    frames: tuple[Frame, ...]
    name: str
    code: Code = NO_CODE
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Retried:
    """A function, and the exceptions after which a task of it may run again: they travel as one."""

    function: Callable[..., Any]
    retry_on: tuple[type[BaseException], ...]


def call_and_forget(function: Callable[[], object]) -> None:
    """Call a function whose value nobody wants: it need not be one that can be pickled."""
    function()


#: all and only importable functions that were sent and still exist
_known: "weakref.WeakKeyDictionary[Callable[..., Any], PickledFunction]" = weakref.WeakKeyDictionary()


def pickle_function(
    function: Callable[..., Any], retry_on: tuple[type[BaseException], ...] = (), *, ship_code: bool = True
) -> PickledFunction:
    """The bytes of a function; `SerializationError` names the part of it that cannot be pickled.

    With `ship_code` it takes along which modules of our own it may need, see `shipping`.
    """
    if retry_on:
        return _pickle_retried(Retried(function, retry_on), ship_code=ship_code)
    if isinstance(function, _REMEMBERED):
        known = _known.get(function)
        if known is not None and resolves(function) and known.code is _code(ship_code=ship_code):
            return known
        if is_importable(function):
            shipping.look_again()  # its module may just have been loaded anew
            known = _known[function] = _pickled(pickle.dumps(function, PROTOCOL), function, ship_code=ship_code)
            return known
    _note_imports(function, ship_code=ship_code)
    try:
        fresh = freshened(function, _dump)
        data = _dump(fresh)
    except Exception as error:
        raise SerializationError(
            f"the function {function_name(function)} cannot be sent: {unpicklable_path(function, 'function', error)}"
        ) from error
    return _pickled(data, function, shared_state(fresh, len(data)), ship_code=ship_code)


def _pickle_retried(retried: Retried, *, ship_code: bool) -> PickledFunction:
    _note_imports(retried.function, ship_code=ship_code)
    try:
        fresh = freshened(retried.function, _dump)
        data = dumps(Retried(fresh, retried.retry_on))
    except Exception as error:
        name = function_name(retried.function)
        raise SerializationError(
            f"the function {name} cannot be sent with its retry_on: {unpicklable_path(retried, name, error)}"
        ) from error
    return _pickled(data, retried.function, shared_state(fresh, len(data)), ship_code=ship_code)


def _dump(function: Callable[..., Any]) -> bytes:
    return (dumps_by_value if type(function) is types.FunctionType else dumps)(function)


def load_function(frames: Sequence[Frame]) -> Callable[..., Any] | Retried:
    """The function in the bytes; `DeserializeObjectError` says what this process lacks."""
    try:
        code, pickled = split_code(b"".join(frames))
        if code:
            use_code(code)
        function: Callable[..., Any] | Retried = pickle.loads(pickled)  # noqa: S301  # the scheduler let only our own keys in
        called = function.function if isinstance(function, Retried) else function
        if isinstance(called, Fresh):
            called.open()  # what is wrong with it is told of the function, not of a call
    except DeserializeObjectError:
        raise
    except BaseException as error:
        raise not_loadable("the function", error) from error
    return function


def function_name(function: Any) -> str:  # Any: any callable
    """What to call a callable in messages, in a few words."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)[:LONGEST_LABEL]


def _note_imports(function: Any, *, ship_code: bool) -> None:  # Any: any callable
    """What a function imports when it runs has to go along."""
    while isinstance(function, functools.partial) or getattr(type(function), "is_filled", False):
        function = function.func
    code = getattr(function, "__code__", None)
    if ship_code and isinstance(code, types.CodeType):
        shipping.note(code)


def _code(*, ship_code: bool) -> Code:
    return shipping.code() if ship_code else OWN_CODE


def _pickled(data: bytes, function: Callable[..., Any], shared: str = "", *, ship_code: bool) -> PickledFunction:
    if len(data) > MAX_VALUE_BYTES:
        raise too_large(f"the function {function_name(function)}", len(data))
    code = _code(ship_code=ship_code)
    data = with_code(code, data)
    return PickledFunction(function_id((data,)), frames_of(data), function_name(function), code, shared)
