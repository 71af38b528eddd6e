"""Taking work from workers that are held up, for slots that stand idle, without moving what has begun."""

import pytest

from scaler.ids import TicketId, WorkerId
from scaler.worker.agent_events import Command, Give, Limit, Look, SlotView, TakeBack, TookBack
from tests.unit.worker.examples import (
    Cluster,
    give,
    harvested,
    piece,
    rests,
    run_span,
    runs,
    seasoned,
    span_result,
)

W0, W1 = WorkerId(0), WorkerId(1)


def tickets(commands: list[Command]) -> list[tuple[int, int, int, int]]:
    """(worker, ticket, lo, hi) of each that is given."""
    return [(g.worker, g.ticket, g.column.lo, g.column.hi) for g in commands if isinstance(g, Give)]


def took_back(worker: int, *found: int) -> TookBack:
    return TookBack(WorkerId(worker), tuple(map(TicketId, found)))


def two_workers() -> Cluster:
    """Two workers with eight tasks: the one has tickets 17 (task 0), 21 (4) and 23 (6), the other has done the rest."""
    cluster = seasoned(2, run_us=1000)
    given = tickets(cluster.hear(run_span(1, 0, 8)))
    assert [lo for worker, _, lo, _ in given if worker == 0] == [0, 4, 6]
    return cluster


def the_rest_is_done(at: float) -> tuple[Cluster, list[Command]]:
    cluster = two_workers()
    done = [piece(t, lo, lo + 1, 1000) for t, lo in ((18, 1), (19, 2), (20, 3), (22, 5), (24, 7))]
    return cluster, cluster.tell(harvested(1, *done, slots=(rests(24, 8),)), at=at)


def test_unread_tickets_go_to_a_worker_that_stands_idle():
    cluster, commands = the_rest_is_done(at=0.0055)
    assert commands[0] == Look(W0)
    assert cluster.tell(harvested(0, slots=(runs(17, 0, 0.0),))) == [TakeBack(W0)]
    assert cluster.tell(took_back(0, 21, 23)) == [give(1, 25, 4, 5), give(1, 26, 6, 7)]


def test_tasks_of_several_runs_that_are_taken_back_keep_their_order():
    cluster = seasoned(run_us=100)
    cluster.hear(*(run_span(n, 0, 1) for n in range(1, 9)))
    commands = cluster.tell(took_back(0, *range(19, 25)))
    assert [(give.run.n, give.ticket) for give in commands if isinstance(give, Give)] == list(
        zip(range(3, 9), range(25, 31), strict=True)
    )


def test_a_worker_that_was_given_something_just_now_is_left_in_peace():
    cluster, commands = the_rest_is_done(at=0.003)
    assert Look(W0) not in commands
    assert cluster.deadline() == 0.005
    assert cluster.tell(at=0.005) == [Look(W0)]


def test_a_worker_that_gets_on_is_looked_at_and_left_in_peace():
    cluster, _ = the_rest_is_done(at=0.0055)
    view = harvested(0, piece(17, 0, 1, 1000), slots=(runs(21, 4, 0.005),))
    assert cluster.tell(view) == [span_result(0, 1, run_us=1000)]
    assert cluster.deadline() == pytest.approx(0.01)


def test_a_worker_with_much_unread_is_not_waited_for():
    cluster = seasoned(2, run_us=1000)
    cluster.hear(run_span(1, 0, 8))
    done = [piece(t, lo, lo + 1, 1000) for t, lo in ((18, 1), (19, 2), (20, 3), (22, 5), (24, 7))]
    assert TakeBack(W0) in cluster.tell(harvested(1, *done, slots=(rests(24, 8),)), at=0.0005)


def test_without_anybody_idle_a_worker_is_given_more_time():
    cluster = seasoned(2, run_us=1000)
    cluster.hear(run_span(1, 0, 200))
    assert cluster.deadline() == 0.02
    assert cluster.tell(at=0.02) == [Look(W1), Look(W0)]
    stuck, fine = harvested(0, slots=(runs(17, 0, 0.0),)), harvested(1, slots=(runs(18, 1, 0.019),))
    assert cluster.tell(stuck, fine) == [TakeBack(W0)]


# ---- limits


def stuck(at: float = 0.021) -> Cluster:
    """A worker of one slot in the third of eight tasks of a ticket, and told to leave it there; another waits."""
    cluster = seasoned(2, run_us=100)
    given = tickets(cluster.hear(run_span(1, 0, 32)))
    assert given[0] == (0, 17, 0, 8)
    mine = [t for worker, t, _, _ in given if worker == 0]
    rest = [piece(t, lo, hi, 100) for worker, t, lo, hi in given if worker == 1]
    last = given[max(n for n, g in enumerate(given) if g[0] == 1)]
    cluster.tell(harvested(1, *rest, slots=(rests(last[1], last[3]),)), at=at)
    commands = cluster.tell(harvested(0, piece(17, 0, 2, 100), slots=(runs(17, 2, 0.0002),)))
    assert commands[:2] == [Limit(W0, 0, TicketId(17), 3), TakeBack(W0)]
    commands = cluster.tell(took_back(0, *mine[1:]))
    theirs = tickets(commands)
    rest = [piece(t, lo, hi, 100) for _, t, lo, hi in theirs]
    cluster.tell(harvested(1, *rest, slots=(rests(theirs[-1][1], theirs[-1][3]),)), at=at)
    return cluster


