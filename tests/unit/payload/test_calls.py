import enum
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from scaler.errors import SerializationError, StoreFullError
from scaler.payload import calls as calls_module
from scaler.payload.calls import (
    MAX_COLUMN_CALLS,
    Call,
    columns,
    joined_column,
    load_call,
    pickle_call,
    single_column,
)
from scaler.protocol.columns import MAX_FRAME_BYTES, ArgumentColumn, words


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.Enum):
    RED = 1


@dataclass
class Box:
    content: Any


def calls_in(column: ArgumentColumn) -> list[tuple[Call, dict[str, Any]]]:
    """The calls of a column, read as a worker reads them."""
    data = b"".join(column.data)
    offsets = words(column.offsets).tolist()
    assert offsets[-1] == len(data)
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in column.frames())
    assert ArgumentColumn.from_frames(column.lo, column.count, column.frames()) == column
    return [load_call(data[start:end]) for start, end in pairwise(offsets)]


def sent(calls: list[Call]) -> list[Call]:
    """The calls as workers get them; the columns must follow each other without a gap."""
    arrived: list[Call] = []
    for column, _ in columns(calls, 7):
        assert column.lo == 7 + len(arrived)
        for args, kwargs in calls_in(column):
            assert kwargs == {}
            arrived.append(args)
    return arrived


VALUES = [0, -1, 2**80, 1.5, float("inf"), True, None, "ä\ud800", b"\x00" * 300, 3 + 4j, "", ()]
OBJECTS = [[1, [2]], {"a": {1}}, Point(1, 2), Colour.RED, Box([1]), (1, (2,)), frozenset((1,)), bytearray(b"x"), int]


@pytest.mark.parametrize("values", [VALUES, OBJECTS, [*VALUES, *OBJECTS], [*OBJECTS, *VALUES] * 40])
def test_what_is_drawn_is_what_arrives(values: list[Any]):
    calls = [(value,) for value in values] + [(value, 1, value) for value in values]
    assert sent(calls) == calls


def test_plain_and_general_calls_have_the_same_bytes():
    for args in [(), (1,), (1.5, "x", None, b"y", True)]:
        assert pickle_call(args) == pickle.dumps(args, 5)
    assert pickle_call(([1, 2], {"a": Point(1, 2)})) == pickle.dumps(([1, 2], {"a": Point(1, 2)}), 5)


def test_calls_without_arguments_fit_their_offsets_into_a_frame():
    assert sent([()] * (MAX_COLUMN_CALLS * 2)) == [()] * (MAX_COLUMN_CALLS * 2)


def test_keywords_travel_behind_the_arguments():
    args, kwargs = load_call(pickle_call((1, [2]), {"key": 3, "other": {"a": 4}}))
    assert (args, kwargs) == ((1, [2]), {"key": 3, "other": {"a": 4}})
    assert load_call(pickle_call((), {"key": 3})) == ((), {"key": 3})
    assert load_call(pickle_call((1,), {})) == ((1,), {})


def test_a_call_can_be_read_from_a_view():
    assert load_call(memoryview(pickle_call((1, "x")))) == ((1, "x"), {})


def test_an_argument_that_is_an_exact_list_is_no_keyword_call():
    assert load_call(pickle_call(([(1,), {"a": 2}],))) == (([(1,), {"a": 2}],), {})


def test_functions_lambdas_and_local_instances_are_arguments_like_others():
    class Local:
        def __init__(self, x: int) -> None:
            self.x = x

    offset = 10
    (function, instance, kind), _ = load_call(pickle_call((lambda x: x + offset, Local(3), Local)))
    assert (function(1), instance.x, kind is Local) == (11, 3, True)


def test_a_mutated_argument_is_sent_as_it_was_at_the_call():
    argument = [1]
    first = pickle_call((argument,))
    argument.append(2)
    second = pickle_call((argument,))
    assert [load_call(data)[0][0] for data in (first, second)] == [[1], [1, 2]]


