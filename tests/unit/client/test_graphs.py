import operator
from typing import Any

import pytest

from scaler.client.graphs import in_order, is_call, needs_of, submit_graph
from scaler.errors import GraphError

GRAPH: dict[Any, Any] = {
    "a": 2,
    ("b", 1): 3,
    "sum": (operator.add, "a", ("b", 1)),
    "ten": (operator.mul, "sum", 2),
    "other": (operator.neg, "a"),
    "data": ("a", "b"),
}


class Submitted:
    """Calls at once, and remembers which."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        self.calls.append((function, *arguments))
        return function(*arguments)


def test_only_what_the_keys_need_is_run_and_in_the_order_of_its_needs():
    submitted = Submitted()
    assert submit_graph(submitted, GRAPH, ["ten", "a"]) == {"ten": 10, "a": 2}
    assert submitted.calls == [(operator.add, 2, 3), (operator.mul, 5, 2)]


def test_results_are_in_the_order_of_the_keys():
    assert list(submit_graph(Submitted(), GRAPH, ["sum", "a", "ten"])) == ["sum", "a", "ten"]


def test_an_argument_that_is_no_key_is_itself():
    assert submit_graph(Submitted(), {"x": (sorted, [3, 1]), "y": (str.upper, "b")}, ["x", "y"]) == {
        "x": [1, 3],
        "y": "B",
    }


def test_a_tuple_without_a_callable_is_data():
    assert not is_call(GRAPH["data"])
    assert submit_graph(Submitted(), GRAPH, ["data"]) == {"data": ("a", "b")}
    assert needs_of(GRAPH, GRAPH["data"]) == []


def test_an_unknown_key_is_told_before_anything_runs():
    submitted = Submitted()
    with pytest.raises(GraphError, match="the graph has no 'nope', \\['list'\\]: it has 6 other keys"):
        submit_graph(submitted, GRAPH, ["sum", "nope", ["list"]])
    assert submitted.calls == []


def test_a_cycle_is_told_before_anything_runs():
    submitted = Submitted()
    cyclic = {"x": (abs, "y"), "y": (abs, "z"), "z": (abs, "x"), "w": 1}
    with pytest.raises(GraphError, match=r"cycle: '.' is needed by '.' is needed by '.'"):
        submit_graph(submitted, cyclic, ["w", "x"])
    assert submitted.calls == []


def test_a_cycle_that_nobody_needs_is_nobodys_problem():
    assert submit_graph(Submitted(), {"x": (abs, "x"), "w": 1}, ["w"]) == {"w": 1}


def test_a_graph_may_be_deeper_than_the_stack_of_the_interpreter():
    needs = {number: [number - 1] if number else [] for number in range(50_000)}
    assert in_order(needs.__getitem__, [49_999]) == list(range(50_000))


def test_a_key_that_is_a_tuple_and_was_given_for_the_keys_is_told():
    with pytest.raises(GraphError, match=r"has no 'b', 1: .*; \('b', 1\) is one key, so say \[\('b', 1\)\]"):
        submit_graph(Submitted(), GRAPH, ("b", 1))