def test_a_slot_that_is_held_up_is_limited_and_what_is_behind_its_task_is_given_to_others():
    cluster = stuck()
    assert cluster.deadline() == pytest.approx(0.023)
    assert cluster.tell(at=0.022) == []
    assert cluster.tell(at=0.0231) == [Look(W0)]
    commands = cluster.tell(harvested(0, slots=(runs(17, 2, 0.0002),)))
    assert [(worker, lo, hi) for worker, _, lo, hi in tickets(commands)] == [(1, 3, 5), (1, 5, 6), (1, 6, 7), (1, 7, 8)]
    done = harvested(0, piece(17, 2, 3, 100), slots=(rests(17, 3),))
    assert cluster.tell(done, at=0.024) == [span_result(2, 3, run_us=100)]


def test_a_slot_that_met_its_limit_says_where_it_left():
    cluster = stuck()
    done = harvested(0, piece(17, 2, 3, 100), slots=(rests(17, 3),))
    commands = cluster.tell(done, at=0.022)
    assert sorted((lo, hi) for _, _, lo, hi in tickets(commands)) == [(3, 5), (5, 6), (6, 7), (7, 8)]


def test_a_slot_that_passed_its_limit_before_it_arrived_keeps_what_it_has_begun():
    cluster = stuck()
    view = harvested(0, piece(17, 2, 5, 100), slots=(runs(17, 5, 0.0225),))
    assert [(lo, hi) for _, _, lo, hi in tickets(cluster.tell(view, at=0.0231))] == [(6, 7), (7, 8)]
    done = harvested(0, piece(17, 5, 6, 100), slots=(rests(17, 6),))
    assert cluster.tell(done, at=0.024) == [span_result(5, 6, run_us=100)]


def test_a_slot_that_finished_its_ticket_all_the_same_leaves_nothing():
    cluster = stuck()
    done = harvested(0, piece(17, 2, 8, 100), slots=(rests(17, 8),))
    commands = cluster.tell(done, at=0.022)
    assert tickets(commands) == []
    assert commands == [span_result(2, 8, run_us=100)]


def test_a_slot_seen_in_a_later_ticket_is_looked_at_once_more():
    cluster = stuck()
    worker = cluster.agent._pool.workers[W0]
    assert list(worker.tickets) == [17]
    elsewhere = SlotView(TicketId(99), 0, 0.0225, TicketId(98), 4)
    assert Look(W0) in cluster.tell(harvested(0, piece(17, 2, 3, 100), slots=(elsewhere,)), at=0.0226)
    commands = cluster.tell(harvested(0, slots=(elsewhere,)))
    assert sorted((lo, hi) for _, _, lo, hi in tickets(commands)) == [(3, 5), (5, 6), (6, 7), (7, 8)]


def test_a_slot_seen_before_its_limit_is_certain_is_looked_at_again():
    cluster = stuck()
    assert tickets(cluster.tell(harvested(0, slots=(runs(17, 2, 0.0002),)), at=0.0215)) == []
    assert cluster.tell(at=0.0231) == [Look(W0)]


def test_a_slot_that_is_in_the_last_task_of_its_ticket_leaves_nothing():
    cluster = stuck()
    view = harvested(0, piece(17, 2, 7, 100), slots=(runs(17, 7, 0.0225),))
    assert cluster.tell(view, at=0.0231) == [span_result(2, 7, run_us=100)]


def test_only_the_slots_that_are_held_up_are_limited():
    cluster = seasoned(1, threads=3, run_us=100)
    assert tickets(cluster.hear(run_span(1, 0, 24)))[:3] == [(0, 17, 0, 4), (0, 18, 4, 8), (0, 19, 8, 11)]
    assert cluster.tell(at=0.02) == [Look(W0)]
    slots = (runs(17, 0, 0.0), runs(18, 4, 0.019), runs(19, 8, 0.0))
    commands = cluster.tell(harvested(0, slots=slots))
    assert commands == [Limit(W0, 0, TicketId(17), 1), Limit(W0, 2, TicketId(19), 9), TakeBack(W0)]


def test_each_limit_is_looked_at_when_it_is_certain():
    cluster = seasoned(3, run_us=100)
    mine = tickets(cluster.hear(run_span(1, 0, 60)))
    first = {worker: (t, lo) for worker, t, lo, _ in reversed(mine)}
    assert cluster.tell(at=0.02) == [Look(WorkerId(n)) for n in (0, 1, 2)]
    for worker, at in ((0, 0.02), (2, 0.0205), (1, 0.021)):
        ticket, index = first[worker]
        commands = cluster.tell(harvested(worker, slots=(runs(ticket, index, 0.0),)), at=at)
        assert Limit(WorkerId(worker), 0, TicketId(ticket), index + 1) in commands
    for worker, at in ((0, 0.0221), (2, 0.0226), (1, 0.0231)):
        assert cluster.tell(at=at) == [Look(WorkerId(worker))]
        cluster.tell(harvested(worker, slots=(runs(*first[worker], 0.0),)))