def test_a_list_that_a_generator_uses_again_is_sent_as_it_was_when_drawn():
    def reused() -> Iterator[Call]:
        shared = [0]
        for number in range(100):
            shared[0] = number
            yield (shared,)

    assert sent(list(reused())) == [([99],)] * 100
    arrived = [args[0][0] for column, _ in columns(reused(), 0) for args, _ in calls_in(column)]
    assert arrived == list(range(100))


def test_the_first_column_is_small_and_the_later_ones_grow():
    sizes = [
        (column.count, len(column.data[0])) for column, _ in columns([("x" * 100,)] * 40_000, 0, clock=lambda: 0.0)
    ]
    assert sizes[0][0] < 100
    assert [size for _, size in sizes[:-1]] == sorted(size for _, size in sizes[:-1])
    assert max(size for _, size in sizes) > MAX_FRAME_BYTES // 2
    assert len(sizes) < 15


def test_an_endless_iterable_is_drawn_only_as_far_as_columns_are_asked_for():
    drawn = 0

    def endless() -> Iterator[Call]:
        nonlocal drawn
        while True:
            drawn += 1
            yield (drawn,)

    first, _ = next(columns(endless(), 0))
    assert drawn == first.count


def test_what_was_drawn_slowly_goes_at_once():
    now = 0.0

    def slow() -> Iterator[Call]:
        nonlocal now
        for number in range(50):
            now += 0.1
            yield (number,)

    assert [column.count for column, _ in columns(slow(), 0, clock=lambda: now)] == [1] * 50


def test_the_time_the_caller_takes_is_not_the_iterables():
    now = [0.0]
    counts = []
    for column, _ in columns(((number,) for number in range(5000)), 0, clock=lambda: now[0]):
        counts.append(column.count)
        now[0] += 100.0
    assert len(counts) < 5


def test_a_slow_iterable_is_drawn_in_small_blocks():
    now, drawn, most = 0.0, 0, 0

    def slow() -> Iterator[Call]:
        nonlocal now, drawn
        for number in range(3000):
            now += 0.001
            drawn += 1
            yield (number,)

    for column, _ in columns(slow(), 0, clock=lambda: now):
        most = max(most, drawn - column.hi)
    assert most < 32


def test_large_values_are_not_gathered_in_numbers():
    held = most = 0

    def large() -> Iterator[Call]:
        nonlocal held
        for _ in range(64):
            held += 1
            yield (bytes(MAX_FRAME_BYTES // 4),)

    for column, _ in columns(large(), 0):
        most = max(most, held - column.hi)
    assert most <= 4


def test_a_call_larger_than_a_frame_has_a_column_of_its_own():
    big = bytes(MAX_FRAME_BYTES * 2)
    got = [column for column, _ in columns([(1,), (2,), (big,), (3,), (big, big)], 0)]
    assert [(column.lo, column.count) for column in got if len(column.data) > 1] == [(2, 1), (4, 1)]
    assert [args for column in got for args, _ in calls_in(column)] == [(1,), (2,), (big,), (3,), (big, big)]


def test_columns_of_no_calls_are_none():
    assert list(columns([], 0)) == []


def test_one_call_makes_a_column_of_one():
    data = pickle_call((1,))
    assert single_column(3, data) == joined_column(3, [data])
    assert calls_in(single_column(3, data)) == [((1,), {})]


def test_a_column_is_cut_where_the_calls_are():
    column = joined_column(5, [pickle_call((number, "x" * number)) for number in range(20)])
    assert [args[0] for args, _ in calls_in_slice(column, 8, 11)] == [3, 4, 5]


def calls_in_slice(column: ArgumentColumn, lo: int, hi: int) -> list[tuple[Call, dict[str, Any]]]:
    cut = column.slice(lo, hi)
    offsets = words(cut.offsets).tolist()
    data = memoryview(cut.data[0])
    return [load_call(data[a - offsets[0] : b - offsets[0]]) for a, b in pairwise(offsets)]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1, threading.Lock()), {}, "argument 1: cannot pickle '_thread.lock' object"),
        ((Box({"a": [Box(threading.Lock())]}),), {}, "argument 0.content['a'][0].content: cannot pickle"),
        ((), {"key": [threading.Lock()]}, "key[0]: cannot pickle '_thread.lock' object"),
        (({threading.Lock()},), {}, "argument 0's element <unlocked _th"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named(args: Call, kwargs: dict[str, Any], text: str):
    with pytest.raises(SerializationError) as raised:
        pickle_call(args, kwargs)
    assert str(raised.value).startswith(f"the call cannot be sent: {text}")


def test_a_bad_element_of_a_map_comes_after_the_good_ones_before_it():
    stream = columns(iter([(1,), (2,), (threading.Lock(),)]), 0)
    with pytest.raises(SerializationError, match=r"argument 0: cannot pickle '_thread\.lock' object"):
        list(stream)


def test_a_deeply_nested_argument_is_refused_not_fatal():
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match="recursion"):
        pickle_call((nested,))


