"""Calls that every worker makes once: to which clusters they go, what they come to, and who is not waited for."""

from collections.abc import Sequence

import pytest

from scaler.core.events import AwaitRoom, Command, PeerLost, Received, RoomFound, Send
from scaler.ids import Incarnation, RunId
from scaler.protocol import BatchOptions, Forget, Held, Holding, Returned, ReturnReason, SpanResult
from tests.unit.core.examples import (
    ALICE,
    MISTAKE,
    OLD,
    A,
    Checked,
    F,
    X,
    Y,
    Z,
    appends,
    arguments,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    closes,
    cluster,
    cut_off,
    delivered_at,
    finishes,
    forget_at,
    function_for,
    maps,
    opens,
    outcomes,
    ranges,
    results_for,
    resumes,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)

ALL = BatchOptions(everywhere=True)
GPU = BatchOptions(everywhere=True, tag="gpu")
WAITING = [(0, 1, "waiting")]


@pytest.fixture
def asked(empty: Checked) -> Checked:
    """X and Y have Alice's call as runs 1 and 2."""
    empty.handle([client(ALICE), *cluster(X), *cluster(Y)])
    assert empty.handle(maps(A, 1, ALL)) == [
        function_for(X),
        span_for(X, run_id(1), A, 0, 1, ALL),
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 1, ALL),
    ]
    assert states(empty) == WAITING
    return empty


def test_it_is_done_when_all_clusters_have_answered_and_the_first_value_counts(asked: Checked):
    assert asked.handle([finishes(X, run_id(1), values(0, 1))]) == []
    assert asked.handle([finishes(Y, run_id(2), outcomes(0, [(0, b"other")]))]) == [
        results_for(A, values(0, 1)),
        delivered_at(Y, run_id(2), (0, 1)),
    ]
    assert asked.handle([takes(A, (0, 1))]) == [delivered_at(X, run_id(1), (0, 1))]
    assert asked.managers.tasks.by_serial == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_failure_at_one_of_them_is_its_outcome(asked: Checked, order: tuple[int, int]):
    failure = outcomes(0, [MISTAKE])
    reports = [finishes(X, run_id(1), values(0, 1)), finishes(Y, run_id(2), failure)]
    commands = [command for number in order for command in asked.handle([reports[number]])]
    assert commands == [results_for(A, failure), delivered_at(X, run_id(1), (0, 1))]
    assert states(asked) == [(0, 1, "failed")]


def test_of_two_failures_the_first_counts(asked: Checked):
    asked.handle([finishes(Y, run_id(2), outcomes(0, [MISTAKE]))])
    commands = asked.handle([finishes(X, run_id(1), outcomes(0, [(1, b"later")]))])
    assert commands == [results_for(A, outcomes(0, [MISTAKE])), delivered_at(X, run_id(1), (0, 1))]


def test_who_comes_later_is_not_asked_and_other_work_goes_on(asked: Checked):
    assert said(asked.handle(cluster(Z)))[1:] == []
    assert asked.handle([begins(X, (run_id(1), 0), (run_id(1), 1))]) == []
    *_, span = asked.handle([opens(A._replace(n=2)), appends(A._replace(n=2), 0, 1)])
    assert isinstance(span, Send)
    assert states(asked) == WAITING


def test_only_clusters_with_its_tag_are_asked(empty: Checked):
    empty.handle([client(ALICE), *cluster(X), *cluster(Y, tags=("gpu",))])
    assert empty.handle(maps(A, 1, GPU)) == [function_for(Y), span_for(Y, run_id(1), A, 0, 1, GPU)]


def test_without_workers_it_waits_for_the_first(empty: Checked):
    empty.handle([client(ALICE), *maps(A, 1, ALL)])
    assert states(empty) == [(0, 1, "queued")]
    assert span_for(X, run_id(1), A, 0, 1, ALL) in empty.handle(cluster(X))


