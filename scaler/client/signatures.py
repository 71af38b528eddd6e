"""Whether a call fits a function's signature, told where it is made rather than on a worker.

Signatures are looked at once for each function; builtins that have none are let through and judged by the worker.
"""

import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from scaler.payload.functions import function_name

UNBOUNDED = 1 << 62


class CallShape:
    """How many positional arguments a function takes, and its whole signature for the other calls."""

    __slots__ = ("_label", "_signature", "least", "most", "names", "takes_all", "was_told")

    def __init__(self, signature: inspect.Signature | None, label: str) -> None:
        self._signature = signature
        self._label = label
        parameters = signature.parameters.values() if signature else ()
        #: what its parameters are called that a keyword can reach
        self.names = frozenset(
            parameter.name
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        )
        #: whether it takes keywords of any name
        self.takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        #: whether its user was told that options are not among them
        self.was_told = False
        #: `[least, most]` positional arguments fit when there are no keywords; `most` is -1 where keywords are a must
        self.least, self.most = _positional_range(signature) if signature else (0, UNBOUNDED)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise `TypeError`, in the words Python itself uses, if the call does not fit."""
        if not kwargs and self.least <= len(args) <= self.most:
            return
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self._label}(): {error}") from None


def _positional_range(signature: inspect.Signature) -> tuple[int, int]:
    least = most = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = UNBOUNDED
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                return 0, -1
        elif parameter.kind is not parameter.VAR_KEYWORD:
            most += 1
            least += parameter.default is parameter.empty
    return least, most


def _refuse_unfinished(function: Callable[..., Any]) -> None:
    """`TypeError` for a function whose calls return at once, and do their work only for who awaits or iterates."""
    name = function_name(function)
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{name} is an async function, whose call on a worker would give a coroutine and run nothing: "
            f"submit lambda *args: asyncio.run({name}(*args))"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name} is a generator function, whose call on a worker would give a generator and run nothing: "
            "submit a function that returns a list, as `return list(…)` does"
        )


_shapes: WeakKeyDictionary[Callable[..., Any], CallShape] = WeakKeyDictionary()


def call_shape(function: Callable[..., Any]) -> CallShape:
    """The shape of a callable; anything else is a `TypeError` that names it."""
    try:
        return _shapes[function]
    except (KeyError, TypeError):  # TypeError: not hashable, or no weak references
        pass
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    _refuse_unfinished(function)
    try:
        shape = CallShape(inspect.signature(function), function_name(function))
    except (ValueError, TypeError):
        shape = CallShape(None, "")
    try:
        _shapes[function] = shape
    except TypeError:
        return shape
    return shape
