"""Futures and large values among the arguments that a `functools.partial` brings: they are arguments like any others.

What else a partial brings stays with its function, whose bytes travel once.
"""

import functools
from collections.abc import Callable
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.client.map_future import MapFuture
from scaler.client.mapping import Calls
from scaler.client.objects import ObjectReference, is_large
from scaler.payload.calls import Block
from scaler.payload.keywords import Filled
from scaler.payload.pickling import Lift

#: what is smaller stays with the function, whose bytes fit a frame
HEAVY_BYTES = 1 << 20
_CONTAINERS = frozenset((list, tuple, set, frozenset, dict))


def unwrapped(fn: Callable[..., Any], lift: Lift | None) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function, and the values of a partial that are to be the first arguments of each call: those that are inputs.

    Large values are where the client has `lift` make objects of them.
    """
    if not isinstance(fn, functools.partial):
        return fn, ()
    places: list[int | str] = [place for place, value in enumerate(fn.args) if _is_input(value, lift)]
    places += [name for name, value in fn.keywords.items() if _is_input(value, lift)]
    if not places:
        return fn, ()
    own = tuple(fn.args[place] if isinstance(place, int) else fn.keywords[place] for place in places)
    if len(own) == len(fn.args) and not fn.keywords:
        return fn.func, own
    args = tuple(None if place in places else value for place, value in enumerate(fn.args))
    keywords = {name: value for name, value in fn.keywords.items() if name not in places}
    return Filled(fn.func, args, keywords, tuple(places)), own


def unwrapped_calls(fn: Callable[..., Any], calls: Calls, lift: Lift | None) -> tuple[Callable[..., Any], Calls]:
    """The same for many calls, which have positional arguments alone; large values are looked at once for all."""
    function, own = unwrapped(fn, lift)
    if not own:
        return function, calls
    elements, as_calls = calls
    if lift is not None:
        own = tuple(_once(value, lift) for value in own)
    return function, (elements, lambda drawn: Block([(*own, *call) for call in as_calls(drawn).calls]))


def _once(value: Any, lift: Lift) -> Any:  # Any: the users' values
    """A value, with large ones made objects, also those in containers."""
    kind = type(value)
    if kind in (list, tuple):
        return kind(_once(one, lift) for one in value)
    if kind is dict:
        return {key: _once(one, lift) for key, one in value.items()}
    return lift(value) if is_large(value) else value


def _is_input(value: Any, lift: Lift | None) -> bool:  # Any: as above
    left, seen = [value], set[int]()
    while left:
        one = left.pop()
        if isinstance(one, (ScalerFuture, MapFuture, ObjectReference)):
            return True
        if lift is not None and is_large(one, HEAVY_BYTES):
            return True
        if type(one) in _CONTAINERS and id(one) not in seen:
            seen.add(id(one))
            left += [*one, *one.values()] if isinstance(one, dict) else one
    return False
