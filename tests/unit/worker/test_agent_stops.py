"""Ending tasks nobody wants, and those that run for too long, without harm to their neighbours."""

import pytest

from scaler.ids import TicketId, WorkerId
from scaler.protocol import BatchOptions, CancelRun, Cause, Confirmed, Forget, Running, SpanResult
from scaler.protocol.columns import MAX_MEASURED, ResultColumn
from scaler.worker.agent_events import (
    Command,
    Dump,
    Interrupt,
    KillWorker,
    Limit,
    Look,
    Say,
    StartWorker,
    TakeBack,
    TookBack,
)
from tests.unit.worker.examples import (
    IDLE,
    PLAIN,
    Cluster,
    G,
    define,
    defines,
    ended,
    failed,
    give,
    harvested,
    offer,
    piece,
    raised,
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

W0, W1 = WorkerId(0), WorkerId(1)
LIMITED = BatchOptions(timeout_s=0.5)
TOO_LONG = "it ran longer than its timeout of 0.5 s on host (c), worker 0"


def cancel(*found: tuple[int, int], n: int = 1) -> CancelRun:
    return CancelRun(run_id(n), ranges(*found))


def confirmed(*found: tuple[int, int], n: int = 1) -> Say:
    return Say(Confirmed(run_id(n), ranges(*found)))


def took_back(*tickets: int, worker: int = 0) -> TookBack:
    return TookBack(WorkerId(worker), tuple(map(TicketId, tickets)))


# ---- cancel


def test_what_waits_is_cancelled_at_once():
    cluster = ready()
    cluster.hear(run_span(1, 0, 9))
    assert cluster.hear(cancel((2, 4), (6, 7))) == [confirmed((2, 4), (6, 7))]
    assert cluster.hear(cancel((2, 4), (8, 9))) == [confirmed((8, 9))]


def test_what_waits_for_its_function_is_cancelled_at_once():
    cluster = ready()
    cluster.hear(run_span(1, 0, 5, function=G))
    assert cluster.hear(cancel((0, 4))) == [confirmed((0, 4))]
    assert cluster.hear(define(G)) == [defines(0, G), give(0, 1, 4, 5, function=G)]


def test_tickets_of_other_runs_are_left_alone():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 1), run_span(2, 0, 1))
    assert cluster.hear(cancel((0, 1), n=2)) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(18), harvested(0, slots=(runs(17, 0, 0.0),))) == [confirmed((0, 1), n=2)]


def test_a_cancel_of_an_unknown_run_is_no_matter():
    assert ready().hear(cancel((0, 4), n=77)) == []


def running(cluster: Cluster, *, options: BatchOptions = PLAIN, at: float = 1.0) -> Cluster:
    """A worker in the first of two tasks, begun at 0."""
    cluster.hear(run_span(1, 0, 2, options=options))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=at)
    return cluster


def test_a_task_that_was_not_read_yet_is_taken_back():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2))
    assert cluster.hear(cancel((0, 1))) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(1), harvested(0)) == [give(0, 2, 1, 2), confirmed((0, 1))]


def test_a_running_task_is_interrupted_and_confirmed_when_it_ends():
    cluster = running(ready())
    assert cluster.hear(cancel((0, 1))) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(), harvested(0, slots=(runs(1, 0, 0.0),))) == [Interrupt(W0, 0, TicketId(1), 0)]
    assert cluster.tell(harvested(0, raised(1, 0), slots=(rests(1, 1),)), at=1.001) == [
        give(0, 2, 1, 2),
        confirmed((0, 1)),
    ]
    assert cluster.tell(harvested(0, slots=(runs(2, 1, 1.001),)), at=1.05) == []
    assert cluster.tell(at=1.2) == [Say(Running(((run_id(), 1),)))]


def test_a_task_that_finishes_before_it_is_interrupted_is_confirmed_too():
    cluster = running(ready())
    cluster.hear(cancel((0, 1)))
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))
    assert cluster.tell(took_back(), done) == [give(0, 2, 1, 2), confirmed((0, 1))]


