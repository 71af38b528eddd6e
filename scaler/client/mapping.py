"""How `map` reads its iterables: which element is an argument list and which a single argument."""

from collections.abc import Callable, Iterable
from typing import Any

from scaler.client.signatures import CallShape

Call = tuple[Any, ...]
#: elements, and what makes calls of a list of them that was just drawn
Calls = tuple[Iterable[Any], Callable[[list[Any]], list[Call]]]


def calls_of(shape: CallShape, iterables: tuple[Iterable[Any], ...]) -> Calls:
    """The argument lists of `map(fn, *iterables)`.

    With one iterable, an element that is exactly a `tuple` is the argument list and any other the single argument;
    several are zipped. A call that does not fit the function is a `TypeError` before it is sent.
    """
    if not iterables:
        raise TypeError("map needs at least one iterable of arguments")
    if len(iterables) == 1:
        return iterables[0], lambda block: _checked(shape, _unpack(block))
    return zip(*iterables, strict=False), lambda block: _checked(shape, block)


def starred_calls_of(shape: CallShape, iterable: Iterable[Iterable[Any]]) -> Calls:
    """The argument lists of `starmap(fn, iterable)`: each element is one, taken as it is when it is drawn."""
    return map(tuple, iterable), lambda block: _checked(shape, block)


def _unpack(block: list[Any]) -> list[Call]:
    types = set(map(type, block))
    if tuple not in types:
        return list(zip(block, strict=True))
    if len(types) == 1:
        return block
    return [element if type(element) is tuple else (element,) for element in block]


def _checked(shape: CallShape, block: list[Call]) -> list[Call]:
    lengths = set(map(len, block))
    if min(lengths) >= shape.least and max(lengths) <= shape.most:
        return block
    for call in block:
        try:
            shape.check(call, {})
        except TypeError as error:
            raise TypeError(
                f"{error}: the call was made with {len(call)} positional arguments; map takes an element that is a "
                "tuple as the argument list, so wrap a tuple that is one argument: [(t,) for t in …]"
            ) from None
    return block
