"""Functions to bytes and back: by reference where workers can import them, else by value, anew at each call.

A function of `__main__`, a closure or a notebook cell may have changed since it was last sent, so its bytes are made
each time; equal bytes have equal names and travel once.
"""

import functools
import hashlib
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle

from scaler.errors import DeserializeObjectError, SerializationError
from scaler.ids import FunctionId
from scaler.payload.diagnosis import unpicklable_path
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame

PROTOCOL = 5
_BY_REFERENCE = (types.FunctionType, types.BuiltinFunctionType, type)


@dataclass(frozen=True, slots=True)
class PickledFunction:
    """A function's name by content, its bytes in frames of at most 1 MiB, and what to call it in messages."""

    id: FunctionId
    frames: tuple[bytes, ...]
    name: str


_known: "weakref.WeakKeyDictionary[Callable[..., Any], PickledFunction]" = (
    weakref.WeakKeyDictionary()
)


def pickle_function(function: Callable[..., Any]) -> PickledFunction:
    """The bytes of a function; `SerializationError` names the part of it that cannot be pickled."""
    by_reference = isinstance(function, _BY_REFERENCE)
    if by_reference:
        known = _known.get(function)
        if known is not None:
            return known
        by_reference = is_importable(function)
    try:
        data = (pickle if by_reference else cloudpickle).dumps(function, PROTOCOL)
    except Exception as error:
        raise SerializationError(
            f"the function {function_name(function)} cannot be sent: {unpicklable_path(function, 'function', error)}"
        ) from error
    frames = tuple(split_frames(data))
    pickled = PickledFunction(_content_id(data), frames, function_name(function))
    if by_reference:
        _known[function] = pickled
    return pickled


def load_function(frames: Sequence[Frame]) -> Callable[..., Any]:
    """The function in the bytes; `DeserializeObjectError` says what this process lacks."""
    try:
        function: Callable[..., Any] = pickle.loads(b"".join(frames))  # noqa: S301  # the scheduler let only our own keys in
    except BaseException as error:
        raise DeserializeObjectError(
            f"the function cannot be loaded here: {type(error).__name__}: {error}"
        ) from error
    return function


def is_importable(
    function: Any,
) -> bool:  # Any: whatever has a module and a qualified name
    """Whether another process finds this very object under its module and name."""
    module_name = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not module_name or not name or module_name == "__main__" or "<" in name:
        return False
    try:
        return (
            functools.reduce(getattr, name.split("."), sys.modules[module_name])
            is function
        )
    except (KeyError, AttributeError):
        return False


def function_name(function: Any) -> str:  # Any: any callable
    """What to call a callable in messages."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def split_frames(data: bytes) -> list[bytes]:
    """The bytes in frames as they may go on the wire."""
    if len(data) <= MAX_FRAME_BYTES:
        return [data]
    return [
        data[start : start + MAX_FRAME_BYTES]
        for start in range(0, len(data), MAX_FRAME_BYTES)
    ]


def _content_id(data: bytes) -> FunctionId:
    return FunctionId(hashlib.blake2b(data, digest_size=16).digest())
