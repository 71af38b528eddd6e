from array import array

import pytest

from scaler.core import runtimes
from scaler.core.runtimes import OVERHEAD_S, UNKNOWN_S, RunTimes, RunTimeTable
from tests.unit.core.examples import F, G


def seen(*times_us: int) -> RunTimes:
    made = RunTimes()
    for time_us in times_us:
        made.observe(array("I", [time_us]).tobytes())
    return made


def test_a_function_nobody_has_seen_counts_as_a_second_and_one_task_a_slot():
    assert (RunTimes().estimate_s, RunTimes().samples, RunTimes().ramp) == (UNKNOWN_S, 0, 1)


@pytest.mark.parametrize("time_us", [1, 3, 5, 100, 20_000, 1_000_000, 3_600_000_000])
def test_a_time_is_known_to_an_eighth(time_us: int):
    assert seen(time_us).p50_s == pytest.approx(time_us / 1e6, rel=0.13)


def test_a_task_never_costs_less_than_what_lies_between_two():
    assert seen(0).estimate_s == OVERHEAD_S


def test_the_median_and_the_long_tail_are_told_apart():
    times = seen(*[1_000] * 18, 100_000, 100_000)
    assert times.p50_s == pytest.approx(0.001, rel=0.13)
    assert times.p95_s == pytest.approx(0.1, rel=0.13)


def test_of_a_long_column_a_few_are_looked_at():
    times = RunTimes()
    times.observe(array("I", [10] * 1000).tobytes())
    assert times.samples == 16


def test_each_message_doubles_what_may_be_sent_until_there_is_no_limit():
    times = seen(1, 1, 1)
    assert times.ramp == 8
    times = seen(*[1] * 40)
    assert times.ramp == 1 << 30


def test_a_function_that_changes_is_followed():
    times = seen(*[100] * 600)
    for _ in range(1500):
        times.observe(array("I", [10_000]).tobytes())
    assert times.p50_s == pytest.approx(0.01, rel=0.13)
    assert times.samples < 600


def test_a_function_is_known_by_tag_and_the_one_that_ran_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtimes, "_REMEMBERED", 2)
    table = RunTimeTable()
    plain, tagged = table.of(F, None), table.of(F, "gpu")
    assert plain is not tagged
    assert table.of(F, None) is plain
    table.of(G, None)
    assert table.of(F, None) is plain
    assert table.of(F, "gpu") is not tagged
