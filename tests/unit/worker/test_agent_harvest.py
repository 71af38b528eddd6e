"""Results on their way up: said with what runs meanwhile, and kept until they are delivered."""

import pytest

from scaler.ids import TicketId, WorkerId
from scaler.protocol import Delivered, Held, NeedResults, Running
from scaler.protocol.codec import decode_failure
from scaler.protocol.columns import MAX_FRAME_BYTES, VALUE, ResultColumn
from scaler.protocol.options import Cause, Failure
from scaler.worker.agent_events import LinkDown, LinkUp, Piece, Say, TookBack
from scaler.worker.agent_results import MAX_JOINED, KeptResults, failed_column, follows, joined
from tests.unit.worker.examples import (
    EPOCH,
    F,
    batch_id,
    define,
    defines,
    give,
    harvested,
    holds,
    piece,
    ranges,
    ready,
    rests,
    results,
    run_id,
    run_span,
    runs,
    seasoned,
    span_result,
)


def test_a_result_is_said_and_its_slot_given_the_next_task():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.1) == [
        give(0, 2, 1, 2),
        span_result(0, 1),
    ]


def test_results_that_are_asked_for_are_said_again_with_what_runs_as_long_as_they_are_here():
    cluster = ready()
    cluster.hear(run_span(1, 0, 4))
    for n in range(3):
        cluster.tell(harvested(0, piece(n + 1, n, n + 1), slots=(rests(n + 1, n + 1),)), at=0.1 * (n + 1))
    cluster.tell(harvested(0, slots=(runs(4, 3, 0.3),)), at=0.4)
    cluster.hear(Delivered(((run_id(), ranges((0, 1))),)))
    again = NeedResults(run_id(), ranges((0, 2), (3, 4)))
    assert cluster.hear(again) == [span_result(1, 2, running=((1, 3),))]
    assert cluster.hear(NeedResults(run_id(77), ranges((0, 5)))) == []


def test_results_that_follow_each_other_are_one_message():
    cluster = seasoned(run_us=10_000)
    cluster.hear(run_span(1, 0, 3))
    done = [piece(17, 0, 1, 10_000), piece(18, 1, 2, 10_000), piece(19, 2, 3, 10_000)]
    assert cluster.tell(harvested(0, *done, slots=(rests(19, 3),)), at=0.03) == [span_result(0, 3, run_us=10_000)]


def test_results_that_lie_apart_and_those_of_other_runs_are_messages_of_their_own():
    cluster = ready(1, threads=3)
    cluster.hear(run_span(1, 0, 2), run_span(2, 2, 3))
    apart = ResultColumn(1, 1, 400, b"\0", bytes(4), (404).to_bytes(8, "little"), b"", (b"abcd",))
    done = [piece(1, 0, 1), Piece(TicketId(2), apart), piece(3, 2, 3)]
    rest = (rests(1, 1), rests(2, 2), rests(3, 3))
    said = [command for command in cluster.tell(harvested(0, *done, slots=rest)) if isinstance(command, Say)]
    assert [(say.message.run.n, say.message.lo, say.message.base, say.frames) for say in said] == [
        (1, 0, 0, results(0, 1).frames()),
        (1, 1, 400, apart.frames()),
        (2, 2, 8, results(2, 3).frames()),
    ]


def test_what_runs_is_told_with_results_but_for_what_has_just_begun():
    cluster = ready(3)
    cluster.hear(run_span(1, 0, 3))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, slots=(runs(2, 1, 0.045),)), at=0.045)
    assert cluster.tell(harvested(2, piece(3, 2, 3), slots=(rests(3, 3),)), at=0.05) == [
        span_result(2, 3, worker=2, running=((1, 0),))
    ]


def test_what_runs_for_long_is_told_once_though_nothing_finishes():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.005)
    assert cluster.deadline() == 0.1
    assert cluster.tell(at=0.1) == [Say(Running(((run_id(), 0),)))]
    assert cluster.deadline() is None
    cluster.tell(harvested(1, slots=(runs(2, 1, 0.12),)), at=0.13)
    assert cluster.tell(at=0.2) == []
    assert cluster.tell(at=cluster.deadline()) == [Say(Running(((run_id(), 0), (run_id(), 1))))]
    assert cluster.now == pytest.approx(0.22)


def test_of_several_that_run_the_first_to_be_told_is_waited_for():
    cluster = ready(3)
    cluster.hear(run_span(1, 0, 3))
    views = [harvested(n, slots=(runs(n + 1, n, since),)) for n, since in enumerate((0.0, 0.03, 0.032))]
    cluster.tell(*views, at=0.032)
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.035)
    assert cluster.tell(at=0.1) == []
    assert cluster.deadline() == pytest.approx(0.135)
    assert cluster.tell(at=cluster.deadline()) == [Say(Running(((run_id(), 1), (run_id(), 2))))]


def test_a_slot_whose_task_is_answered_for_is_not_told():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 2))
    done = harvested(0, piece(1, 0, 1), slots=(runs(1, 0, 0.0), runs(2, 1, 0.0)))
    assert cluster.tell(done, at=0.05) == [span_result(0, 1, running=((1, 1),))]


def test_what_was_told_with_results_is_not_told_again():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.005)
    cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)), at=0.05)
    assert cluster.tell(at=0.1) == []
    assert cluster.tell(at=cluster.deadline()) == []
    assert cluster.deadline() is None