def test_a_task_is_interrupted_once_however_often_it_is_cancelled():
    cluster = running(ready())
    cluster.hear(cancel((0, 1)))
    cluster.tell(took_back(), harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.hear(cancel((0, 1))) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=1.1) == []


def test_a_task_that_does_not_heed_is_killed_with_its_worker_after_a_fifth_of_a_second():
    cluster = running(ready())
    cluster.hear(cancel((0, 1)))
    cluster.tell(took_back(), harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.tell(at=1.19) == []
    assert cluster.tell(at=1.2) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0),)), at=1.21) == [StartWorker(W1), confirmed((0, 1))]


def test_with_neighbours_the_worker_is_killed_and_they_run_again_uncharged():
    cluster = ready(1, threads=3)
    cluster.hear(run_span(1, 0, 3))
    slots = (runs(1, 0, 0.0), runs(2, 1, 0.0), runs(3, 2, 0.0))
    cluster.tell(harvested(0, slots=slots), at=0.9)
    assert cluster.hear(cancel((1, 2)), at=1.0) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(), harvested(0, slots=slots)) == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(harvested(0, slots=slots)) == []
    assert cluster.tell(ended(0, -9, slots=slots), at=1.01) == [StartWorker(W1), confirmed((1, 2))]
    assert [tuple(run.queued) for run in cluster.agent._runs.by_id.values()] == [((0, 1), (2, 3))]


def test_a_cancelled_task_in_a_slot_beside_others_is_seen_when_it_begins():
    cluster = seasoned(1, run_us=1000)
    cluster.hear(run_span(1, 0, 3))
    assert cluster.hear(cancel((2, 3))) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(), harvested(0, slots=(runs(17, 0, 0.0),))) == []
    done = [piece(17, 0, 1, 1000), piece(18, 1, 2, 1000)]
    assert cluster.tell(harvested(0, *done, slots=(runs(19, 2, 0.002),)), at=0.002) == [
        Interrupt(W0, 0, TicketId(19), 2),
        span_result(0, 2, run_us=1000),
    ]


def test_what_is_cancelled_behind_the_running_task_of_a_ticket_never_begins():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(harvested(0, piece(17, 0, 1, 100), piece(18, 1, 2, 100), slots=(rests(18, 2),)))
    cluster.hear(run_span(2, 0, 9))  # tickets of 5, 2, 1 and 1
    cluster.hear(cancel((3, 5), n=2))
    assert cluster.tell(took_back(20, 21, 22), harvested(0, slots=(runs(19, 0, 0.0),))) == [
        Limit(W0, 0, TicketId(19), 1)
    ]
    assert cluster.tell(at=0.002) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(19, 0, 0.0),))) == [confirmed((3, 5), n=2)]
    assert cluster.tell(harvested(0, piece(19, 0, 1, 100), slots=(rests(19, 1),)), at=0.003) == [
        give(0, 23, 1, 3, n=2),
        give(0, 24, 5, 7, n=2),
        give(0, 25, 7, 8, n=2),
        give(0, 26, 8, 9, n=2),
        span_result(0, 1, n=2, run_us=100),
    ]


def test_results_around_a_cancelled_one_are_said():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 18))
    first = next(iter(cluster.agent._pool.workers[W0].tickets.values()))
    assert (first.id, first.next, first.hi) == (17, 0, 9)
    cluster.hear(cancel((2, 3), (5, 6)))
    done = harvested(0, piece(17, 0, 9, 100), slots=(rests(17, 9),))
    said = [command for command in cluster.tell(took_back(), done, at=0.001) if isinstance(command, Say)]
    parts = results(0, 9, 100)
    assert said == [
        *[say_part(parts, lo, hi) for lo, hi in ((0, 2), (3, 5), (6, 9))],
        confirmed((2, 3), (5, 6)),
    ]


def say_part(column: ResultColumn, lo: int, hi: int) -> Say:
    part = column.slice(lo, hi)
    return Say(SpanResult(run_id(), lo, hi, part.base, "host (c), worker 0"), part.frames())


# ---- forget


