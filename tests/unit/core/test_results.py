"""What clusters report: results, what runs, what comes back, what is confirmed; and what a failure costs a task."""

from array import array

import pytest

from scaler.core.events import PeerLost, Received
from scaler.core.results import JITTER, back_off_s
from scaler.ids import BatchId, TaskId
from scaler.protocol import BatchOptions, Cause, Failure, ReturnReason, SpanResult
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, ResultColumn
from tests.unit.core.examples import (
    ALICE,
    BOB,
    DIED,
    FINE,
    MISTAKE,
    TIMED_OUT,
    TRY_AGAIN,
    A,
    Checked,
    X,
    Y,
    answers,
    began_for,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    cluster,
    confirms,
    cut_off,
    delivered_at,
    failure_for,
    finishes,
    forget_at,
    function_for,
    maps,
    outcomes,
    results_for,
    returns,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)

EXPIRED, BYSTANDER, NOT_BEGUN = ReturnReason.EXPIRED, ReturnReason.BYSTANDER, ReturnReason.NOT_BEGUN
TWICE = BatchOptions(retries=2, retry_delay_s=1.0)
OUT_OF_MEMORY = (FAILED, encode_failure(Failure(Cause.MEMORY, "too much")))


@pytest.fixture
def wide(empty: Checked) -> Checked:
    """One client and cluster X, which has four slots."""
    empty.handle([client(ALICE), *cluster(X, slots=4)])
    return empty


# ---- results


def test_values_and_failures_go_on_as_they_came(wide: Checked):
    wide.handle(maps(A, 4))
    column = outcomes(0, [FINE, MISTAKE, FINE, DIED])
    assert wide.handle([finishes(X, run_id(1), column)]) == [results_for(A, column)]
    assert states(wide) == [(0, 1, "done"), (1, 2, "failed"), (2, 3, "done"), (3, 4, "failed")]


def test_a_run_may_be_told_in_parts_and_taken_in_others(wide: Checked):
    wide.handle(maps(A, 4))
    assert wide.handle([finishes(X, run_id(1), values(2, 3))]) == [results_for(A, values(2, 3))]
    assert wide.handle([finishes(X, run_id(1), values(0, 2))]) == [results_for(A, values(0, 2))]
    assert wide.handle([takes(A, (0, 1), (2, 3))]) == [delivered_at(X, run_id(1), (0, 1), (2, 3))]


def test_a_result_that_comes_twice_is_passed_on_once_and_kept_until_it_is_taken(wide: Checked):
    wide.handle(maps(A, 4))
    result = finishes(X, run_id(1), values(0, 1))
    assert wide.handle([result, result]) == [results_for(A, values(0, 1))]
    assert wide.handle([takes(A, (0, 1))]) == [delivered_at(X, run_id(1), (0, 1))]
    assert wide.handle([result]) == [delivered_at(X, run_id(1), (0, 1))]


def test_of_a_column_only_what_is_still_wanted_goes_on(wide: Checked):
    wide.handle(maps(A, 4))
    wide.handle([finishes(X, run_id(1), values(1, 2)), takes(A, (1, 2))])
    assert wide.handle([finishes(X, run_id(1), values(0, 4))]) == [
        results_for(A, values(0, 1)),
        results_for(A, values(2, 4)),
        delivered_at(X, run_id(1), (1, 2)),
    ]


def test_results_of_a_run_nobody_knows_or_of_another_clusters_are_forgotten(core: Checked):
    core.handle([*maps(A, 2), *cluster(Y)])
    assert core.handle([finishes(X, run_id(9), values(0, 1))]) == [forget_at(X, run_id(9))]
    assert core.handle([finishes(Y, run_id(1), values(0, 1))]) == [forget_at(Y, run_id(1))]


BROKEN = {
    "ends that run backwards": ResultColumn(
        0, 3, 0, b"\0\1\0", bytes(12), array("Q", (5, 2, 3)).tobytes(), b"", (b"vvv",)
    ),
    "a failure nobody can read": outcomes(0, [FINE, (FAILED, b"no failure"), FINE]),
    "a status that is none": outcomes(0, [FINE, (77, b"?"), FINE]),
    "more than its run": values(0, 9),
}


