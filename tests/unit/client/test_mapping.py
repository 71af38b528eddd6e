from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from scaler.client.mapping import Calls, calls_of, starred_calls_of
from scaler.client.signatures import call_shape
from scaler.payload.calls import columns, load_call
from scaler.protocol.columns import words


class Pair(NamedTuple):
    x: int
    y: int


def one(x: Any) -> Any:
    return x


def two(x: Any, y: Any) -> Any:
    return x, y


def sent(calls: Calls) -> list[tuple[Any, ...]]:
    """The argument lists as workers get them."""
    arrived = []
    for column, _ in columns(calls[0], 0, calls[1]):
        bounds = words(column.offsets).tolist()
        data = b"".join(column.data)
        arrived += [load_call(data[start:end])[0] for start, end in pairwise(bounds)]
    return arrived


def test_an_element_is_the_single_argument_unless_it_is_a_tuple():
    assert sent(calls_of(call_shape(one), ([1, "x", [2], (3,)],))) == [(1,), ("x",), ([2],), (3,)]
    assert sent(calls_of(call_shape(two), ([(1, 2), (3, 4)],))) == [(1, 2), (3, 4)]
    assert sent(calls_of(call_shape(one), ([Pair(1, 2)],))) == [(Pair(1, 2),)]


def test_several_iterables_are_zipped_to_the_shortest():
    assert sent(calls_of(call_shape(two), ([1, 2, 3], "ab"))) == [(1, "a"), (2, "b")]


def test_starmap_takes_every_element_for_an_argument_list():
    assert sent(starred_calls_of(call_shape(two), [[1, 2], "ab", (3, 4)])) == [(1, 2), ("a", "b"), (3, 4)]


@pytest.mark.parametrize("make", [lambda shape, lists: calls_of(shape, (lists,)), starred_calls_of])
def test_a_list_that_a_generator_uses_again_is_sent_as_it_was_when_drawn(make: Any):
    def reused() -> Iterator[list[int]]:
        shared = [0]
        for number in range(100):
            shared[0] = number
            yield shared

    arrived = [call[0] if isinstance(call[0], int) else call[0][0] for call in sent(make(call_shape(one), reused()))]
    assert arrived == list(range(100))


@pytest.mark.parametrize(
    ("elements", "text"),
    [([(1, 2)], "too many positional arguments"), ([1, 2, ()], "missing a required argument: 'x'")],
)
def test_a_call_that_does_not_fit_is_told_before_it_is_sent(elements: list[Any], text: str):
    with pytest.raises(TypeError, match=text) as raised:
        sent(calls_of(call_shape(one), (elements,)))
    assert "[(t,) for t in …]" in str(raised.value)


def keyword(a: Any, *, must: Any) -> Any:
    return a, must


@pytest.mark.parametrize(
    "calls",
    [
        calls_of(call_shape(keyword), ([1],)),
        calls_of(call_shape(one), ([1], [2])),
        starred_calls_of(call_shape(one), [(1, 2)]),
    ],
)
def test_only_where_an_element_was_a_tuple_is_it_said_how_to_wrap_one(calls: Calls):
    with pytest.raises(TypeError, match=r"the call was made with [12] positional arguments$"):
        sent(calls)


def test_map_without_an_iterable_is_refused():
    with pytest.raises(TypeError, match="at least one iterable"):
        calls_of(call_shape(one), ())
