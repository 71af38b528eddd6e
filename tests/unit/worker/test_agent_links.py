"""What a cluster says when its link changes: nothing new on the same one, everything it has on another."""

import pytest

from scaler.ids import TicketId, WorkerId
from scaler.protocol import CancelRun, Held, Holding, Retract, RetractAnswered, Returned, ReturnReason, Running
from scaler.worker import agent_greeting
from scaler.worker.agent_events import LinkDown, LinkUp, Received, Say, TakeBack, TookBack, WorkerStarted
from tests.unit.worker.examples import (
    EPOCH,
    batch_id,
    defines,
    ended,
    give,
    harvested,
    holds,
    offer,
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

ANEW = LinkUp(EPOCH, resumed=False)
AGAIN = LinkUp(EPOCH, resumed=True)


def held(queued: list[tuple[int, int]], running: list[int], finished: list[tuple[int, int]], *, n: int = 1) -> Held:
    return Held(batch_id(n), run_id(n), ranges(*queued), tuple(running), ranges(*finished))


def test_a_link_that_resumes_needs_no_greeting():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    assert cluster.tell(LinkDown()) == []
    assert cluster.tell(AGAIN) == []


def test_work_goes_on_without_a_link_and_what_is_said_waits_in_it():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    cluster.tell(LinkDown())
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))
    assert cluster.tell(done, at=0.1) == [give(0, 2, 1, 2), span_result(0, 1)]


def test_on_a_new_link_a_cluster_says_what_it_offers_and_all_it_has():
    cluster = seasoned(run_us=10_000)
    cluster.hear(run_span(1, 0, 20), run_span(2, 0, 5))
    done = harvested(0, piece(17, 0, 1, 10_000), slots=(runs(18, 1, 0.01),))
    cluster.tell(done, at=0.01)
    assert cluster.tell(LinkDown(), ANEW, at=0.015) == [
        offer(1, 1),
        holds(held([(2, 20)], [1], [(0, 1)]), held([(0, 5)], [], [], n=2)),
        span_result(0, 1, run_us=10_000),
    ]


def test_what_was_finished_since_it_was_seen_counts_as_finished():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 9))  # tickets of 5, 2, 1 and 1
    cluster.tell(harvested(0, slots=(runs(17, 3, 0.0003),)), at=0.0003)
    assert cluster.tell(ANEW) == [offer(1, 1), holds(held([(4, 9)], [3], [(0, 3)]))]


def test_what_was_to_be_said_on_the_old_link_is_told_by_what_is_held():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))
    assert cluster.tell(done, LinkDown(), ANEW) == [
        give(0, 2, 1, 2),
        offer(1, 1),
        holds(held([(1, 5)], [], [(0, 1)])),
        span_result(0, 1),
    ]


def test_a_retraction_that_a_new_link_overtakes_is_answered_behind_what_is_held():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    assert cluster.tell(Received(Retract(run_id(), 0, 5)), LinkDown(), ANEW) == [
        TakeBack(WorkerId(0)),
        offer(1, 1),
        holds(held([(0, 5)], [], [])),
    ]
    assert cluster.tell(TookBack(WorkerId(0), (TicketId(1),))) == [
        Say(Returned(run_id(), ranges((0, 5)), ReturnReason.RETRACTED)),
        Say(RetractAnswered(run_id(), 0, 5)),
    ]


def test_what_is_cancelled_is_not_held():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 9))
    cluster.tell(harvested(0, slots=(runs(17, 3, 0.0003),)), at=0.0003)
    cluster.hear(CancelRun(run_id(), ranges((1, 2), (3, 4), (7, 8))))
    assert cluster.tell(ANEW)[-2:] == [offer(1, 1), holds(held([(4, 7), (8, 9)], [], [(0, 1), (2, 3)]))]


def test_a_run_of_which_all_is_cancelled_is_not_named():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(CancelRun(run_id(), ranges((0, 1))))
    assert cluster.tell(ANEW)[-2:] == [offer(1, 1), holds()]


def test_suspects_are_held_as_queued():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 3))
    cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))), at=3.0)
    assert cluster.tell(ANEW) == [offer(0, 0), holds(held([(0, 3)], [], []))]


def test_what_runs_is_told_again_on_a_new_link():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.1)
    cluster.tell(LinkDown())
    cluster.tell(ANEW, at=0.2)
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.3) == [Say(Running(((run_id(), 0),)))]


def test_very_much_is_held_in_several_messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_greeting, "_MOST_HELD", 20)
    cluster = ready()
    cluster.hear(*[run_span(n, 0, 1) for n in range(1, 6)])
    messages = [say.message for say in cluster.tell(ANEW) if isinstance(say, Say)]
    parts = [[one.run.n for one in message.runs] for message in messages if isinstance(message, Holding)]
    assert parts == [[1, 2, 3], [4, 5]]


def test_an_offer_follows_each_change_and_is_made_once():
    cluster = ready(2)
    assert cluster.tell() == []
    assert offer(1, 1) in cluster.tell(ended(1), at=5.0)
    assert cluster.tell(WorkerStarted(WorkerId(2), 102))[1:] == [offer(2, 2)]


def test_a_second_scheduler_is_told_as_the_first_was():
    cluster = ready()
    assert cluster.hear(run_span(1, 0, 2)) == [defines(0), give(0, 1, 0, 1)]
    cluster.tell(LinkDown())
    assert cluster.tell(LinkUp(EPOCH, resumed=False)) == [offer(1, 1), holds(held([(0, 2)], [], []))]
