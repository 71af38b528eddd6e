"""Who submits a large function over and over is told once what that costs."""

from functools import partial

from scaler.client.heavy import MANY, MOST_COUNTED, HeavyFunctions, is_heavy
from scaler.payload.functions import pickle_function


def look_up(table: bytes, index: int) -> int:
    return table[index]


LARGE = pickle_function(partial(look_up, b"1" * 5_000_000))
SMALL = pickle_function(partial(look_up, b"1" * 5_000))


def test_the_third_submit_of_a_large_function_is_told_and_no_other():
    heavy = HeavyFunctions()
    told = [heavy.submitted(LARGE) for _ in range(2 * MANY)]
    assert [number for number, hint in enumerate(told, 1) if hint] == [MANY]
    assert told[MANY - 1] == (
        "look_up carries 5 MB, which are sent once, but pickled again by every submit: "
        "client.map(look_up, …) pickles them once for all calls"
    )


def test_what_fits_a_frame_is_not_heavy():
    assert is_heavy(LARGE)
    assert not is_heavy(SMALL)


def test_functions_that_differ_are_counted_apart():
    heavy = HeavyFunctions()
    other = pickle_function(partial(look_up, b"2" * 5_000_000))
    assert [heavy.submitted(one) for one in [LARGE, other] * (MANY - 1)] == [None] * (2 * MANY - 2)
    assert heavy.submitted(LARGE)
    assert heavy.submitted(other)


def test_what_is_counted_does_not_grow_without_end():
    heavy = HeavyFunctions()
    for number in range(MOST_COUNTED + 5):
        heavy.submitted(pickle_function(partial(look_up, number.to_bytes(2) * 600_000)))
    assert len(heavy._pickled) == MOST_COUNTED
