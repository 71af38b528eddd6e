import math
import operator
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from scaler.client.signatures import UNBOUNDED, call_shape


class Adder:
    def __init__(self, x: int) -> None:
        self.x = x

    def add(self, y: int) -> int:
        return self.x + y

    def __call__(self, y: int, *, scale: int = 1) -> int:
        return (self.x + y) * scale


class Unhashable(Adder):
    __hash__ = None  # type: ignore[assignment]  # the point of it

    def __eq__(self, other: object) -> bool:
        return self is other


class Slotted:
    """One of which no weak reference can be held."""

    __slots__ = ()

    def __call__(self, x: int) -> int:
        return x


def optional(a: Any, b: Any = 0, /, c: Any = 0, *, d: Any = 0, **_rest: Any) -> Any:
    return a, b, c, d


def many(a: Any, *rest: Any) -> Any:
    return a, rest


def keyword(a: Any, *, must: Any) -> Any:
    return a, must


@pytest.mark.parametrize(
    ("function", "least", "most"),
    [
        (lambda: None, 0, 0),
        (optional, 1, 3),
        (many, 1, UNBOUNDED),
        (keyword, 0, -1),
        (Adder, 1, 1),
        (Adder(1).add, 1, 1),
        (Adder(1), 1, 1),
        (Unhashable(1), 1, 1),
        (Slotted(), 1, 1),
        (partial(optional, 1), 0, 2),
        (math.sqrt, 1, 1),
        (operator.add, 2, 2),
        (max, 0, UNBOUNDED),  # has no signature: the worker judges
        (type, 0, UNBOUNDED),
        (print, 0, UNBOUNDED),
    ],
)
def test_how_many_positional_arguments_fit(function: Callable[..., Any], least: int, most: int):
    shape = call_shape(function)
    assert (shape.least, shape.most) == (least, most)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (optional, (1,), {}),
        (optional, (1, 2, 3), {"d": 4, "e": 5}),
        (many, tuple(range(1000)), {}),
        (keyword, (1,), {"must": 2}),
        (keyword, (), {"a": 1, "must": 2}),
        (math.sqrt, (4,), {}),
        (max, (), {"whatever": 1}),
    ],
)
def test_calls_that_fit_pass(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
    call_shape(function).check(args, kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "text"),
    [
        (optional, (), {}, "missing a required argument: 'a'"),
        (optional, (1, 2, 3, 4), {}, "too many positional arguments"),
        (many, (), {}, "missing a required argument: 'a'"),
        (many, (1,), {"b": 2}, "got an unexpected keyword argument 'b'"),
        (keyword, (1,), {}, "missing a required( keyword-only)? argument: 'must'"),
        (keyword, (1,), {"a": 1, "must": 2}, "multiple values for argument 'a'"),
        (math.sqrt, (1, 2), {}, "too many positional arguments"),
    ],
)
def test_calls_that_do_not_fit_are_type_errors_in_pythons_words(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], text: str
):
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\): .*{text}"):
        call_shape(function).check(args, kwargs)


@pytest.mark.parametrize("thing", [5, "text", None, [len]])
def test_what_cannot_be_called_is_named(thing: Any):
    with pytest.raises(TypeError, match="is not callable") as raised:
        call_shape(thing)
    assert repr(thing) in str(raised.value)


def test_a_function_is_looked_at_once_and_not_kept_alive():
    def function() -> None:
        return

    assert call_shape(function) is call_shape(function)
    remembered = weakref.ref(function)
    del function
    assert remembered() is None


async def awaited(x: int) -> int:
    return x


def numbered(x: int) -> Iterator[int]:
    yield x


async def streamed(x: int) -> AsyncIterator[int]:
    yield x


@pytest.mark.parametrize("function", [awaited, partial(awaited, 1)])
def test_an_async_function_is_refused_with_what_to_submit_instead(function: Callable[..., Any]):
    with pytest.raises(TypeError, match=r"submit lambda \*args: asyncio.run\(awaited\(\*args\)\)"):
        call_shape(function)


@pytest.mark.parametrize("function", [numbered, streamed])
def test_a_generator_function_is_refused_with_what_to_return_instead(function: Callable[..., Any]):
    with pytest.raises(TypeError, match=r"is a generator function, .* `return list\(…\)`"):
        call_shape(function)