@pytest.mark.parametrize("column", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_column_ends_its_cluster_and_loses_no_task(wide: Checked, column: ResultColumn):
    wide.handle([*maps(A, 4), *cluster(Y, slots=4)])
    commands = wide.handle([finishes(X, run_id(1), column)])
    assert cut_off(commands) == [X]
    assert said(commands)[1:] == [function_for(Y), span_for(Y, run_id(2), A, 0, 4)]


def test_a_column_that_lacks_frames_ends_its_cluster(wide: Checked):
    wide.handle(maps(A, 4))
    commands = wide.handle([Received(X, SpanResult(run_id(1), 0, 1, 0, "host/0"), values(0, 1).frames()[:3])])
    assert cut_off(commands) == [X]
    assert states(wide) == [(0, 4, "queued")]


# ---- retries


def test_a_task_whose_worker_died_runs_again_at_once(wide: Checked):
    wide.handle(maps(A, 1, TWICE))
    died = [outcomes(0, [DIED]), outcomes(0, [OUT_OF_MEMORY]), outcomes(0, [DIED])]
    for n in (1, 2):
        assert wide.handle([finishes(X, run_id(n), died[n - 1])]) == [
            span_for(X, run_id(n + 1), A, 0, 1, TWICE),
            delivered_at(X, run_id(n), (0, 1)),
        ]
    assert wide.handle([finishes(X, run_id(3), died[2])]) == [results_for(A, died[2], attempts=3)]


def test_a_task_that_raised_runs_again_after_pauses_that_double(wide: Checked):
    wide.handle(maps(A, 1, TWICE))
    raised = outcomes(0, [TRY_AGAIN])
    now = 1.0
    for n in (1, 2):
        assert wide.handle([finishes(X, run_id(n), raised)], now) == [delivered_at(X, run_id(n), (0, 1))]
        due = wide.next_deadline()
        assert due == now + back_off_s(1.0, n - 1, TaskId(A, 0))
        assert wide.handle([], due - 0.001) == []
        assert wide.handle([], due) == [span_for(X, run_id(n + 1), A, 0, 1, TWICE)]
        now = due + 5.0
    assert wide.handle([finishes(X, run_id(3), raised)]) == [results_for(A, raised, attempts=3)]


def test_pauses_double_up_to_a_minute_and_differ_from_task_to_task():
    tasks = [TaskId(BatchId(owner, n), index) for owner in (ALICE, BOB) for n in range(5) for index in range(100)]
    for again, whole in enumerate((10.0, 20.0, 40.0, 60.0, 60.0)):
        pauses = [back_off_s(10.0, again, task) for task in tasks]
        assert whole * (1 - JITTER) <= min(pauses) < whole * (1 - 0.9 * JITTER)
        assert whole * (1 - 0.1 * JITTER) < max(pauses) <= whole
        assert len(set(pauses)) == len(tasks)
    assert back_off_s(1.0, 1 << 31, tasks[0]) <= 60.0


def test_deaths_and_exceptions_are_counted_apart(wide: Checked):
    once = BatchOptions(retries=1, retry_delay_s=0.0)
    wide.handle(maps(A, 1, once))
    assert wide.handle([finishes(X, run_id(1), outcomes(0, [DIED]))]) == [
        span_for(X, run_id(2), A, 0, 1, once),
        delivered_at(X, run_id(1), (0, 1)),
    ]
    raised = outcomes(0, [TRY_AGAIN])
    assert wide.handle([finishes(X, run_id(2), raised)]) == [
        span_for(X, run_id(3), A, 0, 1, once),
        delivered_at(X, run_id(2), (0, 1)),
    ]
    assert wide.handle([finishes(X, run_id(3), raised)]) == [results_for(A, raised, attempts=3)]


@pytest.mark.parametrize("final", [MISTAKE, TIMED_OUT])
def test_what_no_retry_is_for_is_final(wide: Checked, final: tuple[int, bytes]):
    wide.handle(maps(A, 1, TWICE))
    column = outcomes(0, [final])
    assert wide.handle([finishes(X, run_id(1), column)]) == [results_for(A, column)]


@pytest.mark.parametrize("final", [DIED, TRY_AGAIN])
def test_without_retries_the_first_failure_is_final(wide: Checked, final: tuple[int, bytes]):
    wide.handle(maps(A, 1, BatchOptions(retries=0)))
    column = outcomes(0, [final])
    assert wide.handle([finishes(X, run_id(1), column)]) == [results_for(A, column)]


def test_only_what_failed_runs_again(wide: Checked):
    wide.handle(maps(A, 4, TWICE))
    column = outcomes(0, [FINE, TRY_AGAIN, FINE, MISTAKE])
    assert wide.handle([finishes(X, run_id(1), column)]) == [
        results_for(A, column.slice(0, 1)),
        results_for(A, column.slice(2, 4)),
        delivered_at(X, run_id(1), (1, 2)),
    ]
    assert wide.handle([], now=1.0) == [span_for(X, run_id(2), A, 1, 2, TWICE)]


def test_a_task_cancelled_in_its_pause_does_not_run_again(wide: Checked):
    wide.handle([*maps(A, 1, TWICE)])
    wide.handle([finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))])
    assert wide.handle([cancels(A, (0, 1))]) == [cancelled_for(A, (0, 1))]
    assert wide.handle([], now=9.0) == []


