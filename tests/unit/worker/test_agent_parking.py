"""Parking: tasks that wait for others give up their slots to spares, and take their time."""

import pytest

from scaler.ids import Incarnation, Range, TicketId, WorkerId
from scaler.protocol import BatchOptions, ParkParent, Returned, ReturnReason
from scaler.worker.agent_events import (
    Answer,
    ChildOpened,
    Command,
    Give,
    Interrupt,
    Limit,
    Look,
    Note,
    RetireWorker,
    Say,
    SlotView,
    StartFailed,
    StartWorker,
    TakeBack,
    TookBack,
    WorkerStarted,
)
from tests.unit.worker.examples import (
    PLAIN,
    Cluster,
    G,
    define,
    defines,
    ended,
    give,
    harvested,
    offer,
    piece,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
)

W0, W1, W2, W3 = (WorkerId(n) for n in range(4))
CHILD = Incarnation(41)
ROOT = Incarnation(5)
LIMITED = BatchOptions(timeout_s=0.5)


def nested(depth: int, **options: object) -> BatchOptions:
    return BatchOptions(depth=depth, root=ROOT, **options)  # type: ignore[arg-type]  # a test's own


def waits(ticket: int, index: int, number: int = 1, since: float = 0.0) -> SlotView:
    """A slot whose task waits for others."""
    return SlotView(TicketId(ticket), index, since, TicketId(0), 0, number)


def spare(worker: WorkerId) -> StartWorker:
    return StartWorker(worker, is_spare=True)


def starts(cluster: Cluster, worker: WorkerId, at: float | None = None) -> list[Command]:
    return [
        command for command in cluster.tell(WorkerStarted(worker, 100 + worker), at=at) if not isinstance(command, Note)
    ]


def waiting(options: BatchOptions = PLAIN, **settings: object) -> Cluster:
    """A worker whose task waits, and a spare in its place."""
    cluster = ready(**settings)  # type: ignore[arg-type]  # a test's own
    cluster.hear(run_span(1, 0, 1, options=options))
    cluster.tell(harvested(0, slots=(waits(1, 0),)), at=1.0)
    cluster.tell(WorkerStarted(W1, 101))
    return cluster


def test_a_task_that_waits_is_answered_and_a_spare_is_started():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    assert cluster.tell(harvested(0, slots=(waits(1, 0),))) == [Answer(W0, 0, 1, granted=True), spare(W1)]
    assert starts(cluster, W1) == [offer(1, 2)]
    assert cluster.tell(harvested(0, slots=(waits(1, 0),))) == []


def test_the_spare_runs_what_the_task_waits_for():
    cluster = waiting()
    assert cluster.hear(run_span(2, 0, 1))[-1] == give(1, 2, 0, 1, n=2)


def test_a_task_that_goes_on_leaves_a_slot_too_many_which_is_given_nothing():
    cluster = waiting()
    cluster.hear(run_span(2, 0, 3))
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == [offer(1, 1)]
    assert cluster.tell(harvested(1, piece(2, 0, 1), slots=(rests(2, 1),)))[-1].message.lo == 0  # type: ignore[union-attr]  # a result
    done = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert [command for command in done if isinstance(command, Give)] == [give(0, 3, 1, 2, n=2)]


def test_a_spare_that_is_there_takes_the_slot_of_the_next_that_waits():
    cluster = waiting()
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.tell(harvested(0, slots=(waits(1, 0, 2),))) == [Answer(W0, 0, 2, granted=True), offer(1, 2)]


def test_a_spare_may_wait_itself():
    cluster = waiting()
    cluster.hear(run_span(2, 0, 1, options=nested(1)))
    assert cluster.tell(harvested(1, slots=(waits(2, 0),))) == [Answer(W1, 0, 1, granted=True), spare(W2)]
    assert starts(cluster, W2) == [offer(1, 3)]


def test_of_a_worker_with_threads_each_slot_has_a_spare_of_its_own():
    cluster = ready(threads=3)
    cluster.hear(run_span(1, 0, 3))
    views = (waits(1, 0), waits(2, 1), runs(3, 2, 0.0))
    commands = cluster.tell(harvested(0, slots=views))
    assert commands == [Answer(W0, 0, 1, granted=True), Answer(W0, 1, 1, granted=True), spare(W1), spare(W2)]
    assert starts(cluster, W1) == [offer(1, 4)]
    assert starts(cluster, W2) == [offer(1, 5)]


def test_beyond_the_limit_a_task_is_told_to_raise():
    cluster = waiting(max_parked=1)
    cluster.hear(run_span(2, 0, 1))
    assert cluster.tell(harvested(1, slots=(waits(2, 0, 7),))) == [Answer(W1, 0, 7, granted=False)]
    assert cluster.tell(harvested(1, slots=(waits(2, 0, 7),))) == []
    assert cluster.tell(harvested(1, slots=(runs(2, 0, 0.0),))) == []
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.tell(harvested(1, slots=(waits(2, 0, 8),)))[0] == Answer(W1, 0, 8, granted=True)


