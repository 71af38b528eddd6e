"""Results that find no room on the way to their client stay at their clusters, and are asked for when there is room."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, Command, PeerLost, Received, RoomFound, Send
from scaler.core.flow import PATIENCE_S
from scaler.ids import Incarnation, RunId, TaskId
from scaler.protocol import BatchOptions, ClearClient, ExplainTask, Explanation, Goodbye, NeedResults, ReturnReason
from scaler.protocol.columns import RAISED, VALUE, ResultColumn
from tests.unit.core.examples import (
    ALICE,
    BOB,
    DIED,
    FINE,
    OLD,
    TRY_AGAIN,
    A,
    B,
    Checked,
    X,
    Y,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    cluster,
    delivered_at,
    finishes,
    forget_at,
    function_for,
    held,
    holds,
    maps,
    outcomes,
    ranges,
    results_for,
    resumes,
    returns,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)

#: what one large result takes: 64 for the message, 13 for its columns, and its value
LARGE = 1000
WINDOW = 4 * LARGE
FULL = AwaitRoom(ALICE, WINDOW // 2)
ONE, TWO = run_id(1), run_id(2)


def big(lo: int, status: int = VALUE, count: int = 1) -> ResultColumn:
    """Outcomes of so many tasks, `LARGE` together in a message of their own."""
    size = LARGE - 64 - 13 * count
    return outcomes(lo, [(status, bytes(size // count + (n < size % count))) for n in range(count)])


def finish(lo: int, hi: int, run: RunId = ONE, peer: Incarnation = X) -> list[Received]:
    """Each of these ends with a large result."""
    return [finishes(peer, run, big(index)) for index in range(lo, hi)]


def results(lo: int, hi: int) -> list[Command]:
    return [results_for(A, big(index)) for index in range(lo, hi)]


def asks(run: RunId, *pairs: tuple[int, int], peer: Incarnation = X) -> Command:
    return Send(peer, NeedResults(run, ranges(*pairs)))


def finds(room: int = WINDOW) -> RoomFound:
    return RoomFound(ALICE, room)


@pytest.fixture
def core() -> Checked:
    """Past its recovery window: two clients whose links take four large results, and cluster X with many slots."""
    core = Checked(CoreConfig(window_bytes=WINDOW))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), client(BOB), *cluster(X, slots=12)])
    return core


@pytest.fixture
def full(core: Checked) -> Checked:
    """Alice's link has no room; of her twelve tasks four are done, and three have ended since then."""
    core.handle(maps(A, 12))
    assert core.handle(finish(0, 4)) == [*results(0, 3), FULL, *results(3, 4)]
    assert core.handle(finish(4, 7)) == []
    return core


# ---- what is kept


def test_what_finds_no_room_is_booked_and_left_where_it_is(full: Checked):
    assert states(full) == [(0, 4, "done"), (4, 7, "kept"), (7, 12, "assigned")]
    assert full.managers.workers.clusters[X].load.unfinished == 5
    assert full.handle([takes(A, (0, 4))]) == [delivered_at(X, ONE, (0, 4))]


def test_who_asks_is_told_where_it_waits(full: Checked):
    text = "it has ended; the outcome waits at cluster x until its client has read what was sent before"
    task = TaskId(A, 4)
    assert full.handle([Received(ALICE, ExplainTask(task))]) == [Send(ALICE, Explanation(task, text))]


def test_one_message_may_exceed_the_room_as_the_link_takes_it_in_one_piece(core: Checked):
    core.handle(maps(A, 3))
    huge = outcomes(0, [(VALUE, bytes(10 * WINDOW))])
    assert core.handle([finishes(X, ONE, huge)]) == [results_for(A, huge), FULL]
    assert core.handle(finish(1, 2)) == []
    assert core.handle([finds()]) == [asks(ONE, (1, 2))]


def test_who_has_room_has_all_at_once(full: Checked):
    full.handle(maps(B, 1))
    column = big(0)
    assert full.handle([finishes(X, TWO, column)]) == [results_for(B, column)]


def test_room_is_looked_for_when_half_of_it_is_used_and_only_once(core: Checked):
    core.handle(maps(A, 12))
    assert core.handle(finish(0, 2)) == results(0, 2)
    assert core.handle(finish(2, 3)) == [*results(2, 3), FULL]
    assert core.handle([finds(), *finish(3, 5)]) == results(3, 5)
    assert core.handle(finish(5, 6)) == [*results(5, 6), FULL]


def test_its_slots_go_on(core: Checked):
    core.handle([PeerLost(X), *cluster(Y, slots=1)])
    core.handle(maps(A, 7))
    for index in range(6):
        *_, given = core.handle(finish(index, index + 1, run_id(index + 1), Y))
        assert given == span_for(Y, run_id(index + 2), A, index + 1, index + 2)
    assert [state for _, _, state in states(core)] == ["done"] * 4 + ["kept"] * 2 + ["assigned"]


