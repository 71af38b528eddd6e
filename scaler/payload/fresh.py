"""What brings values of its own to each call has them as they were sent: a `partial`, a bound method, a called object.

A worker keeps a function for all calls of the same bytes, whoever sent them, and such values are part of these bytes:
one call would see what another has made of them. What a closure captures is opened once, as what is in a module is.
"""

import enum
import functools
import pickle
import types
from collections.abc import Callable
from typing import Any

from scaler.payload.pickling import PLAIN, is_importable

#: what is larger is opened once for all calls in a worker, since that takes too long
MOST_BYTES = 1 << 20
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type(functools.lru_cache(len)), type)
_CONTAINERS = frozenset((tuple, frozenset))


class Fresh:
    """Such a function in bytes, which is opened anew for each call."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return Fresh, (self._data,)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:  # Any: the users' values
        """Call it as it was sent."""
        return self.open()(*args, **kwargs)

    def open(self) -> Callable[..., Any]:
        """The function, as it was sent; raises whatever opening it does."""
        function: Callable[..., Any] = pickle.loads(self._data)  # noqa: S301  # as any function
        return function


def freshened(function: Callable[..., Any], dump: Callable[[Any], bytes]) -> Callable[..., Any]:
    """The function, or what opens it anew for each call where that matters; `dump` makes its bytes."""
    if not has_state(function):
        return function
    data = dump(function)
    return Fresh(data) if len(data) <= MOST_BYTES else function


def shared_state(function: Callable[..., Any], size_bytes: int) -> str:
    """What of a function that takes so many bytes a call may change for others, in words; "" if there is nothing."""
    if size_bytes <= MOST_BYTES or isinstance(function, Fresh) or not has_state(function):
        return ""
    if isinstance(function, types.MethodType):
        return f"the {_kind(function.__self__)} that it is called on"
    if isinstance(function, functools.partial) or getattr(type(function), "is_filled", False):
        return "what its partial brings"
    return f"the {_kind(function)} that is called"


def _kind(value: Any) -> str:  # Any: as below
    return (value if isinstance(value, type) else type(value)).__qualname__


def has_state(function: Any) -> bool:  # Any: any callable
    """Whether a function brings values of its own that a call of it may change."""
    if isinstance(function, _FUNCTIONS):
        return False
    if isinstance(function, functools.partial):
        return not all(map(_is_fixed, (function.func, *function.args, *function.keywords.values())))
    if getattr(type(function), "is_filled", False):
        return not all(map(_is_fixed, (function.func, *function.own)))
    if isinstance(function, types.MethodType):
        return not _is_fixed(function.__self__)
    # of what is compiled nothing can be changed
    has_own = bool(getattr(function, "__dict__", None)) and not is_importable(function)
    return has_own and not getattr(type(function), "keeps_no_state", False)


def _is_fixed(value: Any) -> bool:  # Any: the users' values
    kind = type(value)
    if kind in PLAIN or isinstance(value, (types.ModuleType, enum.Enum)):
        return True
    if kind in _CONTAINERS:
        return all(map(_is_fixed, value))
    if callable(value):
        return not has_state(value)
    return kind.__module__ == "numpy" and not hasattr(value, "__setitem__")  # a number
