"""Futures and large values among the arguments that a `functools.partial` brings: they are arguments like any others.

What else a partial brings stays with its function, whose bytes travel once.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.client.map_future import MapFuture
from scaler.client.mapping import Calls
from scaler.client.objects import ObjectReference, is_large
from scaler.payload.calls import Block
from scaler.payload.keywords import Keyworded
from scaler.payload.pickling import Lift

#: what is smaller stays with the function, whose bytes fit a frame
HEAVY_BYTES = 1 << 20
_CONTAINERS = frozenset((list, tuple, set, frozenset, dict))


def unwrapped(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], lift: Lift | None
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The same call, with the own arguments of a partial among the call's if any of them is an input of tasks.

    Large values are where the client has `lift` make objects of them.
    """
    if isinstance(fn, functools.partial) and _have_inputs((*fn.args, *fn.keywords.values()), lift):
        return fn.func, (*fn.args, *args), {**fn.keywords, **kwargs}
    return fn, args, kwargs


def unwrapped_calls(fn: Callable[..., Any], calls: Calls, lift: Lift | None) -> tuple[Callable[..., Any], Calls]:
    """The same for many calls, which have positional arguments alone; large values are looked at once for all."""
    if not isinstance(fn, functools.partial) or not _have_inputs((*fn.args, *fn.keywords.values()), lift):
        return fn, calls
    elements, as_calls = calls
    own = tuple(_once(value, lift) for value in (*fn.keywords.values(), *fn.args))
    function = Keyworded(fn.func, tuple(fn.keywords)) if fn.keywords else fn.func
    return function, (elements, lambda drawn: Block([(*own, *call) for call in as_calls(drawn).calls]))


def _once(value: Any, lift: Lift | None) -> Any:  # Any: the users' values
    return lift(value) if lift is not None and is_large(value, HEAVY_BYTES) else value


def _have_inputs(values: Iterable[Any], lift: Lift | None) -> bool:  # Any: the users' values
    left, seen = list(values), set[int]()
    while left:
        value = left.pop()
        if isinstance(value, (ScalerFuture, MapFuture, ObjectReference)) or (
            lift is not None and is_large(value, HEAVY_BYTES)
        ):
            return True
        if type(value) in _CONTAINERS and id(value) not in seen:
            seen.add(id(value))
            left += [*value, *value.values()] if isinstance(value, dict) else value
    return False
