from itertools import islice

import pytest

from benchmarks.measured.faults import Fault, faults, points

KINDS = ("kill", "cut", "pause")


def test_a_seed_tells_all_that_is_done_and_when():
    first = list(islice(faults(7, 1.0, KINDS), 50))
    assert first == list(islice(faults(7, 1.0, KINDS), 50))
    assert first != list(islice(faults(8, 1.0, KINDS), 50))


def test_there_is_one_fault_in_each_period_early_or_late_in_it():
    for number, fault in enumerate(islice(faults(1, 3.0, jitter=0.2), 100), 1):
        assert abs(fault.at_s - 3.0 * number) <= 0.6


def test_all_kinds_come():
    assert {fault.kind for fault in islice(faults(1, 1.0, KINDS), 50)} == set(KINDS)


@pytest.mark.parametrize(("which", "picked"), [(0.0, "a"), (0.49, "a"), (0.5, "b"), (0.999, "b")])
def test_a_fault_picks_one_of_those_that_there_are(which: float, picked: str):
    assert Fault(1.0, "kill", which).pick(["a", "b"]) == picked


def test_points_are_different_in_order_and_away_from_both_ends():
    found = points(3, 10, 1000)
    assert found == points(3, 10, 1000)
    assert found == sorted(set(found))
    assert len(found) == 10
    assert found[0] >= 50
    assert found[-1] < 950
