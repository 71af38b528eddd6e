"""Giving back to the scheduler what it asks for: all that has not begun, unread tickets too, and one answer."""

from scaler.ids import TicketId, WorkerId
from scaler.protocol import CancelRun, Confirmed, Retract, RetractAnswered, Returned, ReturnReason
from scaler.worker.agent_events import Command, Say, StartWorker, TakeBack, TookBack
from tests.unit.worker.examples import (
    defines,
    ended,
    give,
    harvested,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
    span_result,
)

W0, W1 = WorkerId(0), WorkerId(1)


def returned(*found: tuple[int, int], n: int = 1) -> Say:
    return Say(Returned(run_id(n), ranges(*found), ReturnReason.RETRACTED))


def answered(lo: int, hi: int, n: int = 1) -> Say:
    return Say(RetractAnswered(run_id(n), lo, hi))


def took_back(worker: int, *tickets: int) -> TookBack:
    return TookBack(WorkerId(worker), tuple(map(TicketId, tickets)))


def test_what_waits_and_what_was_not_read_is_returned_and_the_rest_stays():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 30))  # one task a ticket: 17 to 37
    assert cluster.hear(Retract(run_id(), 0, 30)) == [TakeBack(W0)]
    assert cluster.tell(took_back(0, *range(20, 37))) == [returned((3, 20), (21, 30)), answered(0, 30)]
    done = [piece(17 + n, n, n + 1, 1000) for n in range(3)] + [piece(37, 20, 21, 1000)]
    assert cluster.tell(harvested(0, *done, slots=(rests(37, 21),)), at=0.004) == [
        span_result(0, 3, run_us=1000),
        span_result(20, 21, run_us=1000),
    ]


def test_only_the_range_that_is_asked_for_is_returned_and_the_rest_is_given_again():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 10))
    assert cluster.hear(Retract(run_id(), 4, 6)) == [TakeBack(W0)]
    assert cluster.tell(took_back(0, *range(18, 27))) == [
        *[give(0, 27 + n, lo, lo + 1) for n, lo in enumerate((1, 2, 3, 6, 7, 8, 9))],
        returned((4, 6)),
        answered(4, 6),
    ]


def test_a_worker_is_asked_only_if_it_may_hold_unread_what_is_wanted():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 3), run_span(2, 0, 1))
    assert cluster.hear(Retract(run_id(2), 0, 1)) == [returned((0, 1), n=2), answered(0, 1, n=2)]
    assert cluster.hear(Retract(run_id(1), 1, 3)) == [TakeBack(W1)]
    assert cluster.tell(took_back(1)) == [returned((2, 3)), answered(1, 3)]
    assert cluster.hear(Retract(run_id(1), 1, 3)) == [answered(1, 3)]


def test_a_run_that_is_over_or_unknown_is_answered_all_the_same():
    assert ready().hear(Retract(run_id(77), 0, 5)) == [answered(0, 5, n=77)]


def test_nothing_is_given_out_while_a_worker_is_asked():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 4))
    assert cluster.hear(Retract(run_id(), 0, 4)) == [TakeBack(W0), TakeBack(W1)]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [span_result(0, 1)]
    assert cluster.tell(took_back(0)) == []
    assert cluster.tell(took_back(1)) == [returned((2, 4)), answered(0, 4)]


def test_the_death_of_a_worker_answers_for_it():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 4))
    cluster.hear(Retract(run_id(), 0, 4))
    assert cluster.tell(took_back(0)) == []
    commands: list[Command] = cluster.tell(ended(1, unread=(2,)), at=2.0)
    assert commands[1] == StartWorker(WorkerId(2))
    assert commands[4:] == [returned((1, 4)), answered(0, 4)]


def test_several_are_answered_each_as_soon_as_it_can_be():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1), run_span(2, 0, 1), run_span(3, 0, 1))
    assert cluster.hear(Retract(run_id(1), 0, 1), Retract(run_id(3), 0, 1), Retract(run_id(2), 0, 1)) == [
        TakeBack(W0),
        TakeBack(W1),
        returned((0, 1), n=3),
        answered(0, 1, n=3),
    ]
    assert cluster.tell(took_back(1, 2)) == [returned((0, 1), n=2), answered(0, 1, n=2)]
    assert cluster.tell(took_back(0)) == [answered(0, 1)]


def test_a_run_of_which_everything_was_returned_is_over():
    cluster = ready()
    assert cluster.hear(run_span(1, 0, 2)) == [defines(0), give(0, 1, 0, 1)]
    cluster.hear(Retract(run_id(), 0, 2))
    assert cluster.tell(took_back(0, 1)) == [returned((0, 2)), answered(0, 2)]
    assert cluster.agent._runs.by_id == {}


def test_a_task_that_has_begun_stays_though_its_ticket_has_more():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 9))
    assert cluster.hear(Retract(run_id(), 0, 9)) == [TakeBack(W0)]
    assert cluster.tell(took_back(0, 18, 19, 20)) == [returned((5, 9)), answered(0, 9)]
    done = harvested(0, piece(17, 0, 2, 100), slots=(runs(17, 2, 0.0002),))
    assert cluster.tell(done, at=0.0003) == [span_result(0, 2, run_us=100)]


def test_what_was_cancelled_meanwhile_is_confirmed_and_not_returned():
    cluster = ready()
    cluster.hear(run_span(1, 0, 3))
    cluster.hear(Retract(run_id(), 0, 3))
    cluster.hear(CancelRun(run_id(), ranges((0, 2))))
    assert cluster.tell(took_back(0, 1)) == [
        returned((2, 3)),
        Say(Confirmed(run_id(), ranges((0, 1)))),
        answered(0, 3),
    ]
