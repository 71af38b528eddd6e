"""Futures among the arguments that a `functools.partial` brings: they are arguments of the call like any others."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.client.map_future import MapFuture

_CONTAINERS = frozenset((list, tuple, set, frozenset, dict))


def unwrapped(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The same call, with the own arguments of a partial among the call's if there are futures in them.

    Others stay with the function, whose bytes travel once.
    """
    if isinstance(fn, functools.partial) and _has_futures((*fn.args, *fn.keywords.values())):
        return fn.func, (*fn.args, *args), {**fn.keywords, **kwargs}
    return fn, args, kwargs


def _has_futures(values: Iterable[Any]) -> bool:  # Any: the users' values
    left, seen = list(values), set[int]()
    while left:
        value = left.pop()
        if isinstance(value, (ScalerFuture, MapFuture)):
            return True
        if type(value) in _CONTAINERS and id(value) not in seen:
            seen.add(id(value))
            left += [*value, *value.values()] if isinstance(value, dict) else value
    return False