def test_a_task_that_has_ended_is_parked_no_longer():
    cluster = waiting()
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert cluster.agent._pool.parked == 0


def test_what_lies_behind_a_task_that_waits_is_taken_from_its_worker():
    cluster = seasoned(run_us=200)
    cluster.hear(run_span(1, 0, 80))
    first, *others = cluster.agent._pool.workers[W0].tickets
    assert others
    asked = cluster.tell(harvested(0, slots=(waits(first, 0),)), at=0.001)
    assert asked == [Answer(W0, 0, 1, granted=True), Limit(W0, 0, first, 1), spare(W1), TakeBack(W0)]
    cluster.tell(TookBack(W0, tuple(others)))
    assert Look(W0) in cluster.tell(at=0.003)
    cluster.tell(harvested(0, slots=(waits(first, 0),)))
    assert cluster.agent._pool.workers[W0].left == 1


def test_a_worker_that_dies_while_it_waits_fails_its_task_alone():
    cluster = waiting()
    cluster.hear(run_span(2, 0, 2))
    commands = cluster.tell(ended(0, -9, slots=(waits(1, 0),)), at=5.0)
    results = [command for command in commands if type(getattr(command, "message", None)).__name__ == "SpanResult"]
    assert [(one.message.run.n, one.message.lo, one.message.hi) for one in results] == [(1, 0, 1)]  # type: ignore[union-attr]  # a result
    assert StartWorker(W2) in commands


def test_a_spare_that_could_not_be_started_is_tried_again_later():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, slots=(waits(1, 0),)), at=1.0)
    cluster.tell(StartFailed(W1, "no memory"))
    assert cluster.deadline() == 1.1
    assert cluster.tell(at=1.1) == [spare(W2)]


def test_a_spare_that_dies_is_replaced_while_it_is_needed():
    cluster = waiting()
    assert spare(W2) in cluster.tell(ended(1, -9), at=5.0)


# ---- spares that nobody needs


def test_a_spare_ends_that_was_one_too_many_for_a_while():
    cluster = waiting()
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=2.0)
    assert cluster.deadline() == 7.0
    assert cluster.tell(at=7.0) == [RetireWorker(W1)]
    assert cluster.tell(ended(1, 0)) == []
    assert cluster.deadline() is None


def test_a_spare_that_was_needed_meanwhile_stays():
    cluster = waiting()
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=2.0)
    cluster.tell(harvested(0, slots=(waits(1, 0, 2),)), at=4.0)
    assert cluster.tell(at=8.0) == []
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=9.0)
    assert cluster.tell(at=13.9) == []
    assert cluster.tell(at=14.0) == [RetireWorker(W1)]


def test_a_spare_that_is_at_work_ends_later():
    cluster = waiting()
    cluster.hear(run_span(2, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=2.0)
    cluster.tell(harvested(1, slots=(runs(2, 0, 1.0),)), at=2.0)
    assert RetireWorker(W1) not in cluster.tell(at=7.0)
    cluster.tell(harvested(1, piece(2, 0, 1), slots=(rests(2, 1),)), at=8.0)
    assert cluster.tell(at=12.0) == [RetireWorker(W1)]


# ---- timeouts


def test_the_clock_of_a_task_stands_still_while_it_waits():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, options=LIMITED))
    cluster.tell(harvested(0, slots=(waits(1, 0, since=0.0),)), at=0.2)
    cluster.tell(WorkerStarted(W1, 101))
    assert cluster.tell(at=60.0) == []
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=60.2)
    assert cluster.deadline() == pytest.approx(60.5)
    assert cluster.tell(at=60.5) == [Look(W0)]
    assert Interrupt(W0, 0, TicketId(1), 0) in cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))


def test_each_wait_adds_to_the_time_of_a_task():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, options=LIMITED))
    for number, (begin, end) in enumerate([(0.1, 10.1), (10.2, 20.2)], 1):
        cluster.tell(harvested(0, slots=(waits(1, 0, number),)), at=begin)
        cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=end)
    assert cluster.tell(at=20.4) == []
    assert Look(W0) in cluster.tell(at=20.6)


# ---- tasks that wait with something else


def starving(cluster: Cluster, *, is_parked: bool = True, at: float | None = None) -> list[Command]:
    return cluster.hear(ParkParent(CHILD, is_parked), at=at)


def stuck(**settings: object) -> Cluster:
    """A worker in a task whose client has submitted something."""
    cluster = ready(**settings)  # type: ignore[arg-type]  # a test's own
    cluster.hear(run_span(1, 0, 1, options=LIMITED))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), ChildOpened(W0, CHILD, TicketId(1), 0))
    return cluster


def test_a_task_whose_children_starve_is_parked_whatever_it_does():
    cluster = stuck()
    assert starving(cluster) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))[-1] == spare(W1)