def test_failures_are_kept_too_but_not_those_that_are_tried_again(core: Checked):
    core.handle(maps(A, 12, BatchOptions(retries=1, retry_delay_s=1.0)))
    core.handle(finish(0, 4))
    mixed = outcomes(4, [FINE, DIED, TRY_AGAIN, (RAISED, b"!"), FINE])
    again = span_for(X, run_id(2), A, 5, 6, BatchOptions(retries=1, retry_delay_s=1.0))
    assert core.handle([finishes(X, ONE, mixed)]) == [again, delivered_at(X, ONE, (5, 7))]
    assert states(core) == [
        (0, 4, "done"),
        (4, 5, "kept"),
        (5, 6, "assigned"),
        (6, 7, "waiting"),
        (7, 9, "kept"),
        (9, 12, "assigned"),
    ]
    assert core.handle([finds()]) == [asks(ONE, (4, 5), (7, 9))]
    parts = [mixed.slice(4, 5), mixed.slice(7, 9)]
    assert core.handle([finishes(X, ONE, part) for part in parts]) == [results_for(A, part) for part in parts]
    assert states(core)[3:5] == [(7, 8, "failed"), (8, 9, "done")]


def test_a_task_that_nobody_wants_and_that_has_ended_is_not_kept(full: Checked):
    full.handle([cancels(A, (8, 9))])
    assert full.handle(finish(8, 9)) == [cancelled_for(A, (8, 9)), delivered_at(X, ONE, (8, 9))]


# ---- what is asked for


def test_kept_results_are_asked_for_when_there_is_room_the_oldest_first_and_sent_on(full: Checked):
    assert full.handle([finds()]) == [asks(ONE, (4, 5)), asks(ONE, (5, 6))]
    assert states(full) == [(0, 4, "done"), (4, 7, "kept"), (7, 12, "assigned")]
    assert full.handle(finish(4, 5)) == [*results(4, 5), FULL]
    assert full.handle([finds(WINDOW - LARGE)]) == [asks(ONE, (6, 7))]
    assert full.handle(finish(5, 7)) == [*results(5, 6), FULL, *results(6, 7)]
    assert full.handle([finds(), takes(A, (4, 7))]) == [delivered_at(X, ONE, (4, 7))]
    assert full.handle([], now=PATIENCE_S) == []
    assert full.next_deadline() is None


def test_half_of_the_room_is_left_for_what_comes_meanwhile(full: Checked):
    full.handle([finds()])
    assert full.handle(finish(7, 10)) == [*results(7, 8), FULL, *results(8, 9)]
    assert states(full)[2:] == [(7, 9, "done"), (9, 10, "kept"), (10, 12, "assigned")]
    assert full.handle(finish(4, 6)) == results(4, 6)
    assert full.handle([finds(2 * LARGE)]) == [asks(ONE, (6, 7)), asks(ONE, (9, 10))]


def test_small_neighbours_are_asked_for_together(core: Checked):
    core.handle(maps(A, 12))
    core.handle(finish(0, 4))
    for lo in range(4, 8):
        core.handle([finishes(X, ONE, values(lo, lo + 1))])
    assert core.handle([finds()]) == [asks(ONE, (4, 7)), asks(ONE, (7, 8))]
    assert core.handle([finishes(X, ONE, values(4, 8))]) == [results_for(A, values(4, 8))]


def test_an_answer_that_finds_no_room_after_all_is_asked_for_again(full: Checked):
    full.handle([finds()])
    full.handle([], now=PATIENCE_S)
    assert full.handle([finds(2 * LARGE)], now=PATIENCE_S) == [asks(ONE, (6, 7))]
    full.handle(finish(7, 8), now=PATIENCE_S)
    assert full.handle(finish(4, 6), now=PATIENCE_S) == results(4, 5)
    assert full.handle([finds()], now=PATIENCE_S) == [asks(ONE, (5, 6))]


def test_a_result_that_is_kept_comes_again_as_it_was_whatever_its_cluster_says(core: Checked):
    core.handle(maps(A, 6, BatchOptions(retries=1)))
    core.handle(finish(0, 5))
    core.handle([finds()])
    broken = outcomes(4, [TRY_AGAIN])
    assert core.handle([finishes(X, ONE, broken)]) == [results_for(A, broken)]
    assert states(core) == [(0, 4, "done"), (4, 5, "failed"), (5, 6, "assigned")]


def test_the_rest_of_a_message_of_which_some_was_kept_is_not_sent_twice(core: Checked):
    core.handle(maps(A, 6))
    core.handle([*finish(0, 4), cancels(A, (5, 6)), finishes(X, ONE, big(4, count=2))])
    assert core.handle([finds()]) == [asks(ONE, (4, 5))]
    assert core.handle([finishes(X, ONE, big(4, count=2))]) == [results_for(A, big(4, count=2).slice(4, 5))]


# ---- what is asked for in vain


def test_what_does_not_come_is_in_nobodys_way_for_long(full: Checked):
    full.handle([finds()])
    assert full.next_deadline() == PATIENCE_S
    assert full.handle([], now=PATIENCE_S) == [FULL]
    assert full.handle([finds()], now=PATIENCE_S) == [asks(ONE, (6, 7))]
    assert full.handle(finish(4, 6), now=PATIENCE_S) == results(4, 6)


