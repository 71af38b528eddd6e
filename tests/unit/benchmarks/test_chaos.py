import inspect
from typing import Any

import pytest

from benchmarks.chaos.__main__ import parse
from benchmarks.chaos.scenario import ALWAYS, VERIFIED, Scenario, table, verdict, verdicts
from benchmarks.chaos.scenarios import SCENARIOS
from benchmarks.chaos.scenarios.soak import slope
from benchmarks.rows import Bar

NONE_LOST = Bar("lost", "lost", at_most=0)
SEEN = Bar("re_runs", "re-runs")
SCENARIO = Scenario("1", "a storm", lambda *_: {}, (NONE_LOST, SEEN))


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.number)
def test_every_size_is_an_argument_of_its_scenario_and_every_argument_has_one(scenario: Scenario):
    arguments = list(inspect.signature(scenario.run).parameters)[1:]
    assert set(scenario.sizes(is_ci=True)) == set(scenario.sizes(is_ci=False)) == set(arguments)


@pytest.mark.parametrize(
    ("bar", "line", "expected"),
    [
        (NONE_LOST, {"lost": 0}, "PASS"),
        (NONE_LOST, {"lost": 1}, "FAIL"),
        (NONE_LOST, {"error": "timeout"}, "FAIL"),
        (NONE_LOST, {"skipped": "needs root"}, "skipped"),
        (SEEN, {"re_runs": 9}, ""),
    ],
)
def test_a_verdict_is_the_side_of_the_bar_the_figure_is_on(bar: Bar, line: dict[str, Any], expected: str):
    assert verdict(bar, line) == expected


def test_processes_that_are_left_fail_every_scenario():
    assert ALWAYS[0] in SCENARIO.bars_at("ci")
    assert verdicts(SCENARIO, {"lost": 0, "re_runs": 1, "left": 2}) == ["PASS", "", "FAIL"]


def test_some_bars_hold_for_the_full_size_alone():
    soak = Scenario("21", "a soak", lambda *_: {}, (SEEN,), full_bars=(NONE_LOST,), is_peer=True)
    assert soak.bars_at("ci") == (SEEN,)
    assert soak.bars_at("full") == (SEEN, NONE_LOST)


def test_the_table_has_scenario_bar_figure_and_pass():
    lines = table([SCENARIO], {"1": {"lost": 0, "re_runs": 12, "left": 0}}).splitlines()
    assert lines[0].split() == ["#", "scenario", "bar", "figure", "pass"]
    assert lines[2].split() == ["1", "a", "storm", "lost", "≤", "0", "0", "PASS"]
    assert lines[3].split() == ["re-runs", "12"]


def test_an_error_stands_where_the_figure_is_not():
    assert "timeout: over 3 s" in table([SCENARIO], {"1": {"error": "timeout: over 3 s"}})


def test_only_known_scenarios_can_be_asked_for(capsys: pytest.CaptureFixture[str]):
    assert parse(["--scenario", "1,3", "--seed", "5"]).scenario == ["1", "3"]
    assert parse([]).scenario == list(SCENARIOS)
    with pytest.raises(SystemExit):
        parse(["--scenario", "no-such"])
    assert "unknown: no-such; there are: 1, 1b" in capsys.readouterr().err


def test_whatever_is_verified_may_neither_be_lost_nor_doubled_nor_wrong_nor_fail():
    assert [(bar.figure, bar.at_most) for bar in VERIFIED] == [("lost", 0), ("doubled", 0), ("wrong", 0), ("errors", 0)]


def test_a_slope_is_that_of_the_nearest_line():
    assert slope([(0.0, 10), (1.0, 13), (2.0, 16)]) == 3.0
    assert slope([(1.0, 10)]) == 0.0
