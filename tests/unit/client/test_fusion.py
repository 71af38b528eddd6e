"""Chunks of dask's collections are made where they are needed, and nothing waits that could run at once."""

import math
import operator
from collections.abc import Hashable
from typing import Any

import dask
import dask.array as da

from scaler.client.dask_graphs import submit_collections
from scaler.client.fusion import fused
from scaler.client.graphs import in_order
from scaler.payload.nodes import run_nodes


def fusions(needs: dict[Hashable, list[Hashable]], *wanted: Hashable) -> list[list[Hashable]]:
    order = in_order(needs.__getitem__, wanted)
    return fused(order, needs, wanted)


def test_what_only_one_chunk_needs_of_its_own_place_is_made_there():
    needs: dict[Hashable, list[Hashable]] = {("a", 0): [], ("b", 0): [], ("c", 0): [("a", 0), ("b", 0)]}
    (fusion,) = fusions(needs, ("c", 0))
    assert fusion[-1] == ("c", 0)
    assert set(fusion) == set(needs)


def test_what_several_need_that_run_as_one_is_made_there_too():
    needs: dict[Hashable, list[Hashable]] = {
        ("a", 0, 1): [],
        ("minus", 0, 1): [("a", 0, 1)],
        ("root", 0, 1): [("a", 0, 1)],
        ("sum", 0, 1): [("minus", 0, 1), ("root", 0, 1)],
    }
    (fusion,) = fusions(needs, ("sum", 0, 1))
    assert set(fusion) == set(needs)
    assert (fusion[0], fusion[-1]) == (("a", 0, 1), ("sum", 0, 1))


def test_the_parts_of_a_sum_over_places_stay_tasks_of_their_own():
    needs: dict[Hashable, list[Hashable]] = {("a", 0): [], ("a", 1): [], ("sum", 0): [("a", 0), ("a", 1)]}
    assert sorted(fusions(needs, ("sum", 0))) == [[("a", 0)], [("a", 1)], [("sum", 0)]]


def test_what_two_tasks_need_is_made_once_for_both():
    needs: dict[Hashable, list[Hashable]] = {("a", 0): [], ("b", 0): [("a", 0)], ("c", 0): [("a", 0)]}
    assert sorted(fusions(needs, ("b", 0), ("c", 0))) == [[("a", 0)], [("b", 0)], [("c", 0)]]


def test_what_is_asked_for_ends_its_fusion():
    needs: dict[Hashable, list[Hashable]] = {("a", 0): [], ("b", 0): [("a", 0)], ("c", 0): [("b", 0)]}
    assert fusions(needs, ("c", 0), ("b", 0)) == [[("a", 0), ("b", 0)], [("c", 0)]]


def test_nodes_without_a_place_stay_tasks_of_their_own():
    needs: dict[Hashable, list[Hashable]] = {"a": [], ("b",): ["a"], "c": [("b",)]}
    assert fusions(needs, "c") == [["a"], [("b",)], ["c"]]


def test_every_node_is_in_one_fusion_behind_what_it_needs():
    needs: dict[Hashable, list[Hashable]] = {}
    for place in range(4):
        needs[("a", place)] = []
        needs[("b", place)] = [("a", place)]
        needs[("c", place)] = [("a", place), ("b", place), ("a", max(place - 1, 0))]
        needs[("d", place)] = [("c", place), ("b", place)]
    needs["all"] = [("d", place) for place in range(4)]
    found = fusions(needs, "all")
    ran: set[Hashable] = set()
    for fusion in found:
        for number, key in enumerate(fusion):
            assert all(needed in ran or needed in fusion[:number] for needed in needs[key])
        ran.add(fusion[-1])
    assert sorted(map(str, (key for fusion in found for key in fusion))) == sorted(map(str, needs))


class Runs:
    """Takes calls and runs them at once; what futures are elsewhere are values here."""

    def __init__(self) -> None:
        self.tasks = 0

    def __call__(self, function: Any, args: Any) -> Any:
        self.tasks += 1
        return function(*args)


def test_a_pipeline_of_arrays_is_one_task_for_each_chunk_before_it_is_summed_up():
    for optimize in (True, False):
        made = Runs()
        one, other = da.ones(8, chunks=2), da.arange(8.0, chunks=2)
        (mean,) = submit_collections(made, ((one + other * one - 1).mean(),), optimize_graph=optimize)
        assert mean == 3.5
        assert made.tasks <= 4 + 3  # and those that sum up, and the one that hands out the value


def test_calls_that_were_delayed_are_tasks_of_their_own():
    made = Runs()
    roots = [dask.delayed(math.sqrt)(number) for number in (4, 9)]
    assert submit_collections(made, (dask.delayed(operator.add)(*roots),), optimize_graph=True) == [5.0]
    assert made.tasks == 4


def test_a_node_may_need_those_before_it():
    nodes = [("a", lambda known: known["given"] + 1), ("b", lambda known: known["a"] * known["given"])]
    assert run_nodes(nodes, {"given": 2}) == 6