@pytest.mark.parametrize("answered", [False, True])
def test_a_cluster_that_is_lost_is_not_waited_for(asked: Checked, answered: bool):  # noqa: FBT001  # pytest names it
    if answered:
        asked.handle([finishes(X, run_id(1), values(0, 1))])
    commands = said(asked.handle([PeerLost(Y)]))
    assert commands == ([results_for(A, values(0, 1))] if answered else [])
    if not answered:
        assert asked.handle([finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]
    assert asked.handle([takes(A, (0, 1))]) == [delivered_at(X, run_id(1), (0, 1))]


def test_a_cluster_whose_workers_all_ended_is_not_waited_for(asked: Checked):
    back = Received(Y, Returned(run_id(2), ranges((0, 1)), ReturnReason.NOT_BEGUN))
    assert asked.handle([back, finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]


def test_an_answer_counts_though_its_cluster_is_lost_before_the_others_have_answered(asked: Checked):
    asked.handle([finishes(X, run_id(1), outcomes(0, [MISTAKE]))])
    asked.handle([PeerLost(X)])
    commands = asked.handle([finishes(Y, run_id(2), values(0, 1))])
    assert commands == [results_for(A, outcomes(0, [MISTAKE])), delivered_at(Y, run_id(2), (0, 1))]
    assert asked.handle([takes(A, (0, 1))]) == [delivered_at(Y, run_id(3), (0, 1))]


def test_when_nobody_is_left_to_answer_it_begins_anew(asked: Checked):
    asked.handle([PeerLost(X), PeerLost(Y)])
    assert states(asked) == [(0, 1, "queued")]
    assert span_for(Z, run_id(3), A, 0, 1, ALL) in asked.handle(cluster(Z))
    asked.handle([finishes(Z, run_id(3), values(0, 1)), PeerLost(Z)])
    assert states(asked) == [(0, 1, "done")]


def test_it_ends_when_its_client_has_room(asked: Checked):
    way = asked.managers.clients.clients[ALICE].way
    room_bytes, way.room_bytes = way.room_bytes, 0
    [waits] = asked.handle([PeerLost(Y), finishes(X, run_id(1), values(0, 1))])[1:]
    assert isinstance(waits, AwaitRoom)
    assert states(asked) == WAITING
    assert asked.handle([RoomFound(ALICE, room_bytes)]) == [results_for(A, values(0, 1))]


def stops(runs: Sequence[tuple[Incarnation, RunId]]) -> list[Command]:
    return [cancel_at(peer, run, (0, 1)) for peer, run in runs]


def test_when_nobody_wants_it_any_more_it_is_stopped_everywhere(asked: Checked):
    assert asked.handle([cancels(A, (0, 1))]) == [
        cancelled_for(A, (0, 1)),
        *stops([(X, run_id(1)), (Y, run_id(2))]),
    ]
    assert asked.handle([finishes(X, run_id(1), values(0, 1))]) == [forget_at(X, run_id(1))]


def test_what_was_answered_before_it_was_given_up_is_let_go(asked: Checked):
    asked.handle([finishes(X, run_id(1), values(0, 1))])
    commands = said(asked.handle([PeerLost(ALICE)]))
    assert commands == [*stops([(Y, run_id(2))]), delivered_at(X, run_id(1), (0, 1))]
    assert asked.managers.tasks.by_serial == {}


def test_an_answer_in_the_turn_in_which_it_is_given_up_is_let_go(asked: Checked):
    commands = asked.handle([cancels(A, (0, 1)), *[finishes(p, run_id(n), values(0, 1)) for n, p in ((1, X), (2, Y))]])
    assert commands[0] == cancelled_for(A, (0, 1))
    assert commands[1:] == [delivered_at(Y, run_id(2), (0, 1)), delivered_at(X, run_id(1), (0, 1))]


def test_results_of_anything_else_than_the_call_end_their_cluster(asked: Checked):
    assert cut_off(asked.handle([finishes(X, run_id(1), values(0, 2))])) == [X]
    assert cut_off(asked.handle([Received(Y, SpanResult(run_id(2), 0, 1, 0, "host"), ())])) == [Y]


def test_after_a_restart_it_begins_anew_whatever_a_cluster_has_of_it():
    core = Checked()
    core.handle([client(ALICE), *cluster(X), resumes(A, 1, (0, 1), options=ALL)])
    held = Held(A, OLD, (), (0,), ())
    assert core.handle([Received(X, Holding((held,)))]) == [Send(X, Forget(OLD))]
    core.managers.functions.define(F, (b"code",))
    core.handle([], now=3.0)
    commands = core.handle([appends(A, 0, 1)], now=3.1)
    assert span_for(X, run_id(1), A, 0, 1, ALL) in commands
    assert core.handle([finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]


def test_a_batch_may_have_several_such_calls(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, slots=4)])
    commands = empty.handle([*maps(A, 2, ALL), closes(A, 2)][:-1])
    sent = [command for command in commands if command != function_for(X)]
    assert sent == [span_for(X, run_id(n + 1), A, n, n + 1, ALL) for n in range(2)]
    assert arguments(1, 2).frames() == sent[1].frames  # type: ignore[union-attr]  # a Send
    assert empty.handle([finishes(X, run_id(2), values(1, 2))]) == [results_for(A, values(1, 2))]
    assert states(empty) == [(0, 1, "waiting"), (1, 2, "done")]
