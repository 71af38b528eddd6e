"""Claims that cannot all be true, on work whose client has not come back: one is kept, and no other harms it."""

import pytest

from scaler.core.events import Event, PeerLost
from tests.unit.core.examples import (
    OLD,
    A,
    B,
    Checked,
    X,
    Y,
    client,
    cluster,
    finishes,
    forget_at,
    held,
    holds,
    resumes,
    states,
    values,
)

CLAIM = held(A, OLD, queued=[(0, 1)])


@pytest.mark.parametrize(
    "again", [[holds(X, CLAIM)], [holds(X, CLAIM, CLAIM)], [holds(X, held(B, OLD, queued=[(0, 1)]))]]
)
def test_a_claim_that_is_made_twice_is_one(anew: Checked, again: list[Event]):
    anew.handle([holds(X, CLAIM)])
    assert anew.handle(again) == []
    assert anew.handle([], now=60.0) == [forget_at(X, OLD)]


def test_a_run_is_of_the_cluster_that_named_it_first(anew: Checked):
    assert anew.handle([holds(X, CLAIM), holds(Y, CLAIM)]) == [forget_at(Y, OLD)]
    anew.handle([resumes(A, 1, (0, 1))])
    assert states(anew) == [(0, 1, "assigned")]
    assert anew.handle([finishes(Y, OLD, values(0, 1))]) == [forget_at(Y, OLD)]


def test_a_cluster_that_comes_back_claims_anew(anew: Checked):
    anew.handle([holds(X, CLAIM), PeerLost(X)])
    anew.handle([*cluster(X), holds(X, CLAIM)])
    anew.handle([resumes(A, 1, (0, 1))])
    assert states(anew) == [(0, 1, "assigned")]
    assert forget_at(X, OLD) not in anew.handle([], now=60.0)


def test_a_run_that_was_adopted_for_one_batch_is_not_adopted_for_another(anew: Checked):
    anew.handle([client(B.owner), holds(X, CLAIM), resumes(B, 1, (0, 1)), holds(X, held(B, OLD, queued=[(0, 1)]))])
    anew.handle([resumes(A, 1, (0, 1))])
    assert (states(anew, A), states(anew, B)) == ([(0, 1, "held")], [(0, 1, "assigned")])
    anew.handle([finishes(X, OLD, values(0, 1))])
    assert states(anew, A) == [(0, 1, "held")]
