"""Levelling: what busy clusters have not begun is asked back when the queue is dry and slots stand idle."""

import pytest

from scaler.core.events import PeerLost, Send
from scaler.core.lifecycle import State
from scaler.ids import Incarnation
from scaler.protocol import BatchOptions, Retract, ReturnReason, TasksWait
from tests.unit.core.examples import (
    A2,
    ALICE,
    BOB,
    A,
    B,
    Checked,
    X,
    Y,
    Z,
    answers,
    began_for,
    begins,
    client,
    cluster,
    confirms,
    finishes,
    function_for,
    gone,
    knows,
    maps,
    ready,
    results_for,
    retract_at,
    returns,
    run_id,
    said,
    span_for,
    values,
)

GPU = BatchOptions(tag="gpu")
LICENSED = BatchOptions(resources=(("licence", 1.0),))


@pytest.fixture
def busy(core: Checked) -> Checked:
    """X has fifteen tasks of 20 ms of Alice's in two slots; the queue is dry."""
    knows(core, run_us=20_000)
    assert core.handle(maps(A, 15)) == [function_for(X), span_for(X, run_id(1), A, 0, 15)]
    return core


def retracts(core: Checked) -> int:
    return core.managers.tasks.tasks_in[State.RETRACTING]


def test_the_last_half_of_what_does_not_run_is_asked_back_for_an_idle_cluster(busy: Checked):
    assert said(busy.handle(cluster(Y)))[-1] == retract_at(X, run_id(1), 8, 15)
    assert busy.handle([]) == []


def test_what_comes_back_goes_to_the_idle_cluster_and_for_a_tenth_of_a_second_not_to_where_it_came_from(busy: Checked):
    busy.handle(cluster(Y))
    assert busy.handle([returns(X, run_id(1), (8, 15)), answers(X, run_id(1), 8, 15)], now=1.0) == [
        function_for(Y),
        span_for(Y, run_id(2), A, 8, 10),
    ]
    assert busy.next_deadline() == 1.1
    column = values(0, 4, run_us=20_000)
    assert busy.handle([finishes(X, run_id(1), column)], now=1.05) == [results_for(A, column)]
    assert said(busy.handle([], now=1.1)) == [span_for(Y, run_id(3), A, 10, 12), span_for(X, run_id(4), A, 12, 13)]


def test_what_came_back_is_given_back_at_once_if_nobody_else_is_idle(busy: Checked):
    busy.handle(cluster(Y, slots=1))
    busy.handle([finishes(X, run_id(1), values(0, 8, run_us=20_000)), PeerLost(Y)])
    assert busy.handle([returns(X, run_id(1), (8, 15)), answers(X, run_id(1), 8, 15)]) == [
        span_for(X, run_id(2), A, 8, 15)
    ]


def test_what_had_begun_is_not_moved_and_its_client_hears_that_it_runs(busy: Checked):
    busy.handle(cluster(Y))
    assert busy.handle([returns(X, run_id(1), (10, 15)), answers(X, run_id(1), 8, 15)], now=1.0) == [
        function_for(Y),
        span_for(Y, run_id(2), A, 10, 12),
    ]
    states = [(span.lo, span.hi, span.state) for span in busy.managers.tasks.batches[A].spans.within(7, 11)]
    assert states == [(7, 8, State.ASSIGNED), (8, 10, State.RUNNING), (10, 11, State.ASSIGNED)]
    busy.handle([begins(X, (run_id(1), 8))], now=1.01)
    assert began_for(A, (8, 9)) in busy.handle([], now=1.2)


def test_a_cluster_that_has_not_answered_is_not_asked_again(busy: Checked):
    busy.handle(cluster(Y))
    busy.handle(cluster(Z, slots=9))
    assert retracts(busy) == 7
    assert busy.handle([answers(X, run_id(1), 8, 15)])[-1] == retract_at(X, run_id(1), 0, 8)


