import pytest

from scaler.worker.looks import Looks


def test_a_worker_without_work_is_not_looked_at():
    assert Looks().due is None


def test_after_work_was_given_the_first_look_is_soon_and_more_work_does_not_put_it_off():
    looks = Looks()
    looks.given(1.0)
    looks.given(1.004)
    assert looks.due == 1.005


def test_looks_are_rare_while_nothing_is_new_and_soon_after_something_was():
    looks = Looks()
    looks.given(0.0)
    waits = []
    for is_news in [False, False, True, False]:
        looks.looked(10.0, is_idle=False, is_news=is_news)
        assert looks.due is not None
        waits.append(looks.due - 10.0)
    assert waits == pytest.approx([0.1, 0.1, 0.005, 0.1])


def test_new_work_is_looked_at_soon_even_when_looks_were_rare():
    looks = Looks()
    for _ in range(6):
        looks.looked(0.0, is_idle=False, is_news=False)
    looks.given(0.01)
    assert looks.due == pytest.approx(0.015)


def test_a_worker_at_rest_is_not_looked_at():
    looks = Looks()
    looks.given(0.0)
    looks.looked(0.001, is_idle=True, is_news=True)
    assert looks.due is None
