"""Cancelling what has not begun, and nothing else: True must mean that a task never ran."""

import pytest

from scaler.core.events import PeerLost
from scaler.protocol import BatchOptions, ReturnReason
from tests.unit.core.examples import (
    ALICE,
    DIED,
    OLD,
    A,
    Checked,
    X,
    Y,
    answers,
    appends,
    began_for,
    begins,
    cancelled_for,
    cancels,
    cancels_unbegun,
    client,
    cluster,
    confirms,
    defines,
    finishes,
    held,
    holds,
    knows,
    maps,
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


@pytest.fixture
def busy(core: Checked) -> Checked:
    """X has four of Alice's six tasks, of half a lookahead each, in two slots; nobody has said that any runs."""
    knows(core, run_us=60_000)
    core.handle(maps(A, 6))
    assert states(core) == [(0, 4, "assigned"), (4, 6, "queued")]
    return core


def test_what_is_at_no_cluster_is_cancelled_at_once(busy: Checked):
    assert busy.handle([cancels_unbegun(A, (4, 6))]) == [cancelled_for(A, (4, 6))]


def test_what_runs_is_left_alone_and_told_of(busy: Checked):
    busy.handle([begins(X, (run_id(1), 0), (run_id(1), 1))])
    assert busy.handle([cancels_unbegun(A, (0, 2))]) == [began_for(A, (0, 2))]
    assert states(busy)[0] == (0, 2, "running")


def test_what_a_cluster_may_have_begun_is_asked_back_and_cancelled_when_it_comes(busy: Checked):
    assert busy.handle([cancels_unbegun(A, (1, 4))]) == [retract_at(X, run_id(1), 1, 4)]
    assert busy.handle([returns(X, run_id(1), (2, 4))]) == [cancelled_for(A, (2, 4)), span_for(X, run_id(2), A, 4, 6)]
    assert busy.handle([answers(X, run_id(1), 1, 4)]) == [began_for(A, (1, 2))]
    assert states(busy) == [
        (0, 1, "assigned"),
        (1, 2, "running"),
        (2, 4, "cancelled"),
        (4, 6, "assigned"),
    ]


def test_what_is_on_its_way_back_already_is_not_asked_for_again(busy: Checked):
    busy.handle([cancels(A, (4, 6))])
    assert said(busy.handle(cluster(Y)))[-1] == retract_at(X, run_id(1), 2, 4)
    assert busy.handle([cancels_unbegun(A, (3, 4))]) == []
    commands = busy.handle([returns(X, run_id(1), (2, 4)), answers(X, run_id(1), 2, 4)])
    assert cancelled_for(A, (3, 4)) in commands
    assert span_for(Y, run_id(2), A, 2, 3) in commands


def test_asking_again_while_the_answer_is_on_its_way_changes_nothing(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 4))])
    assert busy.handle([cancels_unbegun(A, (1, 4))]) == []
    assert busy.handle([returns(X, run_id(1), (1, 4)), answers(X, run_id(1), 1, 4)])[0] == cancelled_for(A, (1, 4))


def test_what_finished_before_the_answer_is_told_by_its_result_alone(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 2))])
    column = values(0, 2)
    assert results_for(A, column) in busy.handle([finishes(X, run_id(1), column)])
    assert busy.handle([answers(X, run_id(1), 1, 2)]) == []
    assert busy.handle([cancels_unbegun(A, (0, 2))]) == []


def test_what_is_cancelled_the_other_way_meanwhile_is_answered_once(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 2)), cancels(A, (1, 2))])
    back = busy.handle([returns(X, run_id(1), (1, 2)), answers(X, run_id(1), 1, 2)])
    assert back == [cancelled_for(A, (1, 2)), span_for(X, run_id(2), A, 4, 5)]
    busy.handle([cancels(A, (2, 3))])
    confirmed = busy.handle([cancels_unbegun(A, (2, 3)), confirms(X, run_id(1), (2, 3))])
    assert confirmed == [cancelled_for(A, (2, 3)), span_for(X, run_id(3), A, 5, 6)]


def test_what_began_once_and_waits_for_its_next_attempt_has_begun(core: Checked):
    core.handle(maps(A, 1, BatchOptions(name="f", retries=1, retry_delay_s=5.0)))
    core.handle([finishes(X, run_id(1), outcomes(0, [DIED]))])
    assert core.handle([cancels_unbegun(A, (0, 1))])[0] == began_for(A, (0, 1))


def test_a_cluster_that_handed_it_back_unasked_has_not_begun_it(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 4))])
    commands = busy.handle([returns(X, run_id(1), (1, 4), reason=ReturnReason.NOT_BEGUN)])
    assert cancelled_for(A, (1, 4)) in commands


def test_of_a_task_whose_cluster_is_lost_nothing_is_said_until_it_is_asked_again(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 2))])
    assert cancelled_for(A, (1, 2)) not in busy.handle([PeerLost(X)])
    assert busy.handle([cancels_unbegun(A, (1, 2))]) == [cancelled_for(A, (1, 2))]


def test_after_a_restart_nothing_is_said_of_what_nobody_has_claimed_yet(anew: Checked):
    anew.handle([defines(), resumes(A, 2, (0, 2))])
    assert anew.handle([cancels_unbegun(A, (0, 2))]) == []
    assert [state for _, _, state in states(anew)] == ["held"]


def test_what_another_cluster_also_has_may_have_begun_there(anew: Checked):
    anew.handle([resumes(A, 1, (0, 1)), defines()])
    anew.handle([], now=3.0)
    anew.handle([appends(A, 0, 1)], now=3.0)
    anew.handle([holds(Y, held(A, OLD, running=(0,)))], now=3.0)
    assert states(anew) == [(0, 1, "retracting")]
    assert anew.handle([cancels_unbegun(A, (0, 1))], now=3.0) == [began_for(A, (0, 1))]


def test_a_client_that_is_gone_hears_nothing(busy: Checked):
    busy.handle([cancels_unbegun(A, (1, 4))])
    busy.handle([PeerLost(ALICE)])
    assert busy.handle([returns(X, run_id(1), (1, 4)), answers(X, run_id(1), 1, 4)]) == []


def test_a_cluster_that_gave_back_what_is_cancelled_may_have_others_of_the_kind_at_once(empty: Checked):
    gpu = BatchOptions(name="f", tag="gpu")
    empty.handle([client(), *cluster(X, tags=("gpu",)), *cluster(Y), *maps(A, 6, gpu)])
    assert states(empty) == [(0, 2, "assigned"), (2, 6, "queued")]
    empty.handle([cancels_unbegun(A, (0, 2))])
    back = empty.handle([returns(X, run_id(1), (0, 2)), answers(X, run_id(1), 0, 2)])
    assert back == [cancelled_for(A, (0, 2)), span_for(X, run_id(2), A, 2, 4, gpu)]


def test_calls_that_have_only_just_come_are_cancelled_with_the_same_breath(core: Checked):
    assert cancelled_for(A, (0, 2)) in core.handle([defines(), opens(A), appends(A, 0, 2), cancels_unbegun(A, (0, 2))])
    core.handle([takes(A, (0, 2))])
