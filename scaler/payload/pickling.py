"""Any value to bytes: by reference what another process can import, by value what only this one has.

Most values need no more than the C pickler. It is stopped at the first function or class that a worker could not
import (of `__main__`, a notebook, a local scope), and cloudpickle takes over.
"""

import functools
import io
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

import cloudpickle

from scaler.payload.classes import class_by_value
from scaler.payload.exception_parts import exception_by_parts

PROTOCOL = 5
#: exact types that pickle the same everywhere, hold nothing else and never change
PLAIN = frozenset((int, float, bool, str, bytes, complex, type(None)))
#: picklers that have written no more than this are used again
_KEPT_BYTES = 64 << 10

#: what is to be pickled in the place of a value; None for itself
Lift = Callable[[Any], Any]

#: smaller buffers are not worth a place of their own
LEAST_BUFFER_BYTES = 4 << 10

_Cached = type(functools.lru_cache(len))
_NAMED = frozenset((types.FunctionType, typing.NewType, typing.TypeVar, _Cached))
_idle: "list[tuple[_ByReference, io.BytesIO]]" = []
#: as these, but they leave buffers out
_idle_beside: "list[tuple[_ByReference, io.BytesIO, _Beside]]" = []


def dumps(value: Any, lift: Lift | None = None) -> bytes:  # Any: whatever users send
    """The value in bytes; raises whatever its own pickling code raises if there is no way."""
    if type(value) in PLAIN:
        return pickle.dumps(value, PROTOCOL)
    try:
        pickler, buffer = _idle.pop()
    except IndexError:
        buffer = io.BytesIO()
        pickler = _ByReference(buffer, PROTOCOL)
    try:
        pickler.lift = lift
        pickler.dump(value)
    except Exception:  # noqa: BLE001  # not by reference alone; if it is truly unpicklable, that is told below
        return dumps_by_value(value, lift)
    data = buffer.getvalue()
    if len(data) <= _KEPT_BYTES:
        pickler.lift = None
        pickler.clear_memo()
        buffer.seek(0)
        buffer.truncate()
        _idle.append((pickler, buffer))
    return data


def is_importable(value: Any) -> bool:  # Any: whatever has a module and a qualified name
    """Whether another process, which has a `__main__` of its own, finds this very object under its module and name."""
    return resolves(value) and not _travels(value.__module__) and not _is_made_here(value.__module__)


def resolves(value: Any) -> bool:  # Any: as above
    """Whether this very object is found under its module and name now, in a module that is not `__main__`."""
    module_name = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not module_name or not name or module_name == "__main__":
        return False
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _travels(module_name: str) -> bool:
    """Whether the user, or `_take_along`, asked cloudpickle to send this module's content by value."""
    by_value = cloudpickle.cloudpickle.list_registry_pickle_by_value()
    return any(module_name == name or module_name.startswith(name + ".") for name in by_value)


def _is_made_here(module_name: str) -> bool:
    """Whether a module was never found by an import: its outermost package has no spec."""
    root = sys.modules.get(module_name.partition(".")[0])
    return module_name == "__mp_main__" or (root is not None and getattr(root, "__spec__", None) is None)


class _NotImportableError(Exception):
    """Stops a pickler by reference; never seen outside of this module."""


class _Beside:
    """Takes the large buffers out of what is pickled."""

    def __init__(self) -> None:
        #: those that were left out
        self.buffers: list[memoryview] = []

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether a buffer is to be in the pickle all the same."""
        try:
            raw = buffer.raw()
        except BufferError:  # it does not lie in one piece, which the pickler is to say itself
            return True
        if raw.nbytes < LEAST_BUFFER_BYTES:
            return True
        self.buffers.append(raw)
        return False


class _ByReference(pickle.Pickler):
    lift: Lift | None = None

    def reducer_override(self, value: Any) -> Any:  # Any: as the standard library declares it
        if self.lift is not None and (lifted := self.lift(value)) is not None:
            return lifted.__reduce__()
        if (isinstance(value, type) or type(value) in _NAMED) and not is_importable(value):
            raise _NotImportableError
        return exception_by_parts(value) if isinstance(value, BaseException) else NotImplemented


class _ByValue(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    lift: Lift | None = None

    def reducer_override(self, value: Any) -> Any:  # Any: as above
        if self.lift is not None and (lifted := self.lift(value)) is not None:
            return lifted.__reduce__()
        kind = type(value)
        if isinstance(value, type):
            _take_along(value.__module__)
            reduced: Any = super().reducer_override(value)
            return class_by_value(value, reduced) if isinstance(reduced, tuple) and len(reduced) == 6 else reduced
        if kind is types.FunctionType:
            _take_along(value.__module__)
        elif isinstance(value, BaseException):
            return exception_by_parts(value)
        elif kind is weakref.WeakKeyDictionary:  # functions of `singledispatch` have one
            return kind, (dict(value),)
        elif kind is types.CodeType:
            reduced = self.dispatch_table[kind](value)  # a pair, of which the types do not tell
            return _code_again, (reduced[1], value.co_filename)
        elif kind is _Cached and not is_importable(value):
            return _cached_again, (value.__wrapped__, value.cache_parameters())
        elif kind is typing.NewType and not is_importable(value):
            return _new_type_again, (value.__name__, value.__supertype__, value.__module__)
        return super().reducer_override(value)


def dumps_by_value(value: Any, lift: Lift | None = None) -> bytes:
    """The value in bytes, known to need cloudpickle."""
    buffer = io.BytesIO()
    pickler = _ByValue(buffer, PROTOCOL)
    pickler.lift = lift
    pickler.dump(value)
    return buffer.getvalue()


def dumps_beside(value: Any, lift: Lift | None = None) -> tuple[bytes, list[memoryview]]:  # Any: as above
    """The value in bytes, as `dumps` makes them, but without its large buffers; and these, in order."""
    try:
        pickler, buffer, beside = _idle_beside.pop()
    except IndexError:
        buffer, beside = io.BytesIO(), _Beside()
        pickler = _ByReference(buffer, PROTOCOL, buffer_callback=beside)
    try:
        pickler.lift = lift
        pickler.dump(value)
    except Exception:  # noqa: BLE001  # as above; all buffers come again
        buffer, beside = io.BytesIO(), _Beside()
        by_value = _ByValue(buffer, PROTOCOL, beside)
        by_value.lift = lift
        by_value.dump(value)
        return buffer.getvalue(), beside.buffers
    data, buffers = buffer.getvalue(), beside.buffers
    if buffers:
        beside.buffers = []
    if len(data) <= _KEPT_BYTES:
        pickler.clear_memo()
        buffer.seek(0)
        buffer.truncate()
        _idle_beside.append((pickler, buffer, beside))
    return data, buffers


def _take_along(module_name: str | None) -> None:
    """Have cloudpickle send the content of a module by value that exists in this process alone."""
    module = sys.modules.get(module_name or "")
    if module is not None and module_name != "__main__" and _is_made_here(module.__name__):
        cloudpickle.register_pickle_by_value(module)


def _code_again(parts: tuple[Any, ...], filename: str) -> types.CodeType:
    """Code under the name of its file, which cloudpickle leaves out and tracebacks show."""
    return types.CodeType(*parts).replace(co_filename=filename)


def _cached_again(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    return functools.update_wrapper(functools.lru_cache(**parameters)(function), function)


def _new_type_again(name: str, supertype: Any, module: str) -> Any:
    make: Any = typing.NewType  # type checkers know it by literals only
    made = make(name, supertype)
    made.__module__ = module
    return made
