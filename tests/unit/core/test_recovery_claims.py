"""Claims on work whose client has not come back: one is kept where not all can be true, and not more than fits."""

import pytest

from scaler.core import recovery
from scaler.core.config import CoreConfig
from scaler.core.events import Command, Event, PeerLost, Received, Send
from scaler.ids import BatchId, RunId
from scaler.protocol import NeedResults, Resumed, ReturnReason
from tests.unit.core.examples import (
    ALICE,
    EARLIER,
    OLD,
    A,
    B,
    Checked,
    X,
    Y,
    client,
    cluster,
    cut_off,
    finishes,
    forget_at,
    held,
    holds,
    maps,
    need_tasks,
    ranges,
    results_for,
    resumes,
    returns,
    run_id,
    states,
    takes,
    values,
)

CLAIM = held(A, OLD, queued=[(0, 1)])
OTHER = run_id(6, EARLIER)


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


@pytest.mark.parametrize("batch", [A, B])
@pytest.mark.parametrize("n", [0, 2, 1000])
def test_a_run_that_this_scheduler_has_not_given_out_is_nobodys(core: Checked, batch: BatchId, n: int):
    core.handle(maps(A, 2))
    assert cut_off(core.handle([holds(X, held(batch, run_id(n), queued=[(0, 1)]))])) == [X]
    assert list(core.managers.tasks.runs) == []


def test_runs_given_out_before_or_by_an_earlier_scheduler_may_be_held(core: Checked):
    core.handle(maps(A, 1))
    core.handle([finishes(X, run_id(1), values(0, 1)), takes(A, (0, 1))])
    claims = [held(A, run_id(1), finished=[(0, 1)]), held(B, OLD, queued=[(0, 1)]), held(B, OTHER, queued=[(0, 1)])]
    assert core.handle([holds(X, *claims)], now=60.0) == [forget_at(X, claim.run) for claim in claims]


# ---- how much is kept of them

#: room for one report with a byte of results, and for no second
ROOM_FOR_ONE = CoreConfig(early_bytes=1500)


@pytest.fixture
def narrow() -> Checked:
    """One that has just started and can keep little; X and Y have come back, and Alice, who has said nothing yet."""
    core = Checked(ROOM_FOR_ONE)
    core.handle([client(ALICE), *cluster(X), *cluster(Y)])
    return core


def say_again_at(run: RunId, *pairs: tuple[int, int]) -> Command:
    return Send(X, NeedResults(run, ranges(*pairs)))


def test_results_that_there_is_no_room_for_are_asked_for_when_their_client_is_back(narrow: Checked):
    narrow.handle([holds(X, held(A, OLD, queued=[(0, 1), (3, 4)], running=(1,), finished=[(2, 3)]))])
    early = [finishes(X, OLD, values(n, n + 1)) for n in (0, 1, 2)]
    handed_back = returns(X, OLD, (3, 4), reason=ReturnReason.NOT_BEGUN)
    assert narrow.handle([*early, handed_back]) == []
    assert narrow.handle([resumes(A, 4, (0, 4))]) == [
        results_for(A, values(0, 1)),
        need_tasks(A, 3, 4),
        say_again_at(OLD, (1, 3)),
    ]
    assert states(narrow) == [(0, 1, "done"), (1, 2, "running"), (2, 3, "held"), (3, 4, "waiting")]
    assert narrow.handle([finishes(X, OLD, values(1, 3))], now=9.0) == [results_for(A, values(1, 3))]


def test_room_is_given_back_when_a_client_is_there_or_is_not_waited_for(narrow: Checked):
    first, second = holds(X, held(A, OLD, finished=[(0, 1)])), holds(X, held(A, OTHER, finished=[(1, 2)]))
    narrow.handle([first, finishes(X, OLD, values(0, 1)), Received(ALICE, Resumed())])
    narrow.handle([holds(X, held(B, OLD, finished=[(0, 1)])), finishes(X, OLD, values(0, 1))])
    narrow.handle([second, finishes(X, OTHER, values(1, 2)), client(B.owner)])
    assert narrow.handle([resumes(B, 1, (0, 1))]) == [results_for(B, values(0, 1))]


