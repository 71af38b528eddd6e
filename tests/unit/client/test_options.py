"""What can be said of tasks: each option becomes what travels, and what cannot be meant is told in one line."""

import inspect
import math
from typing import Any

import pytest

from scaler import Client
from scaler.client.options import (
    OPTIONS,
    Defaults,
    batch_options,
    exception_types,
    given_of,
    look_at_ambiguous,
    refuse_ambiguous,
    with_capabilities,
)
from scaler.client.signatures import call_shape
from scaler.protocol import BatchOptions

UNSET = tuple(getattr(Defaults, name) for name in OPTIONS)


def test_without_options_a_task_may_run_again_twice():
    assert batch_options("f", {}) == BatchOptions(name="f", retries=2)
    assert batch_options("f", {}) is batch_options("f", {})


def test_each_option_travels():
    given = {
        "tag": "gpu",
        "resources": {"gpu": 2, "disk": 0.5, "none": 0},
        "priority": -3,
        "retries": 5,
        "retry_delay_s": 0,
        "timeout": 9,
        "name": "step one",
    }
    assert batch_options("f", given) == BatchOptions(
        name="step one",
        tag="gpu",
        resources=(("disk", 0.5), ("gpu", 2.0)),
        priority=-3,
        retries=5,
        retry_delay_s=0.0,
        timeout_s=9.0,
    )


def test_what_is_none_or_empty_asks_for_nothing():
    given = {"tag": None, "resources": None, "timeout": None, "name": None, "retry_on": ()}
    assert batch_options("f", given) == batch_options("f", {})
    assert batch_options("f", {"resources": {}}) == batch_options("f", {})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tag": 5}, "tag must be text, but is 5"),
        ({"name": b"f"}, "name must be text, but is b'f'"),
        ({"resources": ["gpu"]}, "resources must be amounts by name, such as {'gpu': 1}, but is ['gpu']"),
        ({"resources": {"gpu": "2"}}, "the amount of 'gpu' must be a number, but is '2'"),
        ({"resources": {"gpu": True}}, "the amount of 'gpu' must be a number, but is True"),
        ({"resources": {None: 1}}, "the name of a resource must be text, but is 0"),
        ({"priority": 1.5}, "priority must be a whole number, but is 1.5"),
        ({"priority": True}, "priority must be a whole number, but is True"),
        ({"retries": None}, "retries must be a whole number, but is None"),
        ({"retry_delay_s": "1"}, "retry_delay_s must be a number, but is '1'"),
        ({"timeout": [1]}, "timeout must be a number, but is [1]"),
        ({"retires": 3}, "'retires' is no option of tasks: did you mean 'retries'?"),
        ({"colour": 3}, f"'colour' is no option of tasks; there are {', '.join(OPTIONS)}"),
    ],
)
def test_the_wrong_kind_of_thing_is_a_type_error_of_one_line(given: dict[str, Any], text: str):
    with pytest.raises(TypeError) as caught:
        batch_options("f", given)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tag": ""}, "tag must be 1 to 256 printable characters, but is ''"),
        ({"name": "a\nb"}, r"name must be 1 to 256 printable characters, but is 'a\nb'"),
        ({"name": "n" * 257}, "name must be 1 to 256 printable characters, but is 'nnn"),
        ({"resources": {"gpu": -1}}, "the amount of 'gpu' must be 1e-06 to 1e+12, but is -1"),
        ({"resources": {"gpu": math.nan}}, "the amount of 'gpu' must be 1e-06 to 1e+12, but is nan"),
        ({"resources": {"gpu": 1e-9}}, "the amount of 'gpu' must be 1e-06 to 1e+12, but is 1e-09"),
        ({"resources": {f"r{n}": 1 for n in range(65)}}, "resources names 65 amounts, more than 64"),
        ({"priority": 1 << 63}, "priority must be at least -9223372036854775808 and at most 9223372036854775807"),
        ({"retries": -1}, "retries must be at least 0 and at most 2147483648, but is -1"),
        ({"retry_delay_s": -0.1}, "retry_delay_s must be 0 or more seconds, but is -0.1"),
        ({"retry_delay_s": math.inf}, "retry_delay_s must be 0 or more seconds, but is inf"),
        ({"timeout": 0}, "timeout must be more than 0 seconds, but is 0"),
        ({"timeout": math.nan}, "timeout must be more than 0 seconds, but is nan"),
    ],
)
def test_an_amount_that_cannot_be_is_a_value_error_of_one_line(given: dict[str, Any], text: str):
    with pytest.raises(ValueError, match=r"must be|more than") as caught:
        batch_options("f", given)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_retry_on_is_one_exception_class_or_several():
    assert exception_types({}) == ()
    assert exception_types({"retry_on": OSError}) == (OSError,)
    assert exception_types({"retry_on": [OSError, KeyboardInterrupt]}) == (OSError, KeyboardInterrupt)


