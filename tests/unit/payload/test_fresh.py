"""Functions that bring values of their own: each call has these as they were sent, and all others are opened once."""

import enum
import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scaler.errors import DeserializeObjectError
from scaler.payload.fresh import MOST_BYTES, has_state
from scaler.payload.functions import Retried, load_function, pickle_function


class Colour(enum.Enum):
    RED = 1


class Counter:
    def __init__(self, begin: Any = 0) -> None:
        self.count = begin

    def add(self, step: int = 1) -> int:
        self.count += step
        return int(self.count)

    def __call__(self, step: int = 1) -> int:
        return self.add(step)

    @classmethod
    def make(cls) -> "Counter":
        return cls()


def walk(position: Any, step: int) -> float:
    position += step
    return float(position[0])


def put(into: list[int], value: int) -> list[int]:
    into.append(value)
    return into


def sent(function: Callable[..., Any], *retry_on: type[BaseException]) -> Any:
    return load_function(pickle_function(function, retry_on).frames)


@pytest.mark.parametrize(
    ("function", "argument", "value"),
    [
        (functools.partial(walk, np.zeros(4)), 1, 1.0),
        (functools.partial(functools.partial(put, []), value=3), None, [3]),
        (Counter().add, 2, 2),
        (Counter(), 2, 2),
        (functools.partial(Counter(5)), 1, 6),
        (functools.partial(put, *([0],)), 1, [0, 1]),
    ],
)
def test_each_call_has_what_was_sent(function: Callable[..., Any], argument: Any, value: Any):
    copy = sent(function)
    call = copy if argument is None else functools.partial(copy, argument)
    assert [call(), call(), call()] == [value] * 3
    retried = sent(function, OSError)
    assert isinstance(retried, Retried)
    call = retried.function if argument is None else functools.partial(retried.function, argument)
    assert [call(), call()] == [value] * 2


@pytest.mark.parametrize(
    "function",
    [
        abs,
        walk,
        lambda: 1,
        np.add,
        np.float64(1).__add__,
        operator.itemgetter(1),
        functools.partial(put, value=3),
        functools.partial(walk, 1.0, step=(1, "a", Colour.RED)),
        functools.partial(walk, np.float32(1), abs),
        functools.lru_cache(walk),
        Counter,
        Counter.make,
        functools.partial(functools.partial(int, "7"), base=8),
    ],
)
def test_what_nobody_can_change_is_opened_once(function: Callable[..., Any]):
    assert not has_state(function)


def test_what_is_too_large_is_opened_once():
    copy = sent(functools.partial(walk, np.zeros(MOST_BYTES // 8 + 1)))
    assert [copy(1), copy(1)] == [1.0, 2.0]


LARGE = Counter(np.zeros(MOST_BYTES // 8))


@pytest.mark.parametrize(
    ("function", "shared"),
    [
        (LARGE.add, "the Counter that it is called on"),
        (LARGE, "the Counter that is called"),
        (functools.partial(put, [bytes(MOST_BYTES)]), "what its partial brings"),
        (functools.partial(len, bytes(MOST_BYTES)), ""),
        (lambda: LARGE, ""),
        (Counter(np.zeros(MOST_BYTES // 16)).add, ""),
        (Counter("x" * (MOST_BYTES - 200)).add, ""),
    ],
)
def test_what_is_too_large_and_calls_may_change_is_named(function: Callable[..., Any], shared: str):
    assert pickle_function(function).shared == shared
    assert pickle_function(function, (OSError,)).shared == shared


def _cannot_be_opened() -> Any:
    raise OSError("not here")


class Shut:
    def __reduce__(self) -> Any:
        return _cannot_be_opened, ()

    def __call__(self) -> None:
        """Nobody comes so far."""


def test_what_cannot_be_opened_is_told_of_the_function():
    with pytest.raises(DeserializeObjectError, match="the function"):
        sent(functools.partial(Shut()))
