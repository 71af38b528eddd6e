"""Partials: what is an input of tasks goes with each call, what is not stays with the function."""

import functools
from typing import Any

import numpy as np

from scaler.client.partials import HEAVY_BYTES, unwrapped, unwrapped_calls
from scaler.payload.calls import Block
from scaler.payload.functions import function_name, load_function, pickle_function
from scaler.payload.keywords import Filled

HEAVY = b"h" * (HEAVY_BYTES + 1)
LIGHT = {"a": 1}


def told(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


class Lifting:
    """Makes objects of values, and counts how often it is asked."""

    def __init__(self) -> None:
        self.lifted: list[Any] = []

    def __call__(self, value: Any) -> Any:
        self.lifted.append(value)
        return ("lifted", len(value))


def through(function: Any) -> Any:
    return load_function(pickle_function(function).frames)


def test_what_is_no_partial_or_brings_nothing_heavy_stays_as_it_is():
    for function in (told, functools.partial(told, LIGHT, b"small"), functools.partial(told, a=LIGHT)):
        assert unwrapped(function, Lifting()) == (function, ())
    heavy = functools.partial(told, HEAVY)
    assert unwrapped(heavy, None) == (heavy, ())


def test_one_all_of_whose_values_are_inputs_is_its_function():
    assert unwrapped(functools.partial(told, HEAVY, [HEAVY]), Lifting()) == (told, (HEAVY, [HEAVY]))


def test_of_others_what_is_light_stays_with_the_function():
    function, own = unwrapped(functools.partial(told, LIGHT, HEAVY, 3, a=HEAVY, b=4), Lifting())
    assert own == (HEAVY, HEAVY)
    assert isinstance(function, Filled)
    assert function_name(function) == "told"
    for made in (function, through(function)):
        assert made("x", "y", 5, c=6) == ((LIGHT, "x", 3, 5), {"b": 4, "a": "y", "c": 6})
        assert made("x", "y", a=7, b=8) == ((LIGHT, "x", 3), {"a": 7, "b": 8})
    assert len(pickle_function(function).frames) == 1


def test_a_map_looks_at_what_a_partial_brings_once_also_within_containers():
    array = np.zeros(HEAVY_BYTES + 1, dtype="u1")
    lifting = Lifting()
    elements = [1, 2, 3]
    heavy = functools.partial(told, {"x": [array, 1]}, LIGHT)
    function, (drawn_from, as_calls) = unwrapped_calls(
        heavy, (elements, lambda drawn: Block([(one,) for one in drawn])), lifting
    )
    assert drawn_from is elements
    made = [function(*call) for call in as_calls(elements).calls]
    expected = ({"x": [("lifted", len(array)), 1]}, LIGHT)
    assert made == [((*expected, one), {}) for one in elements]
    assert len(lifting.lifted) == 1