def test_results_that_come_while_they_are_asked_back_count(busy: Checked):
    busy.handle(cluster(Y))
    column = values(8, 9, run_us=20_000)
    assert busy.handle([finishes(X, run_id(1), column)]) == [results_for(A, column)]
    assert said(busy.handle([returns(X, run_id(1), (9, 15)), answers(X, run_id(1), 8, 15)])) == [
        function_for(Y),
        span_for(Y, run_id(2), A, 9, 11),
    ]


def test_a_cluster_lost_before_it_answers_loses_nothing(busy: Checked):
    busy.handle(cluster(Y))
    assert busy.handle([PeerLost(X, "cut")]) == [
        gone(X, 15),
        function_for(Y),
        span_for(Y, run_id(2), A, 0, 2),  # those that may just have begun
        span_for(Y, run_id(3), A, 2, 15),
    ]


def test_work_that_is_soon_done_is_left_where_it_is_unless_no_result_comes(core: Checked):
    knows(core, run_us=1_000)
    core.handle(maps(A, 10), now=1.0)
    core.handle([finishes(X, run_id(1), values(0, 1, run_us=1_000))], now=2.0)
    assert said(core.handle(cluster(Y), now=2.001))[2:] == []
    assert core.next_deadline() == 2.02
    assert core.handle([], now=2.02) == [retract_at(X, run_id(1), 6, 10)]


def test_nothing_is_asked_back_for_a_cluster_that_cannot_take_it(core: Checked):
    core.handle([ready(X, tags=("gpu",), resources=(("licence", 9.0),))])
    for tag in ("gpu", None):
        knows(core, run_us=20_000, tag=tag)
    core.handle([*maps(A, 6, GPU), *maps(A2, 6, LICENSED)])
    core.handle([*cluster(Y), *cluster(Z, resources=(("licence", 0.5),))])
    assert retracts(core) == 0
    core.handle([ready(Z, resources=(("licence", 1.0),))])
    assert retracts(core) == 5


def test_a_task_nobody_can_take_keeps_no_slot_idle(busy: Checked):
    busy.handle([ready(X, tags=("gpu",))])
    busy.handle([ready(X)])
    assert busy.handle([*maps(B, 1, GPU)]) == [Send(BOB, TasksWait(B, "no connected worker offers tag 'gpu'"))]
    assert said(busy.handle(cluster(Y)))[-1] == retract_at(X, run_id(1), 8, 15)


def test_while_something_waits_that_an_idle_slot_will_take_nothing_is_asked_back(busy: Checked):
    busy.handle(cluster(Y, slots=1))
    busy.handle([returns(X, run_id(1), (8, 15)), answers(X, run_id(1), 8, 15)])
    busy.handle([returns(Y, run_id(2), (8, 10), reason=ReturnReason.NOT_BEGUN)], now=0.05)
    assert busy.managers.tasks.queue.tasks == 7
    assert retracts(busy) == 0


def test_what_nobody_wants_any_more_is_not_asked_back(busy: Checked):
    busy.handle([PeerLost(ALICE)])
    assert retracts(busy) == 0
    busy.handle(cluster(Y))
    assert retracts(busy) == 0
    busy.handle([confirms(X, run_id(1), (0, 15))])
    assert busy.managers.tasks.by_serial == {}


@pytest.mark.parametrize(("slots", "asked"), [(15, 3), (20, 8)])
def test_as_many_clusters_are_asked_as_slots_are_idle_and_eight_in_one_turn(empty: Checked, slots: int, asked: int):
    knows(empty, run_us=50_000)
    peers = [Incarnation(peer) for peer in range(20, 32)]
    empty.handle([client(ALICE), *(event for peer in peers for event in cluster(peer, slots=1))])
    for n in range(len(peers)):
        empty.handle(maps(A._replace(n=n), 3))
    assert {one.load.unfinished for one in empty.managers.workers.clusters.values()} == {2}
    commands = said(empty.handle(cluster(X, slots=slots)))
    peers = [command.peer for command in commands if isinstance(command, Send) and isinstance(command.message, Retract)]
    assert len(set(peers)) == len(peers) == asked