def test_pickling_within_pickling_is_safe():
    class Nested:
        def __reduce__(self) -> tuple[Any, ...]:
            return pickle.loads, (pickle_call(([1, 2],)),)

    assert load_call(pickle_call((Nested(), [3])))[0] == (([1, 2],), [3])


def test_of_many_calls_the_one_that_cannot_be_pickled_is_named():
    drawn = columns([(number, None if number < 40 else threading.Lock()) for number in range(100)], 7)
    with pytest.raises(SerializationError, match=r"^element 47: the call cannot be sent: argument 1: cannot pickle"):
        list(drawn)


def test_where_there_is_no_room_for_a_value_what_comes_before_it_is_given_and_it_may_be_asked_for_again():
    room = 2

    def lift(value: Any) -> None:
        if type(value) is Fraction and value >= room:
            raise StoreFullError("there is no room")

    drawn = columns([(Fraction(number),) for number in range(5)], 0, clock=lambda: 0.0, lift=lift)
    assert calls_in(next(drawn)[0]) == [((0,), {}), ((1,), {})]
    for _ in range(2):
        with pytest.raises(StoreFullError):
            next(drawn)
    room = 5
    assert [call for column, _ in drawn for call in calls_in(column)] == [((number,), {}) for number in (2, 3, 4)]


def test_threads_pickle_side_by_side():
    wrong = []

    def many(number: int) -> None:
        for turn in range(300):
            value = {"thread": number, "turn": [turn] * number}
            if load_call(pickle_call((value,)))[0] != (value,):
                wrong.append(value)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pickler_used_again_remembers_nothing():
    shared = [1]
    first, second = pickle_call((shared, shared)), pickle_call((shared, shared))
    assert first == second
    with pytest.raises(SerializationError):
        pickle_call((shared, threading.Lock()))
    assert pickle_call((shared, shared)) == first


# ---- what is too large for one message


@pytest.mark.parametrize("large", [bytes(1000), [bytes(1000)]])
def test_a_call_that_no_message_has_room_for_is_refused_where_it_is_made(large: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls_module, "MAX_VALUE_BYTES", 1000)
    assert load_call(pickle_call((bytes(900),))) == ((bytes(900),), {})
    for make in (lambda: pickle_call((large,)), lambda: pickle_call((), {"data": large})):
        with pytest.raises(
            SerializationError, match=r"the call has 1,0\d\d bytes when pickled: no more than .* in parts"
        ):
            make()
    with pytest.raises(SerializationError, match="element 9: the call has"):
        list(columns([(1,), (bytes(900),), (large,)], 7))
    assert len(list(columns([(bytes(900),), (bytes(900),)], 7))) == 1