def test_a_claim_that_is_made_anew_gives_back_the_room_of_the_one_before(narrow: Checked):
    claim = holds(X, held(A, OLD, finished=[(0, 1)]))
    narrow.handle([claim, finishes(X, OLD, values(0, 1)), PeerLost(X)])
    narrow.handle([*cluster(X), claim, finishes(X, OLD, values(0, 1))])
    assert narrow.handle([resumes(A, 1, (0, 1))]) == [results_for(A, values(0, 1))]
    assert narrow.handle([takes(A, (0, 1))]) != []


def test_a_broken_result_ends_its_cluster_though_there_is_no_room_for_it(narrow: Checked):
    narrow.handle([holds(X, held(A, OLD, finished=[(0, 2)])), finishes(X, OLD, values(0, 1))])
    assert cut_off(narrow.handle([finishes(X, OLD, values(1, 9))])) == [X]


def test_of_a_cluster_that_is_gone_nothing_is_asked(narrow: Checked):
    narrow.handle([holds(X, held(A, OLD, finished=[(0, 2)]))])
    narrow.handle([finishes(X, OLD, values(0, 1)), finishes(X, OLD, values(1, 2)), PeerLost(X)])
    assert narrow.handle([resumes(A, 2, (0, 2))]) == []


@pytest.fixture
def room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than two claims, or a claim and what is handed back of it, of eight ranges each."""
    monkeypatch.setattr(recovery, "MOST_CLAIM_BYTES", 2 * (1024 + 8 * 128))


def every_second(count: int) -> list[tuple[int, int]]:
    return [(2 * n, 2 * n + 1) for n in range(count)]


@pytest.mark.usefixtures("room_for_two")
def test_a_claim_that_there_is_no_room_for_is_forgotten(anew: Checked):
    small, large = held(A, OLD, queued=every_second(8)), held(A, OTHER, queued=every_second(9))
    assert anew.handle([holds(X, small)]) == []
    assert anew.handle([holds(Y, large)]) == [forget_at(Y, OTHER)]
    assert anew.handle([holds(Y, held(A, OTHER, queued=[(20, 21)]))]) == []
    anew.handle([resumes(A, 21, (0, 1), (18, 19), (20, 21))])
    assert states(anew) == [(0, 1, "assigned"), (18, 19, "held"), (20, 21, "assigned")]


@pytest.mark.usefixtures("room_for_two")
def test_a_claim_that_grows_beyond_its_room_by_what_is_handed_back_is_forgotten(anew: Checked):
    anew.handle([holds(X, held(A, OLD, queued=every_second(8)))])
    handed_back = returns(X, OLD, *every_second(8), reason=ReturnReason.NOT_BEGUN)
    assert anew.handle([handed_back]) == []
    assert anew.handle([handed_back]) == [forget_at(X, OLD)]
    anew.handle([resumes(A, 1, (0, 1))])
    assert states(anew) == [(0, 1, "held")]


@pytest.mark.usefixtures("room_for_two")
@pytest.mark.parametrize("end", [PeerLost(X), Received(ALICE, Resumed())])
def test_room_of_claims_is_given_back_when_they_are_nobodys(anew: Checked, end: Event):
    claims = [held(A, OLD, queued=every_second(8)), held(A, OTHER, queued=every_second(8))]
    anew.handle([client(B.owner), holds(X, *claims)])
    refused = holds(Y, held(B, run_id(8, EARLIER), queued=every_second(24)))
    assert anew.handle([refused]) == [forget_at(Y, run_id(8, EARLIER))]
    anew.handle([end])
    assert anew.handle([refused]) == []


def test_a_result_told_again_and_again_takes_no_more_than_its_room(narrow: Checked):
    narrow.handle([holds(X, held(A, OLD, finished=[(0, 1)]))])
    again = finishes(X, OLD, values(0, 1))
    assert narrow.handle([again] * 100) == []
    assert narrow.handle([resumes(A, 1, (0, 1))]) == [results_for(A, values(0, 1)), say_again_at(OLD, (0, 1))]