def test_of_a_run_that_is_forgotten_nothing_is_heard_again():
    cluster = running(ready())
    assert cluster.hear(Forget(run_id())) == [TakeBack(W0), Look(W0)]
    assert cluster.tell(took_back(), harvested(0, slots=(runs(1, 0, 0.0),))) == [Interrupt(W0, 0, TicketId(1), 0)]
    assert cluster.tell(harvested(0, raised(1, 0), slots=(rests(1, 1),)), at=1.01) == []
    assert cluster.agent._runs.by_id == {}


def test_kept_results_of_a_run_that_is_forgotten_are_dropped():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert cluster.hear(Forget(run_id()), Forget(run_id(77))) == []
    assert cluster.agent._runs.by_id == {}


# ---- timeouts


def test_a_task_that_runs_longer_than_its_timeout_is_interrupted_and_fails():
    cluster = running(ready(), options=LIMITED, at=0.01)
    assert cluster.tell(at=0.49)[1:] == []
    assert cluster.tell(at=0.5) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == [Dump(W0, 0), Interrupt(W0, 0, TicketId(1), 0)]
    assert cluster.tell(harvested(0, raised(1, 0), slots=(rests(1, 1),)), at=0.501) == [
        give(0, 2, 1, 2, options=LIMITED),
        failed(0, Cause.TIMEOUT, TOO_LONG, run_us=500_000),
    ]


def test_a_task_that_finished_in_the_last_moment_has_its_result():
    cluster = running(ready(), options=LIMITED, at=0.01)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.501)[-1] == span_result(0, 1)


@pytest.mark.parametrize("limit_s", [0.5, 7200.0])
def test_a_value_that_came_because_its_task_was_disturbed_after_its_timeout_is_none(limit_s: float):
    """The signal that has a worker tell where a task is makes some C functions return early."""
    cluster = running(ready(), options=BatchOptions(timeout_s=limit_s), at=0.01)
    cluster.tell(at=limit_s)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    longest_us = min(int(limit_s * 1e6) + 100, MAX_MEASURED)
    done = harvested(0, piece(1, 0, 1, longest_us), slots=(rests(1, 1),))
    text = f"it ran longer than its timeout of {limit_s:g} s on host (c), worker 0"
    told = failed(0, Cause.TIMEOUT, text, run_us=min(int(limit_s * 1e6), MAX_MEASURED))
    assert cluster.tell(done, at=limit_s + 0.001)[-1] == told


def test_a_task_that_ended_before_its_timeout_is_left_alone():
    cluster = running(ready(), options=LIMITED, at=0.01)
    assert cluster.tell(at=0.5)[0] == Look(W0)
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.5) == [
        give(0, 2, 1, 2, options=LIMITED),
        span_result(0, 1),
    ]
    cluster.tell(harvested(0, slots=(runs(2, 1, 0.5),)), at=0.6)
    assert cluster.tell(at=0.9) == []
    assert cluster.tell(at=1.0) == [Look(W0)]


def test_a_task_that_heeds_neither_timeout_nor_interrupt_is_killed_and_fails():
    cluster = running(ready(), options=LIMITED, at=0.01)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    cluster.tell(at=0.7)
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0),)), at=0.71) == [
        StartWorker(W1),
        failed(0, Cause.TIMEOUT, TOO_LONG, run_us=500_000),
    ]


def test_with_neighbours_the_one_that_is_late_fails_and_they_run_again():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 1, options=LIMITED), run_span(2, 0, 1))
    slots = (runs(1, 0, 0.0), runs(2, 0, 0.0))
    cluster.tell(harvested(0, slots=slots), at=0.01)
    assert cluster.tell(at=0.5)[0] == Look(W0)
    assert cluster.tell(harvested(0, slots=slots)) == [Dump(W0, 0)]
    assert cluster.tell(at=0.6) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=slots)) == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(at=0.7) == []
    assert cluster.tell(ended(0, -9, slots=slots), at=0.71) == [
        StartWorker(W1),
        failed(0, Cause.TIMEOUT, TOO_LONG, run_us=500_000),
    ]
    assert [tuple(run.queued) for run in cluster.agent._runs.by_id.values()] == [(), ((0, 1),)]


