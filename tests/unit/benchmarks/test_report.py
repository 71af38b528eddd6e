from typing import Any

import pytest

from benchmarks import report
from benchmarks.rows import Bar, Row

FAST = Bar("rate", "tasks/s", at_least=100)
TWICE = Bar("rate", "x best", at_least=2, times=("ray", "dask"))
SHORT = Bar("p50_ms", "ms", at_most=1)
SEEN = Bar("p50_ms", "ms")
ROW = Row("row", "a row", "workload", (FAST, TWICE))


def line(peer: str, turn: int = 0, **figures: Any) -> dict[str, Any]:
    return {"row": "row", "peer": peer, "turn": turn, **figures}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.8, "1,234,568"), (999.6, "1000"), (123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123"), (0, "0")],
)
def test_a_number_shows_the_digits_that_count(value: float, text: str):
    assert report.number(value) == text


def test_a_ratio_compares_what_was_measured_in_the_same_turn_with_the_best_of_the_peers():
    ours = [line("scaler", 0, rate=100), line("scaler", 1, rate=900), line("scaler", 2, rate=400)]
    theirs = [
        [line("ray", 0, rate=50), line("ray", 1, rate=100), line("ray", 2, rate=100)],
        [line("dask", 0, rate=20), line("dask", 1, rate=300), line("dask", 2, error="timeout")],
    ]
    assert report.ratio(TWICE, ours, theirs) == 3.0


def test_where_less_is_better_the_best_peer_is_the_quickest():
    bar = Bar("p50_ms", "x best", at_most=2, times=("ray", "dask"))
    theirs = [[line("ray", p50_ms=2.0)], [line("dask", p50_ms=8.0)]]
    assert report.ratio(bar, [line("scaler", p50_ms=3.0)], theirs) == 1.5


def test_without_a_common_turn_there_is_no_ratio():
    assert report.ratio(TWICE, [line("scaler", 0, rate=1)], [[line("ray", 1, rate=1)]]) is None


@pytest.mark.parametrize(
    ("bar", "value", "expected"),
    [
        (FAST, 100, "PASS"),
        (FAST, 99, "below"),
        (SHORT, 1.0, "PASS"),
        (SHORT, 1.1, "below"),
        (SEEN, 1.1, ""),
        (SHORT, None, "failed"),
        (SEEN, None, ""),
    ],
)
def test_a_verdict_is_the_side_of_the_bar_the_figure_is_on(bar: Bar, value: float | None, expected: str):
    assert report.verdict(bar, value, [line("scaler", error="timeout")]) == expected


def test_nobody_to_compare_with_is_no_failure_of_ours():
    assert report.verdict(TWICE, None, [line("scaler", rate=5)]) == ""


def test_a_cell_marks_smaller_sizes_and_failed_runs():
    assert report.cell([line("ray", n=10, rate=5), line("ray", 1, error="timeout: long")], FAST, 100) == "5* (1 failed)"
    assert report.cell([line("ray", n=100, rate=5)], FAST, 100) == "5"
    assert report.cell([line("ray", error="timeout: long")], FAST, 100) == "timeout"
    assert report.cell([line("ray", unsupported="no way")], FAST, 100) == "-"
    assert report.cell([], FAST, 100) == ""


def test_a_row_has_a_line_for_each_bar_with_the_peers_beside_ours():
    lines = [line("scaler", rate=300, n=10), line("ray", rate=100, n=5)]
    assert report.row_cells(ROW, lines, ["ray", "dask"]) == [
        ["a row", "tasks/s", "≥ 100", "300", "PASS", "100*", ""],
        ["", "x best", "≥ 2", "3", "PASS", "", ""],
    ]


def test_the_table_shows_the_rows_and_peers_that_were_run():
    lines = [
        {"row": "map-10k", "peer": "scaler", "turn": 0, "n": 10_000, "tasks_per_s": 90_000.0},
        {"row": "map-10k", "peer": "multiprocessing_pool", "turn": 0, "n": 10_000, "tasks_per_s": 3_000_000.0},
    ]
    head, rule, row = report.table(lines).splitlines()
    assert head.split() == ["bar", "scaler", "Pool"]
    assert set(rule) == {"─"}
    assert row.split() == ["map", "of", "10,000", "no-ops", "tasks/s", "≥", "100,000", "90,000", "below", "3,000,000"]
    assert report.verdicts(lines) == ["below"]
