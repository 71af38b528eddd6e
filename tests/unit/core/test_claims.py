"""Late claims: a cluster has what was placed anew elsewhere; who began it keeps it, and of two the first wins."""

import pytest

from scaler.core.events import PeerLost, Send
from scaler.core.lifecycle import State
from scaler.protocol import BatchOptions, ReturnReason, WorkersReady
from tests.unit.core.examples import (
    ALICE,
    BOB,
    DIED,
    EARLIER,
    OLD,
    TRY_AGAIN,
    A,
    Checked,
    X,
    Y,
    answers,
    appends,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    cluster,
    confirms,
    defines,
    delivered_at,
    finishes,
    forget_at,
    function_for,
    held,
    holds,
    maps,
    outcomes,
    results_for,
    resumes,
    retract_at,
    returns,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)

TWICE = BatchOptions(retries=2, retry_delay_s=1.0)


@pytest.fixture
def placed(anew: Checked) -> Checked:
    """The window is over; two tasks of four were sent to X anew."""
    anew.handle([resumes(A, 4, (0, 4)), defines()])
    anew.handle([], now=3.0)
    assert anew.handle([appends(A, 0, 2)], now=3.0) == [function_for(X), span_for(X, run_id(1), A, 0, 2)]
    return anew


def test_a_late_claim_of_what_waits_for_its_arguments_is_adopted(placed: Checked):
    assert placed.handle([holds(Y, held(A, OLD, queued=[(3, 4)], running=(2,)))], now=4.0) == []
    assert states(placed) == [(0, 2, "assigned"), (2, 3, "running"), (3, 4, "assigned")]


def test_a_late_claim_of_what_runs_asks_it_back_from_where_it_was_placed_anew(placed: Checked):
    assert placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=4.0) == [retract_at(X, run_id(1), 0, 1)]
    assert placed.handle([returns(X, run_id(1), (0, 1)), answers(X, run_id(1), 0, 1)], now=4.0) == []
    assert states(placed) == [(0, 1, "running"), (1, 2, "assigned"), (2, 4, "waiting")]
    assert placed.handle([finishes(Y, OLD, values(0, 1))], now=4.1) == [results_for(A, values(0, 1))]


@pytest.mark.parametrize("reason", [ReturnReason.BYSTANDER, ReturnReason.EXPIRED])
def test_a_claim_of_what_its_cluster_has_given_back_since_is_void(placed: Checked, reason: ReturnReason):
    assert placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=4.0) == [retract_at(X, run_id(1), 0, 1)]
    placed.handle([returns(Y, OLD, (0, 1), reason=reason)], now=4.0)
    placed.handle([returns(X, run_id(1), (0, 1)), answers(X, run_id(1), 0, 1)], now=4.0)
    [(lo, hi, state), *_] = states(placed)
    assert (lo, hi, state) == (0, 1, "assigned")


def test_a_late_claim_of_what_only_waits_there_is_declined(placed: Checked):
    assert placed.handle([holds(Y, held(A, OLD, queued=[(0, 2)]))], now=4.0) == [forget_at(Y, OLD)]


def test_if_both_have_begun_the_first_result_wins_and_the_other_is_stopped(placed: Checked):
    placed.handle([begins(X, (run_id(1), 0), (run_id(1), 1))], now=3.0)
    assert placed.handle([holds(Y, held(A, OLD, running=(0, 1)))], now=3.0) == []
    assert placed.handle([finishes(Y, OLD, values(0, 1))], now=3.05) == [
        results_for(A, values(0, 1)),
        cancel_at(X, run_id(1), (0, 1)),
    ]
    assert placed.handle([finishes(X, run_id(1), values(1, 2))], now=3.05) == [
        results_for(A, values(1, 2)),
        cancel_at(Y, OLD, (1, 2)),
    ]
    assert placed.handle([confirms(X, run_id(1), (0, 1)), confirms(Y, OLD, (1, 2))], now=3.06) == []
    assert placed.handle([takes(A, (0, 2))], now=3.07) == [
        delivered_at(Y, OLD, (0, 1)),
        delivered_at(X, run_id(1), (1, 2)),
    ]


def test_a_claim_may_name_what_runs_and_what_is_finished(placed: Checked):
    placed.handle([begins(X, (run_id(1), 0), (run_id(1), 1))], now=3.0)
    assert placed.handle([holds(Y, held(A, OLD, running=(0,), finished=[(1, 2)]))], now=3.0) == []
    assert placed.handle([finishes(Y, OLD, values(0, 2))], now=3.0) == [
        results_for(A, values(0, 2)),
        cancel_at(X, run_id(1), (0, 2)),
    ]


def test_a_failure_of_the_claimer_is_dropped_while_the_task_runs_elsewhere(placed: Checked):
    placed.handle([begins(X, (run_id(1), 0))], now=3.0)
    placed.handle([holds(Y, held(A, OLD, finished=[(0, 1)]))], now=3.0)
    assert placed.handle([finishes(Y, OLD, outcomes(0, [DIED]))], now=3.0) == [delivered_at(Y, OLD, (0, 1))]
    assert states(placed)[0] == (0, 1, "running")


