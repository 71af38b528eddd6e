"""Losses of clusters and clients, and cancelling in every state a task can stand in."""

from scaler.core.events import Note, PeerLost, Received
from scaler.protocol import BatchOptions, Cause, Failure, Goodbye
from tests.unit.core.examples import (
    ALICE,
    DIED,
    A,
    B,
    Checked,
    X,
    Y,
    answers,
    appends,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    cluster,
    confirms,
    defines,
    delivered_at,
    failure_for,
    finishes,
    function_for,
    gone,
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

RETRIED = BatchOptions(retries=1)


def counts(core: Checked, index: int) -> tuple[int, ...]:
    span = core.managers.tasks.batches[A].spans.at(index)
    assert span is not None
    return tuple(span.counts[:4])


# ---- a cluster is lost


def test_what_a_lost_cluster_had_not_begun_goes_elsewhere_uncharged(core: Checked):
    core.handle([*cluster(Y), *maps(A, 2)])
    assert core.handle([PeerLost(X, "cut")]) == [
        gone(X, 2),
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 2),
    ]
    assert counts(core, 0) == (0, 0, 0, 0)


def test_what_ran_on_a_lost_cluster_is_charged_and_runs_alone_next(core: Checked):
    core.handle([*cluster(Y, slots=3), *maps(A, 2)])
    core.handle([begins(X, (run_id(1), 0), (run_id(1), 1))])
    assert core.handle([PeerLost(X, "cut")]) == [
        gone(X, 2),
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 1, alone=True),
    ]
    assert core.handle([finishes(Y, run_id(2), values(0, 1))]) == [
        results_for(A, values(0, 1), attempts=2),
        span_for(Y, run_id(3), A, 1, 2, alone=True),
    ]
    assert counts(core, 1) == (1, 0, 0, 1)


def test_a_cluster_that_says_goodbye_is_charged_to_nobody(core: Checked):
    core.handle([*cluster(Y), *maps(A, 2)])
    core.handle([begins(X, (run_id(1), 0))])
    assert core.handle([Received(X, Goodbye("its time is up")), PeerLost(X, "goodbye")]) == [
        gone(X, 2, "its time is up", "info"),
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 1),
        span_for(Y, run_id(3), A, 1, 2),
    ]
    assert counts(core, 0) == (1, 0, 0, 0)
    assert counts(core, 1) == (0, 0, 0, 0)


def test_a_task_whose_host_vanishes_three_times_fails(core: Checked):
    core.handle(maps(A, 1))
    for n, peer in enumerate((X, X, X), 1):
        core.handle([begins(peer, (run_id(n), 0))])
        commands = core.handle([PeerLost(peer, "cut")])
        if n < 3:
            again = span_for(X, run_id(n + 1), A, 0, 1, alone=True)
            assert said(core.handle(cluster(peer)))[:2] == [function_for(X), again]
    failure = Failure(Cause.VANISHED, "its host was lost 3 times", attempts=3)
    assert commands[:2] == [failure_for(A, failure, (0, 1)), gone(X, 1)]
    assert core.handle([takes(A, (0, 1))]) == []
    assert core.managers.tasks.by_serial == {}


def test_a_task_that_takes_its_host_down_before_anybody_hears_that_it_runs_fails_with_the_third(core: Checked):
    core.handle(maps(A, 5))
    for n in (1, 2):
        core.handle([PeerLost(X, "cut")])
        sent = said(core.handle(cluster(X, slots=2)))
        # only those that may have run are suspects, the others go on as before
        assert sent[1] == span_for(X, run_id(2), A, 0, 2) if n == 1 else sent[1].message.alone
    core.handle([begins(X, (run_id(3), 0))])
    failure = Failure(Cause.VANISHED, "its host was lost 3 times", attempts=1)
    assert failure_for(A, failure, (0, 1)) in core.handle([PeerLost(X, "cut")])
    core.handle(cluster(X, slots=2))
    assert counts(core, 2) == (0, 0, 0, 0)


def test_who_was_near_when_hosts_vanished_and_did_not_run_is_not_to_blame(core: Checked):
    core.handle(maps(A, 1))
    for _ in range(10):
        core.handle([PeerLost(X, "cut")])
        core.handle(cluster(X))
    assert states(core) == [(0, 1, "assigned")]
    assert counts(core, 0) == (0, 0, 0, 0)


def test_losses_and_deaths_are_counted_apart(core: Checked):
    core.handle(maps(A, 1, BatchOptions(retries=1, retry_delay_s=0.0)))
    core.handle([begins(X, (run_id(1), 0))])
    core.handle([PeerLost(X)])
    core.handle(cluster(X))
    core.handle([finishes(X, run_id(2), outcomes(0, [DIED]))])
    assert counts(core, 0) == (2, 1, 0, 1)


