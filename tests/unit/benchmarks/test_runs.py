from pathlib import Path

import pytest

from benchmarks.measured.runs import Counts, Kill, Run, count, counted, most_begins, read_runs, runs_of, value_of

LINES = [
    "begin 0 10 1.000000",
    "begin 1 11 1.000000",
    "end 0 10 1.000000 2.000000",
    "begin 2 10 2.000000",
    "begin 1 12 3.000000",
    "end 1 12 3.000000 4.000000",
]
FIRST, STRUCK, OPEN, AGAIN = (
    Run(0, 10, 1.0, 2.0),
    Run(1, 11, 1.0),
    Run(2, 10, 2.0),
    Run(1, 12, 3.0, 4.0),
)


def test_lines_become_runs_in_the_order_in_which_these_began():
    assert runs_of(LINES) == [FIRST, STRUCK, OPEN, AGAIN]


@pytest.mark.parametrize("torn", ["", "beg", "begin 3", "begin 3 10 5", "end 9 9 9.0 9.5"])
def test_a_torn_line_counts_for_nothing(torn: str):
    assert runs_of([*LINES, torn]) == [FIRST, STRUCK, OPEN, AGAIN]


def test_a_task_tells_of_its_run_in_its_file(tmp_path: Path):
    assert read_runs(tmp_path / "runs") == []
    assert counted(str(tmp_path / "runs"), 3, 0.0) == value_of(3)
    (run,) = read_runs(tmp_path / "runs")
    assert run.index == 3
    assert run.ended_s is not None


def test_values_tell_tasks_apart():
    assert len({value_of(index) for index in range(100_000)}) == 100_000


def test_a_run_again_after_a_kill_is_no_fault():
    kill = Kill(2.5, frozenset({11}))
    assert count([FIRST, STRUCK, AGAIN], 2, [kill]) == Counts(
        begun=3, never_ended=0, re_runs=1, running=1, innocent=0, made_again=0
    )


def test_a_run_again_that_no_kill_explains_is():
    kill = Kill(2.5, frozenset({99}))
    assert count([FIRST, STRUCK, AGAIN], 2, [kill]).innocent == 1


def test_a_task_that_never_ended_is_lost_whether_it_began_or_not():
    assert count([FIRST, STRUCK], 3).never_ended == 2


def test_a_result_that_was_there_is_made_again_by_any_later_run():
    assert count([FIRST, STRUCK, AGAIN], 2, resolved={0: 2.1, 1: 2.9}).made_again == 1
    assert count([FIRST, STRUCK, AGAIN], 2, resolved={0: 2.1, 1: 4.1}).made_again == 0


def test_of_a_worker_that_is_killed_only_its_last_run_may_be_lost():
    runs = [Run(0, 10, 1.0, 1.1), Run(1, 10, 1.1, 1.2)]
    assert Kill(1.21, frozenset({10})).struck(runs) == runs[1:]
    assert Kill(9.0, frozenset({10})).struck(runs) == []


def test_of_a_host_that_is_killed_all_that_had_just_ended_may_be_lost():
    runs = [Run(0, 10, 0.0, 1.0), Run(1, 10, 1.0, 1.99), Run(2, 10, 1.99, 2.0), Run(3, 11, 1.0, 2.0)]
    assert Kill(2.0, frozenset({10}), is_host=True).struck(runs) == runs[1:3]


def test_what_ran_at_a_kill_is_counted_though_it_ended_after_it():
    runs = [Run(0, 10, 0.0, 1.0), Run(1, 10, 1.0, 2.1)]
    assert count(runs, 2, [Kill(2.0, frozenset({10}), is_host=True)]).running == 1


def test_the_task_that_began_most_often_is_found():
    assert most_begins([FIRST, STRUCK, AGAIN]) == 2
    assert most_begins([]) == 0