def test_it_is_parked_no_longer_when_nothing_of_theirs_is_left():
    cluster = stuck()
    starving(cluster, at=0.2)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    cluster.tell(WorkerStarted(W1, 101))
    assert starving(cluster, is_parked=False, at=10.2) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == [offer(1, 1)]
    assert cluster.tell(at=10.4) == []
    assert Look(W0) in cluster.tell(at=10.6)


def test_a_task_whose_own_wait_is_over_cannot_be_stuck():
    cluster = stuck()
    starving(cluster)
    cluster.tell(harvested(0, slots=(waits(1, 0),)))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.agent._pool.parked == 0


def test_beyond_the_limit_nothing_can_be_done_for_it():
    cluster = stuck(workers=2, max_parked=1)
    cluster.hear(run_span(2, 0, 1))
    cluster.tell(harvested(1, slots=(waits(2, 0),)))
    starving(cluster)
    assert cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),))) == []
    cluster.tell(harvested(1, slots=(runs(2, 0, 0.0),)))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.agent._pool.parked == 1


def test_a_child_that_is_gone_starves_no_more():
    assert ready().hear(ParkParent(CHILD, parked=True)) == []


# ---- what goes first


def test_what_is_nested_deeper_is_run_first_and_takes_the_turns_of_its_root():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(run_span(2, 0, 2), run_span(3, 0, 2, owner=6))
    cluster.hear(run_span(4, 0, 1, options=nested(1), owner=77), run_span(5, 0, 1, options=nested(2), owner=78))
    served = []
    last = (1, 0)
    for ticket in range(1, 8):
        done = cluster.tell(harvested(0, piece(ticket, last[1], last[1] + 1), slots=(rests(ticket, last[1] + 1),)))
        given = [command for command in done if isinstance(command, Give)]
        if not given:
            break
        last = (given[0].run.n, given[0].column.lo)
        served.append(last)
    assert served == [(5, 0), (3, 0), (4, 0), (3, 1), (2, 0), (2, 1)]


# ---- room for what is waited for


def crowd(parked: int, running: int, most: int) -> Cluster:
    """Tasks of F that wait for others, and some that run; what waits here next is one too many of them, or not."""
    cluster = ready(parked + running, max_parked=most)
    cluster.hear(run_span(1, 0, parked + running))
    for number in range(parked):
        child = ChildOpened(WorkerId(number), Incarnation(50 + number), TicketId(number + 1), number)
        cluster.tell(child, harvested(number, slots=(waits(number + 1, number),)))
    spares = [worker.id for worker in cluster.agent._pool.workers.values() if worker.seat.is_spare]
    cluster.tell(*[WorkerStarted(worker, 100 + worker) for worker in spares])
    return cluster


def returned(*ranges: tuple[int, int], n: int) -> Say:
    return Say(Returned(run_id(n), tuple(Range(*pair) for pair in ranges), ReturnReason.NOT_BEGUN))


def test_tasks_that_may_wait_do_not_begin_where_half_of_those_that_may_wait_do():
    cluster = crowd(parked=3, running=1, most=8)
    assert cluster.hear(run_span(2, 0, 2)) == [returned((0, 2), n=2)]


def test_what_they_wait_for_begins_and_so_does_what_never_waits():
    cluster = crowd(parked=3, running=1, most=8)
    assert [type(one) for one in cluster.hear(run_span(2, 0, 1, options=nested(1)))][-1:] == [Give]
    cluster = crowd(parked=3, running=1, most=8)
    cluster.hear(define(G))
    assert [type(one) for one in cluster.hear(run_span(2, 0, 1, function=G))][-1:] == [Give]


def test_where_nothing_runs_one_may_begin():
    cluster = crowd(parked=4, running=0, most=8)
    commands = cluster.hear(run_span(2, 0, 3))
    assert [type(one) for one in commands if isinstance(one, (Give, Say))] == [Give, Say]
    assert commands[-1] == returned((1, 3), n=2)


def test_as_long_as_nobody_waits_every_slot_is_used():
    cluster = ready(4, max_parked=1)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(ChildOpened(W0, CHILD, TicketId(1), 0))
    assert [type(one) for one in cluster.hear(run_span(2, 0, 3))].count(Give) == 3


def test_a_spare_sees_devices_if_what_is_waited_for_asks_for_some():
    cluster = ready(devices=("0",))
    cluster.hear(run_span(1, 0, 1))
    asked = cluster.tell(harvested(0, slots=(waits(1, 0),)))
    assert asked == [Answer(W0, 0, 1, granted=True), StartWorker(W1, devices="", is_spare=True)]
    starts(cluster, W1)
    needs_one = nested(1, resources=(("gpu", 1.0),))
    asked = cluster.hear(run_span(2, 0, 1, options=needs_one))
    assert asked == [
        RetireWorker(W1),
        StartWorker(W2, devices="0", is_spare=True),
        defines(2),
        give(2, 2, 0, 1, n=2, options=needs_one),
        StartWorker(W3, devices=""),  # where the task waits: its worker sees a device that is another's
    ]
    assert cluster.tell(ended(1, 0)) == []