# ---- what runs


def test_a_client_is_told_of_what_has_run_for_a_tenth_of_a_second(wide: Checked):
    wide.handle(maps(A, 4))
    assert wide.handle([begins(X, (run_id(1), 0), (run_id(1), 1))], now=1.0) == []
    assert states(wide) == [(0, 2, "running"), (2, 4, "assigned")]
    assert wide.next_deadline() == 1.1
    column = values(0, 1)
    result = finishes(X, run_id(1), column, (run_id(1), 1), (run_id(1), 2))
    assert wide.handle([result], now=1.05) == [results_for(A, column)]
    assert wide.handle([], now=1.1) == [began_for(A, (1, 2))]
    assert wide.handle([begins(X)], now=1.16) == [began_for(A, (2, 3))]
    assert wide.next_deadline() is None


def test_what_ended_before_is_not_told_to_have_begun(wide: Checked):
    wide.handle(maps(A, 4))
    wide.handle([begins(X, (run_id(1), 0), (run_id(1), 1))])
    wide.handle([finishes(X, run_id(1), values(0, 2)), takes(A, (0, 2)), finishes(X, run_id(1), values(2, 4))])
    wide.handle([takes(A, (2, 4))])
    assert wide.handle([], now=0.1) == []


def test_a_slot_with_a_run_nobody_knows_says_nothing(wide: Checked):
    wide.handle(maps(A, 4))
    wide.handle([finishes(X, run_id(1), values(3, 4))])
    assert wide.handle([begins(X, (run_id(9), 0), (run_id(1), 3), (run_id(1), 7))]) == []
    assert states(wide) == [(0, 3, "assigned"), (3, 4, "done")]


def test_nobody_is_told_of_a_task_nobody_waits_for(wide: Checked):
    wide.handle(maps(A, 1))
    wide.handle([PeerLost(ALICE)])
    assert wide.handle([begins(X, (run_id(1), 0))]) == []
    assert wide.next_deadline() is None


def test_what_is_being_cancelled_does_not_begin(wide: Checked):
    wide.handle(maps(A, 4))
    wide.handle([cancels(A, (0, 2))])
    wide.handle([begins(X, (run_id(1), 0))])
    assert states(wide) == [(0, 2, "cancelling"), (2, 4, "assigned")]
    assert wide.handle([], now=0.1) == []


# ---- what comes back


def test_what_was_not_begun_goes_elsewhere_uncharged(core: Checked):
    core.handle([*maps(A, 2), *cluster(Y)])
    assert core.handle([returns(X, run_id(1), (0, 2), reason=NOT_BEGUN)]) == [
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 2),
    ]
    assert core.handle([finishes(Y, run_id(2), values(0, 2))]) == [results_for(A, values(0, 2))]


def test_what_a_cluster_cannot_take_is_not_offered_to_it_for_a_tenth_of_a_second(core: Checked):
    core.handle(maps(A, 2))
    assert core.handle([returns(X, run_id(1), (0, 2), reason=NOT_BEGUN)], now=1.0) == []
    assert core.next_deadline() == 1.1
    assert core.handle([], now=1.1) == [span_for(X, run_id(2), A, 0, 2)]


@pytest.mark.parametrize("has_been_seen", [True, False])
def test_a_bystander_begins_again_and_counts_an_attempt_but_no_retry(wide: Checked, has_been_seen: bool):  # noqa: FBT001  # a parameter of the test
    once = BatchOptions(retries=1, retry_delay_s=0.0)
    wide.handle(maps(A, 1, once))
    if has_been_seen:
        wide.handle([begins(X, (run_id(1), 0))])
    assert wide.handle([returns(X, run_id(1), (0, 1), reason=BYSTANDER)]) == [span_for(X, run_id(2), A, 0, 1, once)]
    assert wide.handle([finishes(X, run_id(2), outcomes(0, [DIED]))]) == [
        span_for(X, run_id(3), A, 0, 1, once),
        delivered_at(X, run_id(2), (0, 1)),
    ]
    assert wide.handle([finishes(X, run_id(3), values(0, 1))]) == [results_for(A, values(0, 1), attempts=3)]


def test_what_was_being_cancelled_and_comes_back_is_cancelled(wide: Checked):
    wide.handle(maps(A, 2))
    wide.handle([cancels(A, (0, 2))])
    assert wide.handle([returns(X, run_id(1), (0, 2))]) == [cancelled_for(A, (0, 2))]


