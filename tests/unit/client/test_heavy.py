"""Who submits much over and over is told once what that costs, and what would cost less."""

from functools import partial

import pytest

from scaler.client.heavy import MANY, MOST_COUNTED, HeavyCalls
from scaler.client.objects import Uploaded
from scaler.ids import Incarnation, ObjectId
from scaler.payload.functions import PickledFunction, pickle_function


def look_up(table: bytes, index: int) -> int:
    return table[index]


LARGE = pickle_function(partial(look_up, b"1" * 5_000_000))
SMALL = pickle_function(partial(look_up, b"1" * 5_000))


class Life:
    """Of an object that lies nowhere."""

    def __init__(self, n: int, size_bytes: int) -> None:
        self.name = ObjectId(Incarnation(1), n)
        self.stored = self
        self.size_bytes = size_bytes


def uploaded(n: int = 1, size_bytes: int = 5_000_000, *, is_lifted: bool = True) -> Uploaded:
    return Uploaded(Life(n, size_bytes), is_lifted=is_lifted)  # type: ignore[arg-type]  # all that is looked at


OF_A_FUNCTION = (
    "look_up carries 5 MB, which are sent once, but pickled again by every submit: client.map(look_up, …) pickles them "
    "once for all calls"
)
OF_CALLS = (
    "each call of look_up carries 5 MB: what calls have in common is sent once by client.send_object(…), whose result "
    "is passed in its place"
)
OF_A_FUNCTION_IN_A_GRAPH = (
    "look_up carries 5 MB, which are sent once, but pickled again for every node that calls it: make them a node of "
    "their own, and an argument of the others"
)
OF_AN_OBJECT_IN_A_GRAPH = (
    "calls of look_up carry the same 5 MB again and again, which are sent once: what client.send_object(…) returns can "
    "be passed in their place"
)
OF_STATE = (
    "Model.step brings 5 MB, the Model that it is called on, which is opened once for all tasks of a worker: each sees "
    "what others have changed in it. Pass it as an argument, or what client.send_object(…) returns in its place"
)
OF_AN_OBJECT = (
    "calls of look_up carry the same 5 MB again and again, which are sent once: client.map(look_up, …) makes all calls "
    "at once, and what client.send_object(…) returns can be passed in their place"
)


class Model:
    def __init__(self, weights: bytes) -> None:
        self.weights = weights

    def step(self) -> None: ...


def test_a_function_that_brings_what_its_calls_may_change_for_others_is_told_of_once_whatever_it_is_now():
    heavy = HeavyCalls()
    functions = [pickle_function(Model(bytes([number]) * 5_000_000).step) for number in range(3)]
    assert [heavy.pickled(function) for function in (SMALL, *functions)] == [None, OF_STATE, None, None]


@pytest.mark.parametrize(
    ("function", "call", "needed", "hint"),
    [
        (LARGE, b"", (), OF_A_FUNCTION),
        (SMALL, bytes(5_000_000), (), OF_CALLS),
        (SMALL, b"", (uploaded(size_bytes=10, n=2), uploaded()), OF_AN_OBJECT),
    ],
    ids=["function", "call", "object"],
)
def test_the_third_submit_of_much_is_told_and_no_other(
    function: PickledFunction, call: bytes, needed: tuple[Uploaded, ...], hint: str
):
    heavy = HeavyCalls()
    assert [heavy.submitted(function, call, needed) for _ in range(2 * MANY)] == [None, None, hint, None, None, None]


@pytest.mark.parametrize(
    ("function", "needed", "hint"),
    [(LARGE, (), OF_A_FUNCTION_IN_A_GRAPH), (SMALL, (uploaded(),), OF_AN_OBJECT_IN_A_GRAPH)],
)
def test_who_runs_a_graph_is_not_told_to_map(function: PickledFunction, needed: tuple[Uploaded, ...], hint: str):
    heavy = HeavyCalls()
    assert [heavy.submitted(function, b"", needed, is_node=True) for _ in range(MANY)] == [None, None, hint]


def test_what_is_small_or_was_sent_on_purpose_is_not_heavy():
    heavy = HeavyCalls()
    for needed in ((), (uploaded(size_bytes=1_000_000),), (uploaded(is_lifted=False),)):
        assert [heavy.submitted(SMALL, bytes(1_000_000), needed) for _ in range(2 * MANY)] == [None] * 2 * MANY


def test_a_function_whose_calls_carry_the_same_is_told_of_once():
    heavy = HeavyCalls()
    told = [heavy.submitted(SMALL, b"", (uploaded(n),)) for n in (1, 2, 3) for _ in range(MANY)]
    assert told == [None] * (MANY - 1) + [OF_AN_OBJECT] + [None] * 2 * MANY


def test_what_differs_is_counted_apart():
    heavy = HeavyCalls()
    other = pickle_function(partial(look_up, b"2" * 5_000_000))
    assert [heavy.submitted(one, b"", ()) for one in [LARGE, other] * (MANY - 1)] == [None] * (2 * MANY - 2)
    assert heavy.submitted(LARGE, b"", ())
    assert heavy.submitted(other, b"", ())


def test_what_is_counted_does_not_grow_without_end():
    heavy = HeavyCalls()
    for number in range(MOST_COUNTED + 5):
        heavy.submitted(SMALL, b"", (uploaded(number),))
    assert len(heavy._times) == MOST_COUNTED