def test_when_the_other_cluster_is_lost_the_claimer_keeps_the_task(placed: Checked):
    placed.handle([begins(X, (run_id(1), 0))], now=3.0)
    placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    placed.handle([PeerLost(X)], now=3.0)
    assert states(placed)[0] == (0, 1, "running")
    assert placed.handle([finishes(Y, OLD, values(0, 1))], now=3.0)[0] == results_for(A, values(0, 1), attempts=2)


def test_when_the_claimer_is_lost_the_task_stays_where_it_is(placed: Checked):
    placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    placed.handle([PeerLost(Y)], now=3.0)
    assert states(placed)[0] == (0, 1, "retracting")


def test_a_task_that_two_clusters_have_is_cancelled_at_both(placed: Checked):
    placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    assert placed.handle([cancels(A, (0, 1))], now=3.0) == [
        cancel_at(Y, OLD, (0, 1)),
        cancel_at(X, run_id(1), (0, 1)),
    ]
    assert placed.handle([confirms(X, run_id(1), (0, 1)), confirms(Y, OLD, (0, 1))], now=3.0) == [
        cancelled_for(A, (0, 1))
    ]


def test_a_claim_of_what_is_cancelled_or_done_is_declined(placed: Checked):
    placed.handle([cancels(A, (0, 1)), finishes(X, run_id(1), values(1, 2))], now=3.0)
    assert placed.handle([holds(Y, held(A, OLD, running=(0, 1)))], now=3.0) == [forget_at(Y, OLD)]


def test_a_task_in_its_pause_that_a_claimer_finishes_is_done(placed: Checked):
    batch = placed.managers.tasks.batches[A]
    batch.options = TWICE
    placed.handle([begins(X, (run_id(1), 0))], now=3.0)
    placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    placed.handle([finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))], now=3.0)
    assert states(placed)[0] == (0, 1, "waiting")
    assert placed.handle([finishes(Y, OLD, values(0, 1))], now=3.0) == [results_for(A, values(0, 1), attempts=2)]
    assert placed.handle([], now=9.0) == []


def test_a_task_whose_pause_ends_goes_to_the_cluster_that_has_it_already(placed: Checked):
    batch = placed.managers.tasks.batches[A]
    batch.options = TWICE
    placed.handle([begins(X, (run_id(1), 0))], now=3.0)
    placed.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    placed.handle([finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))], now=3.0)
    placed.handle([], now=4.0)
    assert states(placed)[0] == (0, 1, "running")


def test_a_cluster_that_was_given_up_and_comes_back_keeps_what_nobody_else_has(core: Checked):
    core.handle(maps(A, 4))
    core.handle([PeerLost(X)])
    assert core.managers.tasks.tasks_in[State.QUEUED] == 4
    commands = core.handle([*cluster(X), holds(X, held(A, run_id(1), running=(0,), queued=[(1, 2)]))])
    assert said(commands) == [Send(ALICE, WorkersReady(ready=True)), Send(BOB, WorkersReady(ready=True))]
    assert states(core) == [(0, 1, "running"), (1, 2, "assigned"), (2, 4, "queued")]


def test_a_cluster_that_has_a_task_twice_loses_both_at_once_and_is_charged_once(core: Checked):
    core.handle(maps(A, 2))
    core.handle([begins(X, (run_id(1), 0))])
    core.handle([*cluster(Y), PeerLost(X)])
    core.handle([begins(Y, (run_id(2), 0))])
    core.handle([*cluster(X), holds(X, held(A, run_id(1), running=(0, 1)))])
    core.handle([holds(Y, held(A, run_id(9, EARLIER), running=(0,)))])
    core.handle([PeerLost(Y)])
    span = core.managers.tasks.batches[A].spans.at(0)
    assert span is not None
    assert (span.state, span.counts.vanished, span.run and span.run.peer) == (State.RUNNING, 2, X)


def test_a_failure_that_was_charged_is_not_charged_again_when_its_cluster_comes_back_with_it(core: Checked):
    once = BatchOptions(retries=1, retry_delay_s=1.0)
    core.handle(maps(A, 1, once))
    failure = finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))
    core.handle([failure, PeerLost(X)])
    back = [*cluster(X), holds(X, held(A, run_id(1), finished=[(0, 1)])), failure]
    assert forget_at(X, run_id(1)) in core.handle(back)
    assert states(core) == [(0, 1, "waiting")]
    assert span_for(X, run_id(2), A, 0, 1, once) in core.handle([], now=1.0)
    last = outcomes(0, [TRY_AGAIN])
    assert core.handle([finishes(X, run_id(2), last)], now=1.0) == [results_for(A, last, attempts=2)]


def test_arguments_that_are_known_again_are_not_asked_for_twice(placed: Checked):
    assert placed.handle([returns(X, run_id(1), (0, 2))], now=4.0) == [
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 2),
    ]