def test_results_of_a_lost_cluster_that_are_on_their_way_are_not_run_again(core: Checked):
    core.handle([*cluster(Y), *maps(A, 2)])
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert core.handle([PeerLost(X, "cut")]) == [gone(X, 0)]
    assert core.handle([takes(A, (0, 2))]) == []
    assert core.managers.tasks.by_serial == {}


def test_what_was_being_cancelled_on_a_lost_cluster_is_cancelled(core: Checked):
    core.handle(maps(A, 2))
    core.handle([cancels(A, (0, 2))])
    assert core.handle([*cluster(Y), PeerLost(X, "cut")])[-2:] == [cancelled_for(A, (0, 2)), gone(X, 2)]
    assert core.handle([takes(A, (0, 2))]) == []
    assert core.managers.tasks.by_serial == {}


# ---- cancelling


def test_cancelling_in_every_state(core: Checked):
    core.handle([defines(), opens(A, RETRIED), appends(A, 0, 2), appends(A, 2, 6)])
    core.handle([begins(X, (run_id(1), 0))])
    assert core.handle([cancels(A, (0, 6))]) == [
        cancelled_for(A, (2, 6)),
        cancel_at(X, run_id(1), (0, 2)),
    ]
    assert core.handle([cancels(A, (0, 6))]) == []
    assert core.handle([confirms(X, run_id(1), (0, 1))]) == [cancelled_for(A, (0, 1))]


def test_a_retracting_task_can_be_cancelled(core: Checked):
    knows(core, run_us=20_000)
    core.handle(maps(A, 15))
    assert core.handle(cluster(Y))[-1] == retract_at(X, run_id(1), 8, 15)
    assert core.handle([cancels(A, (8, 15))]) == [cancel_at(X, run_id(1), (8, 15))]
    assert core.handle([returns(X, run_id(1), (9, 15)), answers(X, run_id(1), 8, 15)])[:1] == [
        cancelled_for(A, (9, 15))
    ]
    assert core.handle([confirms(X, run_id(1), (8, 9))]) == [cancelled_for(A, (8, 9))]


def test_a_task_that_waits_for_its_function_can_be_cancelled(core: Checked):
    core.handle([opens(A), appends(A, 0, 1)])
    assert core.handle([cancels(A, (0, 1))]) == [cancelled_for(A, (0, 1))]
    assert core.handle([defines()]) == []


def test_what_has_ended_cannot_be_cancelled(core: Checked):
    core.handle(maps(A, 2))
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert core.handle([cancels(A, (0, 2))]) == []


def test_a_task_held_after_a_restart_can_be_cancelled(core: Checked):
    core.handle([resumes(A, 2, (0, 2))])
    assert core.handle([cancels(A, (0, 2))]) == [cancelled_for(A, (0, 2))]


# ---- a client is lost


def test_the_work_of_a_lost_client_is_dropped_and_its_slots_go_to_others(core: Checked):
    core.handle([*maps(A, 4)])
    core.handle([begins(X, (run_id(1), 0)), *maps(B, 1)])
    fields = (("client", "0000000000000001"), ("tasks", 4), ("reason", "silent"))
    assert core.handle([PeerLost(ALICE, "silent")]) == [
        Note("info", "a client left unfinished work, which is dropped", fields),
        cancel_at(X, run_id(1), (0, 2)),
    ]
    (orphan,) = [batch for batch in core.managers.tasks.by_serial.values() if batch.is_orphan]
    assert (orphan.id, len(orphan.spans)) == (A, 1)
    assert core.handle([confirms(X, run_id(1), (0, 1))]) == [span_for(X, run_id(2), B, 0, 1)]
    assert core.handle([finishes(X, run_id(1), values(1, 2))]) == [delivered_at(X, run_id(1), (1, 2))]
    assert [batch.id for batch in core.managers.tasks.by_serial.values()] == [B]


def test_a_client_that_has_nothing_to_lose_leaves_without_a_word(core: Checked):
    assert core.handle([Received(ALICE, Goodbye("done")), PeerLost(ALICE, "goodbye")]) == []
    assert list(core.managers.clients.clients) == [B.owner]


def test_results_a_lost_client_did_not_take_are_forgotten(core: Checked):
    core.handle(maps(A, 2))
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert said(core.handle([PeerLost(ALICE)])) == [delivered_at(X, run_id(1), (0, 2))]
    assert core.managers.tasks.by_serial == {}


def test_orphans_of_a_lost_cluster_are_gone(core: Checked):
    core.handle(maps(A, 2))
    core.handle([PeerLost(ALICE)])
    core.handle([PeerLost(X)])
    assert core.managers.tasks.by_serial == {}


def test_a_client_that_comes_back_may_use_the_names_of_its_orphans(core: Checked):
    core.handle(maps(A, 2))
    assert said(core.handle([PeerLost(ALICE), client(ALICE), *maps(A, 1)]))[-1] == cancel_at(X, run_id(1), (0, 2))
    assert core.handle([confirms(X, run_id(1), (0, 2))]) == [span_for(X, run_id(2), A, 0, 1)]
