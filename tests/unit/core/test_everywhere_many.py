"""Calls that every worker makes, by the thousand: few of a client are on their way at a time."""

import pytest

from scaler.core.events import Command, PeerLost, Send
from scaler.core.everywhere import MOST_AT_ONCE
from scaler.protocol import BatchOptions, RunSpan
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    A,
    B,
    Checked,
    X,
    cancels,
    client,
    cluster,
    finishes,
    maps,
    run_id,
    states,
    takes,
    values,
)
from tests.unit.core.work import calls_of

ALL = BatchOptions(everywhere=True)


def begun_of(commands: list[Command]) -> list[int]:
    """Which calls went out, to whomever."""
    return [one.message.lo for one in commands if isinstance(one, Send) and isinstance(one.message, RunSpan)]


@pytest.fixture
def many(empty: Checked) -> Checked:
    """X has as many of Alice's calls as it may, and three times as many wait."""
    empty.handle([client(ALICE), client(BOB), *cluster(X)])
    assert begun_of(empty.handle(maps(A, 4 * MOST_AT_ONCE, ALL))) == list(range(MOST_AT_ONCE))
    assert states(empty) == [(0, 4 * MOST_AT_ONCE, "waiting")]
    return empty


def test_of_one_client_few_are_on_their_way_and_others_begin_as_these_end(many: Checked):
    assert begun_of(many.handle([finishes(X, run_id(1), values(0, 1))])) == [MOST_AT_ONCE]
    both = [finishes(X, run_id(2), values(1, 2)), finishes(X, run_id(3), values(2, 3))]
    assert begun_of(many.handle(both)) == [MOST_AT_ONCE + 1, MOST_AT_ONCE + 2]


def test_another_client_does_not_wait_for_them(many: Checked):
    assert begun_of(many.handle(maps(B, 2, ALL))) == [0, 1]
    assert begun_of(many.handle(maps(A2, 2))) == [0]


def test_all_are_made_in_the_end(many: Checked):
    for number in range(4 * MOST_AT_ONCE):
        many.handle([finishes(X, run_id(number + 1), values(number, number + 1)), takes(A, (number, number + 1))])
    assert many.managers.tasks.by_serial == {}


def test_those_that_wait_can_be_cancelled_and_those_behind_begin(many: Checked):
    first, last = MOST_AT_ONCE, 2 * MOST_AT_ONCE
    assert begun_of(many.handle([cancels(A, (first, last))])) == []
    assert begun_of(many.handle([cancels(A, (0, 2))])) == [last, last + 1]
    assert begun_of(many.handle([finishes(X, run_id(3), values(2, 3))])) == [last + 2]


def test_when_the_one_that_was_to_begin_is_cancelled_before_it_could_another_takes_its_place(many: Checked):
    assert begun_of(many.handle([PeerLost(X, "cut")])) == []
    many.handle([cancels(A, (0, MOST_AT_ONCE + 1))])
    assert begun_of(many.handle(cluster(X)))[:2] == [MOST_AT_ONCE + 1, MOST_AT_ONCE + 2]


def test_of_a_client_that_is_lost_nothing_begins_any_more(many: Checked):
    assert begun_of(many.handle([PeerLost(ALICE, "cut")])) == []
    assert begun_of(many.handle([finishes(X, run_id(1), values(0, 1))])) == []
    assert begun_of(many.handle([client(ALICE), *maps(A, 2, ALL)])) == [0, 1]


def test_a_turn_does_not_look_at_all_of_them(many: Checked):
    few = calls_of(many, maps(A2, 1))
    many.handle([event for n in range(10, 500) for event in maps(A._replace(n=n), 20, ALL)])
    assert calls_of(many, maps(A3, 1)) < 1.5 * few
