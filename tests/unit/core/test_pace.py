"""The pace: what a slot of a cluster gets done in a second, as its results tell."""

import pytest

from scaler.core.pace import DECLINE, GROWTH, LEAST, Pace

TASK_S = 0.001


def measured(pace: Pace, now: float, tasks: int, free: int = -100) -> float:
    """After so many tasks more of two slots, at this time."""
    pace.ended(tasks, TASK_S, now, slots=2, free=free)
    return pace.part


def behind(part: float, began_at: float = 0.0) -> Pace:
    """One that was seen to do a part of what was expected, in the second before."""
    pace = Pace()
    measured(pace, began_at - 1, 1)
    assert measured(pace, began_at, round(2 * part / TASK_S)) == pytest.approx(part)
    return pace


def test_at_first_all_is_expected():
    assert Pace().part == 1.0


def test_it_is_work_by_time_and_slots():
    assert behind(0.05).part == pytest.approx(0.05)


def test_what_ended_before_the_measurement_began_does_not_count():
    pace = Pace()
    measured(pace, 0.0, 1000)
    assert measured(pace, 1.0, 200) == pytest.approx(0.1)


def test_little_time_or_few_tasks_are_no_measurement():
    pace = Pace()
    measured(pace, 0.0, 1)
    assert measured(pace, 0.04, 10) == 1.0
    pace = Pace()
    measured(pace, 0.0, 1)
    assert measured(pace, 60.0, 3) == 1.0
    assert measured(pace, 100.0, 197) == pytest.approx(LEAST)


def test_it_is_never_above_one_and_never_below_the_least():
    pace = Pace()
    measured(pace, 0.0, 1)
    assert measured(pace, 0.1, 100_000) == 1.0
    assert measured(pace, 1000.0, 4) == pytest.approx(DECLINE)
    for turn in range(10):
        measured(pace, 2000.0 + 1000 * turn, 4)
    assert pace.part == LEAST


def test_it_grows_and_declines_by_a_factor_a_time():
    pace = behind(0.4)
    assert measured(pace, 1.0, 2000) == pytest.approx(0.4 * GROWTH)
    assert measured(pace, 2.0, 4) == pytest.approx(0.4 * GROWTH * DECLINE)


def test_a_cluster_that_had_nothing_ahead_was_not_slow():
    pace = behind(0.4)
    measured(pace, 0.5, 1, free=0)
    assert measured(pace, 1.0, 20) == pytest.approx(0.4)
    measured(pace, 1.5, 1, free=2)
    assert measured(pace, 2.0, 800) == pytest.approx(0.4 * GROWTH)


def test_a_cluster_without_slots_has_no_pace():
    pace = Pace()
    for now in (0.0, 1.0):
        pace.ended(1000, TASK_S, now, slots=0, free=0)
    assert pace.part == 1.0
