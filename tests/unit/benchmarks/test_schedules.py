import math

from benchmarks.measured.schedules import fair_after, list_schedule


def test_one_worker_takes_as_long_as_all_tasks_together():
    assert list_schedule([1.0, 2.0, 3.0], 1) == 6.0


def test_whoever_is_free_first_takes_the_next_task_in_order():
    assert list_schedule([3.0, 1.0, 1.0, 1.0, 2.0], 2) == 5.0


def test_more_workers_than_tasks_leave_the_longest_one():
    assert list_schedule([1.0, 4.0, 2.0], 8) == 4.0


def completions(pid: int, begin: float, end: float, every: float) -> list[tuple[int, float]]:
    return [(pid, begin + every * step) for step in range(round((end - begin) / every))]


def both(*parts: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return sorted((one for part in parts for one in part), key=lambda one: one[1])


def test_a_newcomer_that_works_at_once_has_its_share_at_once():
    done = both(completions(1, 0, 6, 0.05), completions(2, 2, 6, 0.05))
    assert fair_after(done, {2}, 2.0) == 0.0


def test_a_newcomer_that_waits_has_its_share_when_a_whole_second_is_fair():
    done = both(completions(1, 0, 6, 0.05), completions(2, 3, 6, 0.05))
    assert 0.8 < fair_after(done, {2}, 2.0) <= 1.0


def test_a_newcomer_that_gets_too_little_never_has_its_share():
    done = both(completions(1, 0, 6, 0.05), completions(2, 2, 6, 0.1))
    assert fair_after(done, {2}, 2.0) == math.inf


def test_a_queue_that_ends_within_a_second_shows_no_share():
    assert fair_after([(1, 0.1), (2, 0.2)], {2}, 0.0) == math.inf
    assert fair_after([], {2}, 0.0) == math.inf
