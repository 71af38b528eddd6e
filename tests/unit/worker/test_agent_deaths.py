"""What follows when a worker process dies: the running task is to blame, and nothing else."""

from scaler.ids import WorkerId
from scaler.protocol import BatchOptions, CancelRun, Cause, Confirmed, Forget, Returned, ReturnReason, WorkerDied
from scaler.worker.agent_events import Command, Give, KillWorker, Note, Say, StartWorker, StopAsked, WorkerStarted
from tests.unit.worker.examples import (
    IDLE,
    Cluster,
    defines,
    ended,
    failed,
    give,
    harvested,
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

SEGFAULT = "host (c), worker 0 was killed by signal 11 (SIGSEGV)"
BLAMED = f"{SEGFAULT} while it ran this task"


def died(worker: int, *, starts: int, slots: int = 0, workers: int = 0) -> list[Command]:
    """What is ordered and told when a worker is killed by a segmentation fault."""
    return [
        Note("warning", f"Worker[{worker}] was killed by signal 11 (SIGSEGV)", (("pid", 100 + worker),)),
        StartWorker(WorkerId(starts)),
        offer(workers, slots),
        Say(WorkerDied(worker, -11, f"host (c), worker {worker} was killed by signal 11 (SIGSEGV)")),
    ]


def test_the_running_task_fails_with_the_facts_and_the_last_words():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    assert cluster.tell(ended(0, slots=(runs(1, 0, 0.0),), stderr="Fatal Python error"), at=3.0) == [
        *died(0, starts=1),
        failed(0, Cause.DIED, BLAMED, exit_code=-11, stderr="Fatal Python error"),
    ]


def test_an_exit_is_told_with_its_code():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    text = "host (c), worker 0 exited with code 3 while it ran this task"
    assert cluster.tell(ended(0, 3, slots=(runs(1, 0, 0.0),)), at=3.0)[-1] == failed(0, Cause.DIED, text, exit_code=3)


def test_what_was_finished_is_reported_and_what_was_not_begun_runs_again_uncharged():
    cluster = seasoned(run_us=100)
    commands = cluster.hear(run_span(1, 0, 16))
    assert [(give.ticket, give.column.lo, give.column.hi) for give in commands if isinstance(give, Give)] == [
        (17, 0, 8),
        (18, 8, 12),
        (19, 12, 14),
        (20, 14, 15),
        (21, 15, 16),
    ]
    last_words = (runs(17, 3, 0.0003),)
    done = harvested(0, piece(17, 0, 3, 100), slots=last_words)
    assert cluster.tell(done, ended(0, slots=last_words, unread=(19, 20, 21)), at=0.5) == [
        *died(0, starts=1),
        span_result(0, 3, run_us=100),
        failed(3, Cause.DIED, BLAMED, exit_code=-11),
    ]
    commands = cluster.tell(WorkerStarted(WorkerId(1), 101))
    again = [(give.column.lo, give.column.hi) for give in commands if isinstance(give, Give)]
    assert again == [(4, 10), (10, 13), (13, 15), (15, 16)]


def test_tasks_of_several_runs_that_were_not_begun_keep_their_order():
    cluster = seasoned(run_us=100)
    cluster.hear(*(run_span(n, 0, 1) for n in range(1, 6)))
    cluster.tell(ended(0, slots=(runs(17, 0, 0.0),), unread=tuple(range(18, 22))), at=0.5)
    commands = cluster.tell(WorkerStarted(WorkerId(1), 101))
    assert [give.run.n for give in commands if isinstance(give, Give)] == [2, 3, 4, 5]


def test_what_is_behind_the_running_task_goes_before_other_runs():
    cluster = seasoned(run_us=10)
    given = cluster.hear(run_span(1, 0, 4), run_span(2, 0, 4))
    assert [(give.ticket, give.column.hi) for give in given if isinstance(give, Give)] == [(17, 4), (18, 4)]
    cluster.tell(ended(0, slots=(runs(17, 0, 0.0),), unread=(18,)), at=0.5)
    commands = cluster.tell(WorkerStarted(WorkerId(1), 101))
    assert [(give.run.n, give.column.lo) for give in commands if isinstance(give, Give)] == [(1, 1), (2, 0)]


def test_other_workers_take_over_at_once_and_before_what_came_later():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 2), run_span(2, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.1)  # and is given run 2
    cluster.hear(run_span(3, 0, 1))
    assert cluster.tell(ended(1, unread=(2,)), at=1.2) == died(1, starts=2, workers=1, slots=1)
    assert cluster.tell(harvested(0, piece(3, 0, 1), slots=(rests(3, 1),)), at=1.3) == [
        give(0, 4, 1, 2),
        span_result(0, 1, n=2),
    ]


def test_a_task_that_was_given_and_never_read_is_not_charged():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    assert cluster.tell(ended(0, slots=(IDLE,), unread=(1,)), at=3.0) == died(0, starts=1)
    assert cluster.tell(WorkerStarted(WorkerId(1), 101))[1:3] == [defines(1), give(1, 2, 0, 1)]


def test_a_task_that_ran_when_a_worker_died_young_is_blamed_and_no_pause_is_made():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    assert cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=0.1)[1] == StartWorker(WorkerId(1))


# ---- several tasks ran


def two_threads() -> Cluster:
    """A worker of two slots, each in a task; a third task waits."""
    cluster = ready(1, threads=2)
    assert cluster.hear(run_span(1, 0, 3)) == [defines(0), give(0, 1, 0, 1), give(0, 2, 1, 2)]
    assert cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))), at=3.0) == died(0, starts=1)
    return cluster


def alone(cluster: Cluster, worker: int) -> list[Command]:
    """A worker takes the place of the one that died."""
    return cluster.tell(WorkerStarted(WorkerId(worker), 100 + worker))[1:]