def test_reports_of_runs_or_tasks_that_stand_elsewhere_change_nothing(core: Checked):
    core.handle([*maps(A, 2), *cluster(Y)])
    core.handle([finishes(X, run_id(1), values(0, 1))])
    stray = [
        returns(Y, run_id(1), (0, 2)),
        returns(X, run_id(1), (0, 1), (7, 9)),
        answers(Y, run_id(1), 0, 2),
        answers(X, run_id(1), 0, 2),
        confirms(Y, run_id(1), (0, 2)),
        confirms(X, run_id(1), (0, 2)),
    ]
    assert core.handle(stray) == []
    assert states(core) == [(0, 1, "done"), (1, 2, "assigned")]


def test_what_a_message_names_beyond_its_run_stays_where_it_is(core: Checked):
    core.handle([*maps(A, 4), *cluster(Y)])
    assert core.handle([returns(X, run_id(1), (1, 4), reason=NOT_BEGUN)]) == []
    assert states(core) == [(0, 1, "assigned"), (1, 2, "queued"), (2, 4, "assigned")]


def test_refusals_that_ran_out_are_forgotten(wide: Checked):
    for n in range(70):
        wide.handle(maps(A._replace(n=n), 1), now=float(n))
        wide.handle([returns(X, run_id(n + 1), (0, 1), reason=NOT_BEGUN)], now=float(n))
        wide.handle([cancels(A._replace(n=n), (0, 1)), takes(A._replace(n=n), (0, 1))], now=float(n))
    assert len(wide.managers.workers.clusters[X].refused) < 10


# ---- walltime


def test_an_expired_task_goes_only_where_more_than_it_ran_is_left(core: Checked):
    core.handle([*cluster(Y, ends_in_s=13.0), *maps(A, 1)])
    core.handle([begins(X, (run_id(1), 0))], now=0.0)
    assert core.handle([returns(X, run_id(1), (0, 1), reason=EXPIRED)], now=10.0) == [span_for(X, run_id(2), A, 0, 1)]
    core.handle([PeerLost(X)], now=10.0)
    assert states(core) == [(0, 1, "queued")]
    assert said(core.handle(cluster(X), now=20.0))[0] == function_for(X)


def test_what_never_can_end_in_time_fails_and_names_both_figures(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, ends_in_s=20.0), *maps(A, 2)])
    empty.handle([begins(X, (run_id(1), 0), (run_id(1), 1))], now=0.0)
    assert empty.handle([returns(X, run_id(1), (0, 1), reason=EXPIRED)], now=10.0) == [began_for(A, (1, 2))]
    text = "it ran for 18.0 s without ending, and no worker ever offered more than 20.0 s"
    assert empty.handle([returns(X, run_id(1), (1, 2), reason=EXPIRED)], now=18.0) == [
        failure_for(A, Failure(Cause.WALLTIME, text, attempts=1), (1, 2))
    ]


def test_tasks_that_ran_about_as_long_queue_as_one_class(wide: Checked):
    wide.handle(maps(A, 4))
    wide.handle([begins(X, *((run_id(1), index) for index in range(4)))], now=0.0)
    for index in range(4):
        wide.handle([returns(X, run_id(1), (index, index + 1), reason=EXPIRED)], now=100.0 + index)
    wide.handle([PeerLost(X)], now=110.0)
    assert states(wide) == [(index, index + 1, "queued") for index in range(4)]
    assert [known.tasks for known in wide.managers.tasks.queue.aside.values()] == [4]


def test_a_cluster_without_an_end_may_come_back_so_nothing_is_hopeless(empty: Checked):
    empty.handle([client(ALICE), *cluster(Y), *cluster(X, ends_in_s=20.0), PeerLost(Y), *maps(A, 1)])
    empty.handle([begins(X, (run_id(1), 0))], now=0.0)
    assert empty.handle([returns(X, run_id(1), (0, 1), reason=EXPIRED)], now=19.0) == []
    assert states(empty) == [(0, 1, "queued")]


# ---- cancelling


@pytest.mark.parametrize("item", [FINE, MISTAKE, DIED, TRY_AGAIN])
def test_an_outcome_that_comes_while_it_is_cancelled_is_dropped(wide: Checked, item: tuple[int, bytes]):
    wide.handle(maps(A, 1, TWICE))
    assert wide.handle([cancels(A, (0, 1))]) == [cancel_at(X, run_id(1), (0, 1))]
    assert wide.handle([finishes(X, run_id(1), outcomes(0, [item]))]) == [
        cancelled_for(A, (0, 1)),
        delivered_at(X, run_id(1), (0, 1)),
    ]
