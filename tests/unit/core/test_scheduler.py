"""The core as a whole: its end, its deadlines, and those who watch it."""

from scaler.core.config import CoreConfig
from scaler.core.events import PeerLost, Publish, Received, Send, Slept, Stop, StopAsked, WatchersChanged
from scaler.core.results import back_off_s
from scaler.ids import Incarnation, TaskId
from scaler.protocol import BatchOptions, Drain, Goodbye, ShutdownAnswer, ShutdownScheduler, Watched
from tests.unit.core.examples import (
    ALICE,
    BOB,
    CODE,
    OPERATOR,
    TRY_AGAIN,
    A,
    Checked,
    F,
    X,
    begins,
    client,
    cluster,
    delivered_at,
    finishes,
    function_for,
    maps,
    need_tasks,
    outcomes,
    results_for,
    resumes,
    run_id,
    span_for,
    takes,
    values,
)

# ---- the end


def goodbyes(reason: str, *peers: Incarnation) -> list[Send]:
    return [Send(peer, Goodbye(reason)) for peer in peers]


def test_told_to_stop_it_says_goodbye_to_all(core: Checked):
    assert core.handle([StopAsked("SIGTERM")]) == [*goodbyes("SIGTERM", ALICE, BOB, X), Stop("SIGTERM")]


def test_a_client_may_stop_it(core: Checked):
    reason = "client 0000000000000001 asked for it"
    assert core.handle([Received(ALICE, ShutdownScheduler())]) == [
        Send(ALICE, ShutdownAnswer()),
        Send(X, Drain(0.0)),
        *goodbyes(reason, ALICE, BOB, X),
        Stop(reason),
    ]


def test_a_protected_scheduler_is_stopped_by_its_operator_alone():
    core = Checked(CoreConfig(is_protected=True))
    core.handle([client(ALICE), client(OPERATOR, "operator")])
    assert core.handle([Received(ALICE, ShutdownScheduler())]) == [
        Send(
            ALICE,
            ShutdownAnswer(
                "this scheduler is protected: only its operator may stop it, "
                "or any client if it runs with --no-protected"
            ),
        )
    ]
    assert core.handle([Received(OPERATOR, ShutdownScheduler())])[-1] == Stop("client 0000000000000003 asked for it")


# ---- those who watch


def test_span_events_are_published_only_while_somebody_watches(core: Checked):
    assert core.handle([WatchersChanged(watched=True), *maps(A, 3)]) == [
        Send(X, Watched(watched=True)),
        function_for(X),
        span_for(X, run_id(1), A, 0, 2),
        Publish(((ALICE, 1, 0, 3, "", "queued", 0), (ALICE, 1, 0, 2, "queued", "assigned", X))),
    ]
    column = values(0, 2)
    assert core.handle([begins(X, (run_id(1), 0)), finishes(X, run_id(1), column), takes(A, (0, 2))])[-2:] == [
        Publish(
            (
                (ALICE, 1, 0, 1, "assigned", "running", X),
                (ALICE, 1, 0, 1, "running", "done", X),
                (ALICE, 1, 1, 2, "assigned", "done", X),
                (ALICE, 1, 0, 2, "done", "gone", 0),
                (ALICE, 1, 2, 3, "queued", "assigned", X),
            )
        ),
        delivered_at(X, run_id(1), (0, 2)),
    ]
    core.handle([WatchersChanged(watched=False)])
    assert core.handle([finishes(X, run_id(2), values(2, 3))]) == [results_for(A, values(2, 3))]
    assert core.managers.tasks.watched is None


def test_a_turn_without_moves_publishes_nothing(core: Checked):
    core.handle([WatchersChanged(watched=True)])
    assert core.handle([]) == []


def test_what_is_lost_with_a_cluster_is_published_with_its_name(core: Checked):
    core.handle(maps(A, 1))
    core.handle([WatchersChanged(watched=True)])
    assert core.handle([PeerLost(X)])[-1] == Publish(((ALICE, 1, 0, 1, "assigned", "queued", X),))


# ---- time


def test_all_deadlines_move_when_the_shell_overslept(core: Checked):
    options = BatchOptions(retries=1, retry_delay_s=1.0)
    core.handle([*maps(A, 2, options)], now=10.0)
    core.handle([begins(X, (run_id(1), 1)), finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))], now=10.0)
    assert core.next_deadline() == 10.1
    assert core.handle([Slept(50.0)], now=60.05) == []
    assert core.next_deadline() == 60.1
    assert len(core.handle([], now=60.1)) == 1
    due = 60.0 + back_off_s(1.0, 0, TaskId(A, 0))
    assert core.next_deadline() == due
    assert core.handle([], now=due) == [span_for(X, run_id(2), A, 0, 1, options)]


def test_nothing_is_due_while_nothing_waits(core: Checked):
    assert core.next_deadline() is None


def test_the_recovery_window_moves_too():
    core = Checked()
    core.handle([client(ALICE), *cluster(X)], now=0.0)
    core.managers.functions.define(F, CODE)
    core.handle([resumes(A, 1, (0, 1))], now=1.0)
    assert core.next_deadline() == 3.0
    assert core.handle([Slept(10.0)], now=11.5) == []
    assert core.next_deadline() == 13.0
    assert core.handle([], now=13.0) == [need_tasks(A, 0, 1)]