@pytest.mark.parametrize("wrong", [5, "OSError", int, [OSError, 3], OSError("an instance")])
def test_what_cannot_be_raised_cannot_be_retried_on(wrong: Any):
    with pytest.raises(TypeError, match="retry_on must be exception classes, but is "):
        exception_types({"retry_on": wrong})


# ---- what was given


def test_an_option_counts_as_given_even_with_the_value_that_holds_anyway():
    assert given_of(*UNSET) == {}
    assert given_of(None, *UNSET[1:-2], 5, "f") == {"tag": None, "timeout": 5, "name": "f"}


def test_the_signature_shows_each_option_with_what_holds_without_it():
    shown = str(inspect.signature(Client.submit))
    for text in (
        "tag: str | None = None",
        "resources: collections.abc.Mapping[str, float] | None = None",
        "priority: int = 0",
        "retries: int = 2",
        "= ()",
        "retry_delay_s: float = 1.0",
        "timeout: float | None = None",
        "name: str | None = None",
    ):
        assert text in shown


def named(x: int, /, name: str, *rest: int, timeout: int = 30, **others: int) -> object:
    return x, name, rest, timeout, others


def test_an_option_the_function_has_a_parameter_for_is_refused_with_the_way_out():
    names = call_shape(named).names
    assert names == {"name", "timeout"}
    refuse_ambiguous("named", names, {"retries": 1})
    with pytest.raises(TypeError) as caught:
        refuse_ambiguous("named", names, {"timeout": None})
    assert str(caught.value) == (
        "named has a parameter of its own called 'timeout', and submit has an option of that name: say which is meant "
        "with submit_verbose(named, args, kwargs, …), where kwargs are the function's and keywords behind are options"
    )


def fetch(**keywords: Any) -> dict[str, Any]:
    return keywords


def test_an_option_that_a_function_of_any_keywords_may_have_meant_is_told_once():
    with pytest.warns(UserWarning, match=r"fetch .*, but name and timeout went to submit, .* submit_verbose\(fetch"):
        look_at_ambiguous(fetch, {"name": "AAPL", "timeout": 5})
    look_at_ambiguous(fetch, {"name": "AAPL"})  # a warning would fail the test


def test_options_that_functions_seldom_have_are_told_of_by_nobody():
    def other(**_: Any) -> None: ...

    look_at_ambiguous(other, {"retries": 1, "priority": 2})  # a warning would fail the test


# ---- Scaler's capabilities


def test_of_capabilities_amounts_are_resources_and_a_flag_is_the_tag():
    assert with_capabilities({}, None) == {}
    assert with_capabilities({"retries": 1}, {}) == {"retries": 1}
    assert with_capabilities({}, {"gpu": 1}) == {"tag": None, "resources": {"gpu": 1}}
    assert with_capabilities({"resources": {"disk": 2}}, {"linux": -1, "gpu": 0.5}) == {
        "tag": "linux",
        "resources": {"disk": 2, "gpu": 0.5},
    }
    assert with_capabilities({"tag": "linux"}, {"linux": None}) == {"tag": "linux", "resources": {}}


def test_several_flags_are_more_than_a_task_can_have():
    with pytest.raises(ValueError, match="a task has one tag, and these are several: 'linux', 'fast'"):
        with_capabilities({}, {"linux": -1, "fast": None})
