"""Which worker runs the tasks that ask for GPUs, and which workers make room for others that see what is asked for."""

from scaler.ids import TicketId, WorkerId
from scaler.protocol import BatchOptions, Cause, Retract, Returned, ReturnReason
from scaler.worker.agent_events import (
    Command,
    Give,
    RetireWorker,
    Say,
    StartFailed,
    StartWorker,
    StopAsked,
    TakeBack,
    TookBack,
    WorkerStarted,
)
from tests.unit.worker.examples import (
    IDLE,
    Cluster,
    defines,
    ended,
    failed,
    give,
    harvested,
    piece,
    ready,
    rests,
    run_id,
    run_span,
    runs,
)

W0, W1, W2, W3 = (WorkerId(number) for number in range(4))
CPU = BatchOptions()


def gpu(amount: float) -> BatchOptions:
    return BatchOptions(resources=(("gpu", amount),))


ONE, TWO, HALF = gpu(1.0), gpu(2.0), gpu(0.5)


def with_devices(workers: int, *devices: str, threads: int = 1) -> Cluster:
    return ready(workers, threads, devices=devices)


def ask(n: int, options: BatchOptions, count: int = 1) -> object:
    return run_span(n, 0, count, options=options)


def placed(commands: list[Command]) -> list[tuple[int, int]]:
    """The worker and run of each ticket."""
    return [(one.worker, one.run.n) for one in commands if isinstance(one, Give)]


def lives(commands: list[Command]) -> list[Command]:
    """Who starts and who makes room."""
    return [one for one in commands if isinstance(one, StartWorker | RetireWorker)]


def done(worker: int, ticket: int) -> object:
    return harvested(worker, piece(ticket, 0, 1), slots=(rests(ticket, 1),))


# ---- who sees what from the start


def test_devices_are_dealt_out_as_evenly_as_can_be():
    for workers, expected in [(1, ["0,1,2"]), (2, ["0", "1,2"]), (4, ["", "0", "1", "2"])]:
        started = Cluster(workers, devices=("0", "1", "2")).tell()
        assert [one.devices for one in started if isinstance(one, StartWorker)] == expected


def test_without_devices_workers_see_what_their_cluster_sees():
    assert Cluster(1).tell() == [StartWorker(W0, "", None)]


# ---- tasks that ask for as many as workers see


def test_tasks_that_run_at_once_see_different_devices():
    cluster = with_devices(3, "7", "9")
    assert placed(cluster.hear(ask(1, ONE), ask(2, ONE), ask(3, ONE))) == [(1, 1), (2, 2)]
    assert placed(cluster.tell(done(2, 2), at=0.1)) == [(2, 3)]


def test_tasks_of_one_run_are_given_one_by_one():
    cluster = with_devices(2, "0", "1")
    assert placed(cluster.hear(ask(1, ONE, 3))) == [(0, 1), (1, 1)]


def test_other_tasks_leave_the_workers_with_devices_free_as_long_as_they_can():
    cluster = with_devices(3, "0")
    assert placed(cluster.hear(ask(1, CPU), ask(2, CPU), ask(3, ONE))) == [(0, 1), (1, 2), (2, 3)]


def test_other_tasks_run_beside_those_that_cannot_begin():
    cluster = with_devices(2, "0")
    assert placed(cluster.hear(ask(1, ONE), ask(2, ONE), ask(3, CPU))) == [(1, 1), (0, 3)]


def test_none_waits_in_a_worker_behind_another():
    cluster = with_devices(1, "0")
    cluster.hear(ask(1, ONE))
    commands = cluster.tell(harvested(0, piece(1, 0, 1, 100), slots=(rests(1, 1),)), at=0.1)
    assert placed(commands) == []
    assert placed(cluster.hear(ask(2, ONE, 5))) == [(0, 2)]


def test_two_slots_of_one_worker_do_not_share_its_device():
    cluster = with_devices(1, "0", threads=2)
    assert placed(cluster.hear(ask(1, ONE), ask(2, ONE), ask(3, CPU))) == [(0, 1), (0, 3)]


# ---- tasks that ask for more or fewer


def test_an_idle_worker_makes_room_for_one_that_sees_two_and_is_given_the_task_at_once():
    cluster = with_devices(2, "0", "1")
    assert cluster.hear(ask(1, TWO)) == [
        RetireWorker(W1),
        RetireWorker(W0),
        StartWorker(W2, "", "0,1"),
        defines(2),
        give(2, 1, 0, 1, options=TWO),
        StartWorker(W3, "", ""),
    ]
    assert cluster.deadline() is None
    cluster.tell(ended(0, 0), ended(1, 0), WorkerStarted(W2, 102), WorkerStarted(W3, 103))
    assert placed(cluster.hear(ask(2, ONE), ask(3, CPU))) == [(3, 3)]
    commands = cluster.tell(done(2, 1), at=0.1)
    assert lives(commands) == [RetireWorker(W2), StartWorker(WorkerId(4), "", "0")]
    assert placed(commands) == [(4, 2)]


def test_a_worker_that_sees_more_than_is_asked_for_makes_room_too():
    cluster = with_devices(1, "0", "1")
    commands = cluster.hear(ask(1, ONE))
    assert lives(commands) == [RetireWorker(W0), StartWorker(W1, "", "0")]
    assert placed(commands) == [(1, 1)]


