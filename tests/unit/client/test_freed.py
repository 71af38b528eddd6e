"""What many large values leave behind goes back to the system a moment after they were let go of."""

import ctypes

import pytest

from scaler.client.freed import AFTER_S, MANY, FreedValues


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    told: list[int] = []

    class Library:
        malloc_trim = staticmethod(told.append)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    return told


def noted(freed: FreedValues, count: int) -> None:
    for _ in range(count):
        freed.note()


def test_it_is_given_back_once_a_moment_after_the_last_of_many(trims: list[int]):
    freed = FreedValues()
    noted(freed, MANY)
    freed.look(1.0)
    assert freed.next_look() == 1.0 + AFTER_S
    noted(freed, MANY)
    freed.look(1.5)
    freed.look(1.0 + AFTER_S)
    assert (trims, freed.next_look()) == ([], 1.5 + AFTER_S)
    freed.look(1.5 + AFTER_S)
    freed.look(9.0)
    assert (trims, freed.next_look()) == ([0], None)


def test_a_few_are_not_worth_it(trims: list[int]):
    freed = FreedValues()
    noted(freed, MANY - 1)
    freed.look(1.0)
    assert (trims, freed.next_look()) == ([], None)


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    freed = FreedValues()
    noted(freed, MANY)
    freed.look(1.0)
    freed.look(1.0 + AFTER_S)
    assert freed.next_look() is None
