"""How `map` reads its iterables: which element is an argument list and which a single argument."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from scaler.client.signatures import CallShape

Call = tuple[Any, ...]

_BLOCK = 2048


def calls_of(shape: CallShape, iterables: tuple[Iterable[Any], ...]) -> Iterator[Call]:
    """The argument lists of `map(fn, *iterables)`.

    With one iterable, an element that is exactly a `tuple` is the argument list and any other the single argument;
    several are zipped. A call that does not fit the function is a `TypeError` before it is sent.
    """
    if not iterables:
        raise TypeError("map needs at least one iterable of arguments")
    if len(iterables) == 1:
        blocks = (_unpack(block) for block in _blocks(iterables[0]))
    else:
        blocks = _blocks(zip(*iterables, strict=False))
    return chain.from_iterable(_checked(shape, block) for block in blocks)


def starred_calls_of(
    shape: CallShape, iterable: Iterable[Iterable[Any]]
) -> Iterator[Call]:
    """The argument lists of `starmap(fn, iterable)`: each element is one."""
    return chain.from_iterable(
        _checked(shape, [tuple(args) for args in block]) for block in _blocks(iterable)
    )


def _blocks(iterable: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(iterable)
    while block := list(islice(iterator, _BLOCK)):
        yield block


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