def test_a_worker_at_something_else_keeps_going_and_makes_room_afterwards():
    cluster = with_devices(2, "0", "1")
    assert placed(cluster.hear(ask(1, CPU))) == [(0, 1)]
    commands = cluster.hear(ask(2, TWO))
    assert lives(commands) == [RetireWorker(W1), StartWorker(W2, "", "0,1"), StartWorker(W3, "", "")]
    assert placed(commands) == [(2, 2)]
    assert placed(cluster.tell(WorkerStarted(W3, 103))) == []
    assert lives(cluster.tell(done(0, 1), at=0.1)) == [RetireWorker(W0)]
    assert placed(cluster.hear(ask(3, CPU))) == [(3, 3)]


def test_a_device_that_is_in_use_is_not_given_twice():
    cluster = with_devices(2, "0", "1")
    cluster.hear(ask(1, ONE))
    assert placed(cluster.hear(ask(2, TWO))) == []
    commands = cluster.tell(done(0, 1), at=0.1)
    assert placed(commands) == [(2, 2)]


def test_what_asks_for_more_than_there_is_waits_aside():
    cluster = with_devices(1, "0")
    assert cluster.hear(ask(1, TWO)) == []
    assert placed(cluster.hear(ask(2, CPU))) == [(0, 2)]


# ---- parts


def test_parts_of_a_device_are_given_out_until_it_is_full():
    cluster = with_devices(3, "0")
    commands = cluster.hear(ask(1, HALF, 3))
    assert lives(commands) == [RetireWorker(W0), StartWorker(W3, "", "0")]
    assert placed(commands) == [(2, 1), (3, 1)]
    cluster.tell(WorkerStarted(W3, 103))
    assert placed(cluster.tell(done(2, 1), at=0.1)) == [(2, 1)]


def test_slots_of_one_worker_may_share_its_device_by_parts():
    cluster = with_devices(1, "0", threads=3)
    assert placed(cluster.hear(ask(1, HALF, 3))) == [(0, 1), (0, 1)]


def test_a_whole_device_is_seen_by_its_worker_alone_again():
    cluster = with_devices(2, "0")
    cluster.hear(ask(1, HALF, 2))
    cluster.tell(ended(0, 0), WorkerStarted(W2, 102))
    cluster.tell(done(1, 1), harvested(2, piece(2, 1, 2), slots=(rests(2, 2),)), at=0.1)
    commands = cluster.hear(ask(2, ONE))
    assert placed(commands) == [(2, 2)]
    assert lives(commands) == [RetireWorker(W1), StartWorker(W3, "", "")]


# ---- workers that have tickets before they have started


def starting() -> Cluster:
    """A cluster whose only worker starts with a task."""
    cluster = with_devices(1, "0", "1")
    assert placed(cluster.hear(ask(1, ONE))) == [(1, 1)]
    cluster.tell(ended(0, 0))
    return cluster


def test_a_task_of_a_worker_that_does_not_start_is_tried_again_after_the_pause():
    cluster = starting()
    commands = cluster.tell(StartFailed(W1, "no memory"), at=1.0)
    assert lives(commands) == placed(commands) == []
    assert cluster.deadline() == 1.1
    assert lives(cluster.tell(at=1.1)) == [StartWorker(W2, "", "0")]
    assert placed(cluster.tell(WorkerStarted(W2, 102), at=1.2)) == [(2, 1)]


def test_it_can_be_taken_back_before_its_worker_has_started():
    cluster = starting()
    assert cluster.hear(Retract(run_id(1), 0, 1)) == [TakeBack(W1)]
    commands = cluster.tell(TookBack(W1, (TicketId(1),)))
    assert commands[0] == Say(Returned(run_id(1), ((0, 1),), ReturnReason.RETRACTED))
    cluster.tell(WorkerStarted(W1, 101))
    assert placed(cluster.hear(ask(2, ONE))) == [(1, 2)]


def test_it_is_handed_back_when_the_cluster_ends():
    cluster = starting()
    cluster.tell(StopAsked(5.0, "told"), at=1.0)
    commands = cluster.tell(StartFailed(W1, "it was not wanted any more"), at=1.1)
    assert commands[0] == Say(Returned(run_id(1), ((0, 1),), ReturnReason.NOT_BEGUN))


# ---- deaths


def test_the_worker_in_place_of_a_dead_one_sees_the_same_devices():
    cluster = with_devices(2, "0", "1")
    cluster.hear(ask(1, ONE))
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=5.0)
    assert lives(commands) == [StartWorker(W2, "", "0")]
    assert commands[-1] == failed(
        0, Cause.DIED, "host (c), worker 0 was killed by signal 11 (SIGSEGV) while it ran this task", exit_code=-11
    )


def test_suspects_run_alone_where_they_see_what_they_ask_for():
    cluster = with_devices(1, "0", threads=2)
    cluster.hear(ask(1, ONE), ask(2, CPU))
    cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 0, 0.0))), at=5.0)
    assert placed(cluster.tell(WorkerStarted(W1, 101))) == [(1, 1)]
    commands = cluster.tell(harvested(1, piece(3, 0, 1), slots=(rests(3, 1), IDLE)), at=5.1)
    assert placed(commands) == [(1, 2)]
