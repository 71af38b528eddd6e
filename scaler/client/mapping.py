"""How `map` reads its iterables: which element is an argument list and which a single argument."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scaler.client.signatures import CallShape
from scaler.payload.calls import Block, Call
from scaler.payload.custom import Carrier, Sealed

#: elements, and what makes calls of a list of them that was just drawn
Calls = tuple[Iterable[Any], Callable[[list[Any]], Block]]

_WRAP_IT = (
    "; map takes an element that is a tuple as the argument list, so wrap a tuple that is one argument: "
    "[(t,) for t in …]"
)


def carried_calls(calls: Calls, carrier: Carrier) -> Calls:
    """The same calls, their arguments made by a serializer of the user's own, each when it is pickled."""
    elements, as_calls = calls
    return elements, lambda drawn: Block(map(carrier.values, as_calls(drawn).calls), {Sealed})


def calls_of(shape: CallShape, iterables: tuple[Iterable[Any], ...]) -> Calls:
    """The argument lists of `map(fn, *iterables)`.

    With one iterable, an element that is exactly a `tuple` is the argument list and any other the single argument;
    several are zipped. A call that does not fit the function is a `TypeError` before it is sent.
    """
    if not iterables:
        raise TypeError("map needs at least one iterable of arguments")
    if len(iterables) == 1:
        return iterables[0], lambda drawn: _unpacked(shape, drawn)
    return zip(*iterables, strict=False), lambda drawn: Block(_checked(shape, drawn))


def starred_calls_of(shape: CallShape, iterable: Iterable[Iterable[Any]]) -> Calls:
    """The argument lists of `starmap(fn, iterable)`: each element is one, taken as it is when it is drawn."""
    return map(tuple, iterable), lambda drawn: Block(_checked(shape, drawn))


def _unpacked(shape: CallShape, drawn: list[Any]) -> Block:
    types = set(map(type, drawn))
    if tuple not in types:
        _check_lengths(shape, 1, 1, [(drawn[0],)], drawn)
        return Block(list(zip(drawn, strict=True)), types)
    if len(types) == 1:
        return Block(_checked(shape, drawn, drawn))
    calls = [element if type(element) is tuple else (element,) for element in drawn]
    return Block(_checked(shape, calls, drawn))


def _checked(shape: CallShape, calls: list[Call], elements: Sequence[Any] = ()) -> list[Call]:
    lengths = set(map(len, calls))
    _check_lengths(shape, min(lengths), max(lengths), calls, elements)
    return calls


def _check_lengths(shape: CallShape, shortest: int, longest: int, calls: list[Call], elements: Sequence[Any]) -> None:
    """`TypeError` for the first of the calls that does not fit, whose numbers of arguments are between these.

    `elements` are what `map` was given in the place of these calls, where it decides itself what is a call.
    """
    if shortest >= shape.least and longest <= shape.most:
        return
    for index, call in enumerate(calls):
        try:
            shape.check(call, {})
        except TypeError as error:
            hint = _WRAP_IT if elements and type(elements[index]) is tuple else ""
            raise TypeError(f"{error}: the call was made with {len(call)} positional arguments{hint}") from None