def test_while_something_comes_the_rest_is_waited_for(full: Checked):
    full.handle([finds()])
    full.handle(finish(4, 5), now=0.7)
    full.handle([finds(WINDOW - LARGE)], now=0.7)
    assert full.handle([], now=PATIENCE_S) == []
    assert full.next_deadline() == 0.7 + PATIENCE_S
    full.handle(finish(5, 7), now=1.0)
    full.handle([finds()], now=1.0)
    full.handle([], now=0.7 + PATIENCE_S)
    assert full.next_deadline() is None


def test_where_room_is_awaited_already_time_changes_nothing(full: Checked):
    full.handle([finds(), *finish(7, 9)])
    assert full.handle([], now=PATIENCE_S) == []
    assert full.next_deadline() is None


# ---- what is lost


@pytest.mark.parametrize("end", [PeerLost(X), Received(X, Goodbye("drained"))])
def test_what_is_kept_by_a_cluster_that_is_gone_runs_again_elsewhere_and_is_not_charged(full: Checked, end: Received):
    commands = said(full.handle([*cluster(Y, slots=12), end]))
    assert commands == [function_for(Y), span_for(Y, TWO, A, 4, 7), span_for(Y, run_id(3), A, 7, 12)]
    assert states(full) == [(0, 4, "done"), (4, 7, "assigned"), (7, 12, "assigned")]
    assert full.handle([finds(), *finish(4, 5, TWO, Y)]) == [results_for(A, big(4), attempts=2)]


def test_what_was_asked_of_a_cluster_that_is_gone_is_no_longer_asked_for(full: Checked):
    full.handle([finds()])
    full.handle([PeerLost(X)])
    assert full.handle([], now=PATIENCE_S) == [FULL]
    assert full.handle([finds()], now=PATIENCE_S) == []
    assert full.next_deadline() is None


def test_a_cluster_that_comes_back_with_what_it_kept_need_not_run_it_again(full: Checked):
    full.handle([PeerLost(X)])
    claim = held(A, ONE, queued=[(7, 12)], finished=[(4, 7)])
    full.handle([*cluster(X, slots=12), holds(X, claim), *finish(4, 7)])
    assert states(full) == [(0, 4, "done"), (4, 7, "kept"), (7, 12, "assigned")]
    assert full.handle([finds()]) == [asks(ONE, (4, 5)), asks(ONE, (5, 6))]


def test_what_another_cluster_also_has_of_what_is_kept_is_not_wanted(full: Checked):
    full.handle(cluster(Y))
    claim = held(A, OLD, queued=[(4, 5)], running=(5,), finished=[(6, 7)])
    assert full.handle([holds(Y, claim)]) == [forget_at(Y, OLD)]


def test_a_rival_is_beaten_by_a_result_that_is_kept(core: Checked):
    core.handle(maps(A, 12))
    core.handle([*finish(0, 4), begins(X, (ONE, 4))])
    core.handle([*cluster(Y), holds(Y, held(A, OLD, finished=[(4, 5)]))])
    assert core.handle([finishes(Y, OLD, big(4))]) == [cancel_at(X, ONE, (4, 5))]
    assert states(core)[1] == (4, 5, "kept")
    assert core.handle([finds()]) == [asks(OLD, (4, 5), peer=Y)]


def test_after_a_restart_what_there_is_no_room_for_is_kept_too():
    core = Checked(CoreConfig(window_bytes=WINDOW))
    core.handle([client(ALICE), *cluster(X), resumes(A, 6, (0, 6)), holds(X, held(A, OLD, finished=[(0, 6)]))])
    assert core.handle(finish(0, 6, OLD)) == [*results(0, 3), FULL, *results(3, 4)]
    assert states(core) == [(0, 4, "done"), (4, 6, "kept")]
    assert core.handle([], now=9.0) == []
    assert core.handle([finds()], now=9.0) == [asks(OLD, (4, 5)), asks(OLD, (5, 6))]


# ---- what is not wanted any more


def test_what_is_cancelled_while_it_is_kept_is_forgotten_at_its_cluster(full: Checked):
    assert full.handle([cancels(A, (4, 6))]) == [cancelled_for(A, (4, 6)), delivered_at(X, ONE, (4, 6))]


def test_what_is_cancelled_while_it_is_on_its_way_is_not_sent(full: Checked):
    full.handle([finds(), cancels(A, (4, 5))])
    assert full.handle(finish(4, 6)) == [*results(5, 6), FULL]


@pytest.mark.parametrize("end", [PeerLost(ALICE), Received(ALICE, ClearClient())])
def test_when_its_client_is_gone_or_drops_it_all_is_forgotten(full: Checked, end: PeerLost | Received):
    full.handle([finds()])
    commands = said(full.handle([end]))
    assert delivered_at(X, ONE, (0, 7)) in commands
    assert full.handle([returns(X, ONE, (7, 12), reason=ReturnReason.NOT_BEGUN)]) == []
    assert full.handle(finish(4, 6)) == [forget_at(X, ONE), forget_at(X, ONE)]
    full.handle([finds()], now=PATIENCE_S)
    full.handle([], now=PATIENCE_S)
    assert full.managers.tasks.runs == {}