def test_what_is_told_too_early_to_count_is_told_a_little_later():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.045),)), at=0.045)
    assert cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)), at=0.05) == [span_result(1, 2, worker=1)]
    assert cluster.deadline() == pytest.approx(0.145)
    assert cluster.tell(at=cluster.deadline()) == []
    assert cluster.deadline() == pytest.approx(0.15)
    assert cluster.tell(at=cluster.deadline()) == [Say(Running(((run_id(), 0),)))]


def test_results_are_kept_until_they_are_delivered():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 10))
    done = [piece(17 + n, n, n + 1, 1000) for n in range(10)]
    cluster.tell(harvested(0, *done, slots=(rests(26, 10),)), at=0.1)
    assert cluster.hear(Delivered(((run_id(), ranges((0, 2), (5, 6))),))) == []
    cluster.tell(LinkDown())
    held = Held(batch_id(), run_id(), (), (), ranges((2, 5), (6, 10)))
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[1:] == [
        holds(held),
        span_result(2, 5, run_us=1000),
        span_result(6, 10, run_us=1000),
    ]
    assert cluster.hear(Delivered(((run_id(), ranges((2, 10))),))) == []
    cluster.tell(LinkDown())
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[1:] == [holds()]


def test_what_is_delivered_of_an_unknown_run_is_no_matter():
    assert ready().hear(Delivered(((run_id(77), ranges((0, 5))),))) == []


def test_news_of_workers_that_have_ended_are_passed_over():
    cluster = ready()
    assert cluster.tell(harvested(7), TookBack(WorkerId(7), ())) == []


@pytest.mark.parametrize("wrong", [piece(1, 1, 2), piece(1, 0, 2)])
def test_results_that_do_not_continue_their_ticket_are_our_own_fault(wrong: Piece):
    cluster = ready()
    cluster.hear(run_span(1, 0, 5))
    with pytest.raises(ValueError, match=r"of a ticket with \[0, 1\) to come"):
        cluster.tell(harvested(0, wrong))


# ---- columns


def column(lo: int, hi: int, base: int, data: bytes, costs: bytes = b"") -> ResultColumn:
    count = hi - lo
    ends = b"".join([(base + len(data)).to_bytes(8, "little")] * count)
    return ResultColumn(lo, count, base, bytes([VALUE]) * count, bytes(4 * count), ends, costs, (data,))


def test_columns_are_joined_only_where_tasks_and_bytes_follow_each_other():
    first = column(0, 2, 100, b"12345")
    assert follows([first], column(2, 3, 105, b"6"))
    assert not follows([first], column(3, 4, 105, b"6"))
    assert not follows([first], column(2, 3, 106, b"6"))
    split = ResultColumn(2, 1, 105, b"\0", bytes(4), bytes(8), b"", (b"6", b"7"))
    assert not follows([first], split)
    assert not follows([split], column(3, 4, 107, b"8"))


def test_columns_are_joined_only_as_far_as_they_fit_a_frame():
    first = column(0, 1, 0, bytes(MAX_FRAME_BYTES - 1))
    assert follows([first], column(1, 2, MAX_FRAME_BYTES - 1, b"x"))
    assert not follows([first], column(1, 2, MAX_FRAME_BYTES - 1, b"xy"))
    many = column(0, MAX_JOINED - 1, 0, b"")
    assert follows([many], column(MAX_JOINED - 1, MAX_JOINED, 0, b""))
    assert not follows([many], column(MAX_JOINED - 1, MAX_JOINED + 1, 0, b""))


def test_joined_columns_read_as_one_and_costs_that_were_not_measured_are_none():
    parts = [column(0, 1, 10, b"a"), column(1, 3, 11, b"bc", bytes(range(16))), column(3, 4, 13, b"d")]
    one = joined(parts)
    assert (one.lo, one.hi, one.base, one.data) == (0, 4, 10, (b"abcd",))
    assert one.costs == bytes(8) + bytes(range(16)) + bytes(8)
    assert joined([parts[0], column(1, 2, 11, b"b")]).costs == b""
    assert ResultColumn.from_frames(0, 4, 10, one.frames()) == one


def test_a_failure_is_a_column_of_one_task():
    failure = Failure(Cause.DIED, "why", "here")
    made = failed_column(5, failure, 1 << 40)
    assert ResultColumn.from_frames(5, 6, 0, made.frames()) == made
    assert decode_failure(made.data[0]) == failure
    assert bytes(made.run_us) == b"\xff\xff\xff\xff"


def test_kept_columns_are_dropped_whole_and_in_part():
    kept = KeptResults()
    for lo, hi in ((10, 20), (0, 5), (30, 40), (20, 25)):
        kept.add(results(lo, hi), f"place {lo}")
    kept.drop(5, 10)
    kept.drop(50, 60)
    assert kept.ranges() == [(0, 5), (10, 20), (20, 25), (30, 40)]
    kept.drop(12, 14)
    assert kept.ranges() == [(0, 5), (10, 12), (14, 20), (20, 25), (30, 40)]
    kept.drop(3, 33)
    assert list(kept) == [(results(0, 3), "place 0"), (results(33, 40), "place 30")]
    kept.drop(0, 40)
    assert not kept


def test_two_workers_results_in_one_turn_are_two_messages():
    cluster = ready(2)
    cluster.hear(define(F))
    assert cluster.hear(run_span(1, 0, 2)) == [defines(0), give(0, 1, 0, 1), defines(1), give(1, 2, 1, 2)]
    one, two = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), harvested(1, piece(2, 1, 2), slots=(rests(2, 2),))
    assert cluster.tell(two, one, at=0.2) == [span_result(1, 2, worker=1), span_result(0, 1)]
