"""After a restart, or after a peer was given up: what clients wait for and what clusters have is put together again."""

import pytest

from scaler.core.events import PeerLost, Received, Send
from scaler.ids import Incarnation, TaskId
from scaler.protocol import BatchOptions, NeedFunction, Resumed, ReturnReason
from scaler.protocol.columns import FAILED
from tests.unit.core.examples import (
    A2,
    ALICE,
    BOB,
    EARLIER,
    FINE,
    MISTAKE,
    OLD,
    OPERATOR,
    TRY_AGAIN,
    A,
    B,
    Checked,
    F,
    X,
    Y,
    Z,
    answers,
    appends,
    began_for,
    begins,
    cancel_at,
    client,
    closes,
    cluster,
    cut_off,
    defines,
    delivered_at,
    finishes,
    forget_at,
    function_for,
    held,
    holds,
    need_tasks,
    opens,
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


# ---- the window


def test_what_nobody_claims_is_queued_when_the_window_ends_and_only_then_are_arguments_asked_for(anew: Checked):
    assert anew.handle([resumes(A, 4, (0, 1), (2, 4))]) == []
    assert states(anew) == [(0, 1, "held"), (2, 4, "held")]
    assert anew.next_deadline() == 3.0
    assert anew.handle([], now=2.9) == []
    assert anew.handle([], now=3.0) == [Send(ALICE, NeedFunction(F))]
    assert anew.handle([defines()], now=3.0) == [need_tasks(A, 0, 1), need_tasks(A, 2, 4)]
    assert anew.handle([appends(A, 2, 4)], now=3.1) == [function_for(X), span_for(X, run_id(1), A, 2, 4)]
    assert anew.handle([appends(A, 0, 1)], now=3.1) == [function_for(Y), span_for(Y, run_id(2), A, 0, 1)]


def test_peers_that_arrive_keep_the_window_open_a_little_but_not_for_ever(anew: Checked):
    anew.handle([resumes(A, 1, (0, 1)), defines()])
    anew.handle(cluster(Z), now=2.5)
    assert anew.handle([], now=3.0) == []
    assert anew.next_deadline() == 3.5
    anew.handle([client(BOB)], now=3.4)
    anew.handle([client(OPERATOR, "operator")], now=4.3)
    anew.handle([], now=3.5)
    assert anew.next_deadline() == 5.0
    assert anew.handle([client(Incarnation(4))], now=5.0)[-1] == need_tasks(A, 0, 1)


def test_a_client_that_resumes_later_has_a_window_of_its_own(anew: Checked):
    anew.handle([resumes(A, 1, (0, 1)), defines()], now=10.0)
    assert anew.next_deadline() == 13.0
    assert anew.handle([], now=13.0) == [need_tasks(A, 0, 1)]


def test_a_batch_that_still_grows_goes_on_where_it_was(anew: Checked):
    anew.handle([resumes(A, None, (0, 2), (4, 6)), defines()])
    assert anew.handle([appends(A, 9, 10)]) == [function_for(X), span_for(X, run_id(1), A, 9, 10)]
    assert states(anew) == [(0, 2, "held"), (4, 6, "held"), (9, 10, "assigned")]
    anew.handle([closes(A, 10)])
    assert anew.managers.tasks.batches[A].is_closed


def test_a_batch_may_be_closed_beyond_what_is_waited_for(anew: Checked):
    anew.handle([resumes(A, None), resumes(A2, None, (0, 1))])
    anew.handle([closes(A, 7), closes(A2, 7)])
    assert list(anew.managers.tasks.batches) == [A2]


def test_a_client_that_waits_for_nothing_more_is_done_at_once(anew: Checked):
    anew.handle([resumes(A, 5)])
    assert anew.managers.tasks.by_serial == {}


@pytest.mark.parametrize(
    "wrong",
    [
        resumes(A, 3, (0, 4)),
        resumes(A, -1),
        resumes(A2, 3),
        Received(ALICE, resumes(B, 3).message),
        resumes(A, 3, options=BatchOptions(parent=TaskId(A, 1))),
    ],
)
def test_what_cannot_be_resumed_ends_the_client(anew: Checked, wrong: Received):
    anew.handle([opens(A2)])
    assert cut_off(anew.handle([wrong])) == [ALICE]


# ---- claims


def test_a_cluster_keeps_what_waits_and_runs_there(anew: Checked):
    anew.handle([resumes(A, 3, (0, 3))])
    assert anew.handle([holds(X, held(A, OLD, queued=[(2, 3)], running=(1,)))]) == []
    assert states(anew) == [(0, 1, "held"), (1, 2, "running"), (2, 3, "assigned")]
    assert anew.handle([finishes(X, OLD, values(1, 3))]) == [results_for(A, values(1, 3))]
    assert anew.handle([takes(A, (1, 3))]) == [delivered_at(X, OLD, (1, 3))]


def test_results_that_follow_a_claim_go_to_the_client(anew: Checked):
    anew.handle([resumes(A, 4, (0, 4))])
    assert anew.handle([holds(X, held(A, OLD, finished=[(0, 2)])), finishes(X, OLD, values(0, 2))]) == [
        results_for(A, values(0, 2))
    ]
    assert states(anew) == [(0, 2, "done"), (2, 4, "held")]
    assert anew.handle([takes(A, (0, 2))]) == [delivered_at(X, OLD, (0, 2))]


def test_a_finished_claim_is_waited_for_beyond_the_window(anew: Checked):
    anew.handle([resumes(A, 2, (0, 2)), defines(), holds(X, held(A, OLD, finished=[(0, 1)]))])
    assert anew.handle([], now=3.0) == [need_tasks(A, 1, 2)]
    assert states(anew) == [(0, 1, "held"), (1, 2, "waiting")]
    assert anew.handle([finishes(X, OLD, values(0, 1))], now=9.0) == [results_for(A, values(0, 1))]


def test_a_finished_claim_that_is_lost_with_its_cluster_is_queued(anew: Checked):
    anew.handle([resumes(A, 1, (0, 1)), defines(), holds(X, held(A, OLD, finished=[(0, 1)]))])
    anew.handle([], now=3.0)
    assert said(anew.handle([PeerLost(X)], now=4.0)) == [need_tasks(A, 0, 1)]


def test_a_failed_result_of_a_claim_may_be_tried_again(anew: Checked):
    anew.handle([resumes(A, 3, (0, 3), options=TWICE), defines()])
    column = outcomes(0, [TRY_AGAIN, FINE, MISTAKE])
    assert anew.handle([holds(X, held(A, OLD, finished=[(0, 3)])), finishes(X, OLD, column)]) == [
        results_for(A, column.slice(1, 3)),
        delivered_at(X, OLD, (0, 1)),
    ]
    assert states(anew) == [(0, 1, "waiting"), (1, 2, "done"), (2, 3, "failed")]
    assert anew.handle([], now=anew.config.recovery_s - 0.01) == []
    assert anew.handle([], now=anew.config.recovery_s + 0.01) == [need_tasks(A, 0, 1)]


def test_a_failed_result_of_a_claim_waits_for_who_has_tried_again_for_the_scheduler_before(anew: Checked):
    anew.handle([resumes(A, 3, (0, 1), options=TWICE), defines()])
    anew.handle([holds(X, held(A, OLD, finished=[(0, 1)])), finishes(X, OLD, outcomes(0, [TRY_AGAIN]))])
    other = run_id(6, EARLIER)
    anew.handle([holds(Y, held(A, other, finished=[(0, 1)]))], now=0.5)
    column = outcomes(0, [FINE])
    assert results_for(A, column, attempts=2) in anew.handle([finishes(Y, other, column)], now=0.5)
    assert anew.handle([], now=anew.config.recovery_s + 0.01) == []


def test_what_of_a_claim_nobody_wants_is_dropped_there(anew: Checked):
    anew.handle([resumes(A, 9, (0, 1), (4, 5))])
    assert anew.handle([holds(X, held(A, OLD, queued=[(0, 2)], running=(2,), finished=[(3, 5)]))]) == [
        cancel_at(X, OLD, (1, 3)),
        delivered_at(X, OLD, (3, 4)),
    ]


def test_a_claim_of_nothing_wanted_is_forgotten(anew: Checked):
    anew.handle([resumes(A, 9, (0, 1))])
    assert anew.handle([holds(X, held(A, OLD, finished=[(3, 5)]), held(A, run_id(6, EARLIER)))]) == [
        forget_at(X, OLD),
        forget_at(X, run_id(6, EARLIER)),
    ]


def test_a_run_that_is_known_is_not_claimed_again(anew: Checked):
    anew.handle([resumes(A, 2, (0, 2))])
    claim = holds(X, held(A, OLD, queued=[(0, 2)]))
    anew.handle([claim])
    assert anew.handle([claim, Received(Y, claim.message)]) == []


# ---- clusters that come before their clients


def test_a_claim_waits_for_its_client_with_all_that_is_said_of_it(anew: Checked):
    claim = held(A, OLD, queued=[(0, 2)], running=(2,), finished=[(3, 4)])
    early = [
        holds(X, claim),
        finishes(X, OLD, values(3, 4)),
        returns(X, OLD, (0, 1), reason=ReturnReason.NOT_BEGUN),
        finishes(X, OLD, values(2, 3)),
    ]
    assert anew.handle(early) == []
    assert anew.handle([resumes(A, 4, (0, 4))]) == [
        results_for(A, values(3, 4)),
        need_tasks(A, 0, 1),
        results_for(A, values(2, 3)),
    ]
    assert states(anew) == [(0, 1, "waiting"), (1, 2, "assigned"), (2, 4, "done")]


def test_what_was_said_to_run_before_its_client_came_has_begun_when_it_is_said_again(anew: Checked):
    anew.handle([holds(X, held(A, OLD, queued=((0, 1),)))], now=0.1)
    anew.handle([begins(X, (OLD, 0))], now=0.2)
    anew.handle([resumes(A, 1, (0, 1)), Received(ALICE, Resumed())], now=0.3)
    assert states(anew) == [(0, 1, "assigned")]
    anew.handle([begins(X, (OLD, 0))], now=0.4)
    assert states(anew) == [(0, 1, "running")]
    assert began_for(A, (0, 1)) in anew.handle([], now=1.0)


def test_a_claim_whose_client_does_not_come_is_kept_until_its_absence_is_believed(anew: Checked):
    anew.handle([holds(X, held(A, OLD, finished=[(0, 1)])), finishes(X, OLD, values(0, 1))])
    assert anew.next_deadline() == 60.0
    assert anew.handle([], now=59.9) == []
    assert anew.handle([], now=60.0) == [forget_at(X, OLD)]
    assert anew.handle([finishes(X, OLD, values(0, 1))], now=61.0) == [forget_at(X, OLD)]


def test_a_claim_on_what_its_client_did_not_name_is_forgotten_once_the_client_has_named_all(anew: Checked):
    anew.handle([holds(X, held(A, OLD, queued=[(0, 1)]))])
    assert anew.handle([Received(ALICE, Resumed())]) == [forget_at(X, OLD)]
    assert anew.handle([holds(Y, held(A, run_id(9, EARLIER), queued=[(0, 1)]))]) == [forget_at(Y, run_id(9, EARLIER))]


def test_when_absence_is_believed_an_unknown_run_is_forgotten_at_once(anew: Checked):
    assert anew.handle([holds(X, held(A, OLD, queued=[(0, 1)]))], now=60.0) == [forget_at(X, OLD)]


def test_a_claim_of_a_cluster_that_is_gone_again_is_void(anew: Checked):
    anew.handle([holds(X, held(A, OLD, running=(0,))), holds(Y, held(B, run_id(9, EARLIER), running=(0,)))])
    anew.handle([PeerLost(X), PeerLost(Y)])
    anew.handle([resumes(A, 1, (0, 1))])
    assert states(anew) == [(0, 1, "held")]
    anew.handle([], now=3.0)
    assert anew.managers.tasks.runs == {}


@pytest.mark.parametrize(
    "wrong",
    [
        finishes(X, OLD, values(0, 9)),
        finishes(X, OLD, outcomes(0, [(FAILED, b"no failure")])),
        finishes(X, run_id(6, EARLIER), values(0, 1)),
    ],
)
def test_a_broken_result_of_an_early_claim_ends_its_cluster_at_once_and_not_its_client(anew: Checked, wrong: Received):
    anew.handle([holds(X, held(A, OLD, finished=[(0, 1)]), held(A, run_id(6, EARLIER)))])
    assert cut_off(anew.handle([wrong])) == [X]
    assert anew.handle([resumes(A, 1, (0, 1))]) == []


def test_another_clusters_result_is_not_kept_with_a_claim(anew: Checked):
    anew.handle([holds(X, held(A, OLD, finished=[(0, 1)]))])
    assert anew.handle([finishes(Y, OLD, values(0, 1))]) == [forget_at(Y, OLD)]


# ---- arguments


def test_what_a_claimer_hands_back_is_asked_of_the_client(anew: Checked):
    anew.handle([resumes(A, 4, (0, 4)), defines(), holds(X, held(A, OLD, queued=[(0, 2)]))])
    assert anew.handle([returns(X, OLD, (0, 2), reason=ReturnReason.NOT_BEGUN)]) == [need_tasks(A, 0, 2)]
    assert anew.handle([appends(A, 0, 1)]) == [function_for(Y), span_for(Y, run_id(1), A, 0, 1)]
    assert states(anew) == [(0, 1, "assigned"), (1, 2, "waiting"), (2, 4, "held")]


def test_a_task_that_comes_back_without_arguments_is_adopted_when_they_are_here(anew: Checked):
    anew.handle([resumes(A, 1, (0, 1)), defines(), holds(X, held(A, OLD, queued=[(0, 1)]))])
    other = run_id(6, EARLIER)
    assert anew.handle([holds(Y, held(A, other, running=(0,)))]) == [retract_at(X, OLD, 0, 1)]
    assert anew.handle([returns(X, OLD, (0, 1)), answers(X, OLD, 0, 1)]) == [need_tasks(A, 0, 1)]
    assert anew.handle([appends(A, 0, 1)]) == []
    assert anew.handle([finishes(Y, other, values(0, 1))]) == [results_for(A, values(0, 1))]


def test_arguments_that_nobody_asked_for_are_passed_over(anew: Checked):
    anew.handle([resumes(A, 4, (0, 4))])
    assert anew.handle([appends(A, 0, 4)]) == []
    assert anew.managers.tasks.batches[A].store.live() == []


def test_a_function_nobody_sent_anew_is_asked_of_a_client_that_has_it(anew: Checked):
    anew.handle([resumes(A, 2, (0, 2)), holds(X, held(A, OLD, running=(0,)))])
    assert anew.handle([Received(X, NeedFunction(F))]) == [Send(ALICE, NeedFunction(F))]
    assert anew.handle([defines()]) == [function_for(X)]


def test_a_cluster_that_asked_for_a_function_and_is_gone_is_not_sent_it(anew: Checked):
    anew.handle([resumes(A, 2, (0, 2)), holds(X, held(A, OLD, running=(0,))), holds(Y, held(A, OLD, running=(1,)))])
    anew.handle([Received(X, NeedFunction(F)), Received(Y, NeedFunction(F)), PeerLost(X)])
    assert anew.handle([defines()]) == [function_for(Y), need_tasks(A, 0, 1)]


def test_a_function_whose_client_is_gone_is_asked_of_nobody(anew: Checked):
    anew.handle([resumes(A, 2, (0, 2)), holds(X, held(A, OLD, running=(0,)))])
    assert said(anew.handle([PeerLost(ALICE), Received(X, NeedFunction(F))])) == [cancel_at(X, OLD, (0, 1))]