def test_a_task_that_is_late_and_cancelled_is_confirmed():
    cluster = running(ready(), options=LIMITED, at=0.01)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    cluster.hear(cancel((0, 1)))
    assert cluster.tell(took_back(), harvested(0, raised(1, 0), slots=(rests(1, 1),)), at=0.51) == [
        give(0, 2, 1, 2, options=LIMITED),
        confirmed((0, 1)),
    ]


def test_results_around_a_late_one_are_said():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 5, options=LIMITED))
    first = next(iter(cluster.agent._pool.workers[W0].tickets.values()))
    assert (first.id, first.next, first.hi) == (17, 0, 3)
    cluster.tell(took_back(), harvested(0, slots=(runs(17, 1, 0.0),)), at=0.01)
    cluster.tell(at=0.5)
    said = cluster.tell(harvested(0, slots=(runs(17, 1, 0.0),)))
    assert Interrupt(W0, 0, TicketId(17), 1) in said
    done = [piece(17, 0, 1, 100), raised(17, 1, 100), piece(17, 2, 3, 100)]
    assert cluster.tell(harvested(0, *done, slots=(rests(17, 3),)), at=0.51)[-3:] == [
        span_result(0, 1, run_us=100),
        failed(1, Cause.TIMEOUT, TOO_LONG, run_us=500_000),
        span_result(2, 3, run_us=100),
    ]


def test_a_worker_that_is_being_killed_is_not_asked_again():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 2, options=LIMITED))
    slots = (runs(1, 0, 0.0), runs(2, 1, 0.2))
    cluster.tell(harvested(0, slots=slots), at=0.3)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=slots))
    cluster.tell(at=0.6)
    commands: list[Command] = cluster.tell(harvested(0, slots=slots))
    assert commands == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(at=0.7) == []
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), IDLE)), at=0.8) == []


def test_a_slot_beside_one_that_is_late_may_be_idle():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 1, options=LIMITED))
    slots = (IDLE, runs(1, 0, 0.0))
    cluster.tell(harvested(0, slots=slots), at=0.01)
    assert cluster.tell(at=0.5)[0] == Look(W0)
    assert cluster.tell(harvested(0, slots=slots)) == [Dump(W0, 1)]


def test_the_failure_of_a_late_task_shows_where_it_was():
    cluster = running(ready(), options=LIMITED, at=0.01)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    told = harvested(0, raised(1, 0), slots=(rests(1, 1),), stacks=((0, "it was in f"),))
    commands = cluster.tell(told, at=0.501)
    assert commands[-1] == failed(0, Cause.TIMEOUT, TOO_LONG, run_us=500_000, stack="it was in f")


def test_where_a_task_was_that_is_not_late_is_of_no_interest():
    cluster = running(ready(), options=LIMITED, at=0.01)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),), stacks=((0, "it was in f"),)), at=0.1)
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.2)[-1] == span_result(0, 1)


def test_a_task_that_ends_while_its_worker_tells_where_it_is_does_no_harm_to_its_neighbours():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 1, options=LIMITED), run_span(2, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), runs(2, 0, 0.0))), at=0.01)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), runs(2, 0, 0.0))))
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1), runs(2, 0, 0.0)))
    late = failed(0, Cause.TIMEOUT, TOO_LONG, run_us=500_000, running=((2, 0),))
    assert cluster.tell(done, at=0.55) == [late]
    assert cluster.tell(at=0.6) == []


@pytest.mark.parametrize("at", [0.7, 5.0])
def test_a_timeout_is_noticed_late_rather_than_never(at: float):
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1, options=LIMITED), run_span(2, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, slots=(runs(2, 0, 0.0),)), at=0.01)
    assert cluster.tell(at=at)[0] == Look(W0)
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))[1] == Interrupt(W0, 0, TicketId(1), 0)


def test_the_timeout_of_the_cluster_holds_for_tasks_without_their_own():
    def options(cluster: Cluster) -> list[float | None]:
        return [run.options.timeout_s for run in cluster.agent._runs.by_id.values()]

    cluster = ready(task_timeout_s=7.0)
    cluster.hear(run_span(1, 0, 1), run_span(2, 0, 1, options=LIMITED))
    assert options(cluster) == [7.0, 0.5]
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    assert options(cluster) == [None]
