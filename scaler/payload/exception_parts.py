"""Exceptions by what they are made of: their own `__init__` may ask for other arguments than those that they keep."""

import builtins
import copyreg
from typing import Any


def type_name(kind: type) -> str:
    """What to call a type in messages: by its module too, unless it is Python's own."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def builtin_base(kind: type[BaseException]) -> Any:
    """The class of Python's own that an exception class comes from: it knows what its instances consist of."""
    return next(base for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base)


def exception_by_parts(error: BaseException) -> Any:  # Any: as `reducer_override` of the standard library
    """How to make an exception again whose class has an `__init__` of its own, without calling that.

    `NotImplemented` for all others, and for those that say themselves how they are pickled.
    """
    kind = type(error)
    base = builtin_base(kind)
    if (
        (kind.__init__ is base.__init__ and kind.__new__ is base.__new__)
        or kind.__reduce__ is not base.__reduce__
        or kind.__reduce_ex__ is not object.__reduce_ex__
        or kind in copyreg.dispatch_table
    ):
        return NotImplemented
    reduced: Any = base.__reduce__(error)
    made_with, state = reduced[1], reduced[2] if len(reduced) > 2 else None
    if kind.__setstate__ is not base.__setstate__:
        return exception_again, (kind, made_with), state
    return exception_again, (kind, made_with), state, None, None, set_attributes


def exception_again(kind: type[BaseException], made_with: tuple[Any, ...]) -> BaseException:
    """One with these arguments, as its built-in class takes them."""
    base = builtin_base(kind)
    error: BaseException = base.__new__(kind, *made_with)
    base.__init__(error, *made_with)
    return error


def set_attributes(error: BaseException, state: dict[str, Any]) -> None:
    """Give it attributes past its own `__setattr__`: a frozen data class can be raised too."""
    for name, part in state.items():
        object.__setattr__(error, name, part)