def test_each_of_several_running_tasks_runs_again_with_nothing_beside_it():
    cluster = two_threads()
    assert alone(cluster, 1) == [defines(1), give(1, 3, 0, 1), offer(1, 2)]
    assert cluster.tell(harvested(1, slots=(runs(3, 0, 3.0), IDLE)), at=3.05) == []
    done = harvested(1, piece(3, 0, 1), slots=(rests(3, 1), IDLE))
    assert cluster.tell(done, at=3.1) == [give(1, 4, 1, 2), span_result(0, 1, worker=1)]
    done = harvested(1, piece(4, 1, 2), slots=(rests(4, 2), IDLE))
    assert cluster.tell(done, at=3.2) == [give(1, 5, 2, 3), span_result(1, 2, worker=1)]


def test_only_the_one_that_dies_alone_is_charged():
    cluster = two_threads()
    alone(cluster, 1)
    text = "host (c), worker 1 was killed by signal 11 (SIGSEGV) while it ran this task"
    assert cluster.tell(ended(1, slots=(runs(3, 0, 3.0), IDLE)), at=3.1) == [
        *died(1, starts=2),
        failed(0, Cause.DIED, text, worker=1, exit_code=-11),
    ]
    assert alone(cluster, 2) == [defines(2), give(2, 4, 1, 2), offer(1, 2)]
    done = harvested(2, piece(4, 1, 2), slots=(IDLE, rests(4, 2)))
    assert cluster.tell(done, at=3.2) == [give(2, 5, 2, 3), span_result(1, 2, worker=2)]


def test_suspects_are_tried_on_several_workers_at_once():
    cluster = ready(3, threads=2)
    commands = cluster.hear(run_span(1, 0, 6))
    assert [(give.worker, give.ticket) for give in commands if isinstance(give, Give)] == [
        (0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6),
    ]  # fmt: skip
    cluster.tell(harvested(1, piece(3, 2, 3), piece(4, 3, 4), slots=(rests(3, 3), rests(4, 4))), at=0.1)
    dead = ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0)))
    assert cluster.tell(dead, at=3.0)[2:-2] == [give(1, 7, 0, 1)]
    one_left = harvested(2, piece(5, 4, 5), slots=(rests(5, 5), runs(6, 5, 0.0)))
    assert not [command for command in cluster.tell(one_left, at=3.1) if isinstance(command, Give)]
    none_left = harvested(2, piece(6, 5, 6), slots=(rests(5, 5), rests(6, 6)))
    assert give(2, 8, 1, 2) in cluster.tell(none_left, at=3.2)


def test_a_worker_more_than_there_are_suspects_has_nothing_to_try():
    cluster = ready(4, threads=2)
    cluster.hear(run_span(1, 0, 2))
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))), at=3.0)
    assert [(give.worker, give.column.lo) for give in commands if isinstance(give, Give)] == [(1, 0), (2, 1)]
    cluster.tell(WorkerStarted(WorkerId(4), 104))
    done = harvested(1, piece(3, 0, 1), slots=(rests(3, 1), IDLE))
    assert cluster.tell(done, ended(2, slots=(runs(4, 1, 3.0), IDLE)), at=3.1)[-1] == failed(
        1,
        Cause.DIED,
        "host (c), worker 2 was killed by signal 11 (SIGSEGV) while it ran this task",
        worker=2,
        exit_code=-11,
    )


def test_a_suspect_that_nobody_wants_any_more_is_confirmed_and_not_tried():
    cluster = two_threads()
    assert cluster.hear(CancelRun(run_id(), ranges((0, 1)))) == [Say(Confirmed(run_id(), ranges((0, 1))))]
    assert alone(cluster, 1)[1] == give(1, 3, 1, 2)


def test_suspects_of_a_run_that_is_forgotten_are_gone_without_a_word():
    cluster = two_threads()
    assert cluster.hear(Forget(run_id())) == []
    assert alone(cluster, 1) == [offer(1, 2)]


def test_suspects_of_other_runs_stay():
    cluster = two_threads()
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(CancelRun(run_id(2), ranges((0, 1))))
    assert alone(cluster, 1)[1] == give(1, 3, 0, 1)


def test_suspects_are_handed_back_as_bystanders_when_the_cluster_ends():
    cluster = two_threads()
    assert cluster.tell(StopAsked(5.0, "SIGTERM"), at=4.0) == [
        KillWorker(WorkerId(1)),  # it has not started yet
        Say(Returned(run_id(), ranges((0, 2)), ReturnReason.BYSTANDER)),
        Say(Returned(run_id(), ranges((2, 3)), ReturnReason.NOT_BEGUN)),
    ]


def test_several_that_die_while_the_cluster_ends_are_handed_back_as_bystanders():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(StopAsked(5.0, "SIGTERM"), at=1.0)
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))), at=2.0)
    assert Say(Returned(run_id(), ranges((0, 2)), ReturnReason.BYSTANDER)) in commands


# ---- deaths of what nobody wants


def test_a_death_settles_what_was_cancelled_and_charges_nobody():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(CancelRun(run_id(), ranges((0, 1))))
    assert cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=3.0) == [
        *died(0, starts=1),
        Say(Confirmed(run_id(), ranges((0, 1)))),
    ]


def test_a_task_that_was_stopped_for_its_timeout_and_dies_timed_out():
    options = BatchOptions(timeout_s=0.5)
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, options=options))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.1)
    cluster.tell(at=0.5)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)))
    text = "it ran longer than its timeout of 0.5 s on host (c), worker 0"
    assert cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=0.55)[-1] == failed(
        0, Cause.TIMEOUT, text, run_us=500_000
    )
