"""Workers that retire after so many tasks, and those that come in their place."""

from scaler.ids import TicketId, WorkerId
from scaler.worker.agent_events import (
    Command,
    Give,
    Look,
    Note,
    RetireWorker,
    StartFailed,
    StartWorker,
    StopAsked,
    TakeBack,
    TookBack,
    WorkerStarted,
)
from tests.unit.worker.examples import (
    IDLE,
    defines,
    ended,
    give,
    harvested,
    offer,
    piece,
    ready,
    rests,
    run_span,
    runs,
    seasoned,
    span_result,
)

W0, W1, W2 = WorkerId(0), WorkerId(1), WorkerId(2)


def started(worker: int, pid: int) -> Note:
    return Note("info", f"Worker[{worker}] started", (("pid", pid),))


def tickets(commands: list[Command]) -> list[tuple[int, int, int]]:
    return [(one.worker, one.column.lo, one.column.hi) for one in commands if isinstance(one, Give)]


def test_the_next_worker_starts_with_the_last_task_and_takes_over_when_that_is_done():
    cluster = ready(max_tasks_per_worker=2)
    assert cluster.hear(run_span(1, 0, 4)) == [defines(0), give(0, 1, 0, 1)]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.1) == [
        give(0, 2, 1, 2),
        StartWorker(W1),
        span_result(0, 1),
    ]
    assert cluster.tell(WorkerStarted(W1, 101), at=0.12) == [started(1, 101)]
    assert cluster.tell(harvested(0, piece(2, 1, 2), slots=(rests(2, 2),)), at=0.2) == [
        RetireWorker(W0),
        defines(1),
        give(1, 3, 2, 3),
        span_result(1, 2),
    ]
    assert cluster.tell(ended(0, 0), at=0.21) == []


def test_a_worker_that_retires_after_every_task_keeps_its_slot_on_offer():
    cluster = ready(max_tasks_per_worker=1)
    assert cluster.hear(run_span(1, 0, 2)) == [defines(0), give(0, 1, 0, 1), StartWorker(W1)]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), ended(0, 0), at=0.1) == [span_result(0, 1)]
    assert cluster.tell(WorkerStarted(W1, 101), at=0.2) == [
        started(1, 101),
        defines(1),
        give(1, 2, 1, 2),
        StartWorker(W2),
    ]


def test_no_worker_is_given_more_than_it_may_run_however_short_that_is():
    cluster = seasoned(run_us=20, max_tasks_per_worker=116)
    commands = cluster.hear(run_span(1, 0, 1000))
    assert tickets(commands) == [(0, 0, 45), (0, 45, 90), (0, 90, 100)]
    assert commands[-1] == StartWorker(W1)
    assert cluster.tell(WorkerStarted(W1, 101)) == [started(1, 101)]


def test_what_is_taken_back_of_its_last_tasks_is_for_the_next_worker():
    cluster = seasoned(run_us=20, max_tasks_per_worker=116)
    cluster.hear(run_span(1, 0, 100))
    cluster.tell(WorkerStarted(W1, 101))
    assert TakeBack(W0) in cluster.tell(harvested(0, slots=(runs(17, 0, 0.0),)), at=0.03)
    commands = cluster.tell(TookBack(W0, tuple(TicketId(ticket) for ticket in range(18, 24))))
    assert tickets(commands) == []
    commands = cluster.tell(harvested(0, piece(17, 0, 45, 20), slots=(rests(17, 45),)), at=0.04)
    assert commands[0] == RetireWorker(W0)
    assert tickets(commands) == [(1, 45, 73), (1, 73, 87), (1, 87, 94), (1, 94, 97), (1, 97, 99), (1, 99, 100)]


def test_the_slots_that_a_retiring_worker_leaves_free_are_used_and_no_more():
    cluster = ready(threads=2, max_tasks_per_worker=2)
    commands = cluster.hear(run_span(1, 0, 5))
    assert commands == [defines(0), give(0, 1, 0, 1), give(0, 2, 1, 2), StartWorker(W1)]
    assert cluster.tell(WorkerStarted(W1, 101)) == [started(1, 101)]
    commands = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1), runs(2, 1, 0.0))), at=0.1)
    assert tickets(commands) == [(1, 2, 3)]
    commands = cluster.tell(harvested(0, piece(2, 1, 2), slots=(rests(1, 1), rests(2, 2))), at=0.2)
    assert commands[0] == RetireWorker(W0)
    assert tickets(commands) == [(1, 3, 4)]
    assert StartWorker(W2) in commands


def test_a_worker_that_dies_in_its_last_task_is_to_blame_and_the_next_one_is_there_already():
    cluster = ready(max_tasks_per_worker=1)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(WorkerStarted(W1, 101))
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=3.0)
    assert tickets(commands) == [(1, 1, 2)]
    assert [command for command in commands if isinstance(command, StartWorker)] == [StartWorker(W2)]


def test_a_seat_whose_next_worker_does_not_start_is_offered_as_long_as_it_has_one():
    cluster = ready(max_tasks_per_worker=1)
    cluster.hear(run_span(1, 0, 2))
    failed = cluster.tell(StartFailed(W1, "no memory"), at=5.0)
    assert failed == [Note("error", "Worker[1] could not be started: no memory")]
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(IDLE,)), at=5.01)
    assert cluster.tell(ended(0, 0), at=5.02) == [offer(0, 0)]
    assert cluster.deadline() == 5.1
    assert cluster.tell(at=5.1) == [StartWorker(W2)]


def test_a_cluster_that_is_told_to_end_starts_no_more_of_them():
    cluster = ready(max_tasks_per_worker=1)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(WorkerStarted(W1, 101))
    assert cluster.tell(StopAsked(5.0, "told"), at=1.0) == [RetireWorker(W1), TakeBack(W0), Look(W0), offer(0, 0)]
    commands = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=1.1)
    assert commands[0] == RetireWorker(W0)
    assert not [command for command in commands if isinstance(command, StartWorker)]
