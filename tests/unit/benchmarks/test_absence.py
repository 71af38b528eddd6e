from benchmarks.chaos.absence import Absence, absence_figures, full_speed_after
from benchmarks.measured.runs import Run

AWAY = Absence(frozenset({1}), away_s=10.0, back_s=20.0, timeout_s=5.0)


def test_what_ran_elsewhere_and_when_they_had_work_again():
    runs = [
        Run(0, 1, 9.9, 20.1),
        Run(1, 2, 9.9, 10.1),
        Run(0, 2, 15.5, 15.6),
        Run(2, 1, 21.0, 21.1),
    ]
    assert absence_figures(runs, AWAY) == {"elsewhere_s": 0.5, "back_s": 1.0, "ran_twice": 1.0}


def test_what_did_not_happen_is_no_figure():
    assert absence_figures([Run(0, 1, 9.9, 20.1)], AWAY) == {"ran_twice": 0.0}


def steady(begin_s: float, end_s: float, every_s: float = 0.01) -> list[Run]:
    count = round((end_s - begin_s) / every_s)
    return [Run(n, 1, begin_s + n * every_s, begin_s + (n + 0.5) * every_s) for n in range(count)]


def test_full_speed_is_that_of_before():
    runs = steady(0.0, 10.0) + steady(15.5, 20.0)
    found = full_speed_after(runs, 10.0, 15.0)
    assert found is not None
    assert 0.3 < found <= 0.51


def test_half_the_speed_is_not_full():
    assert full_speed_after(steady(0.0, 10.0) + steady(15.0, 20.0, every_s=0.02), 10.0, 15.0) is None
