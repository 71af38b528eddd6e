"""What follows when a worker uses more memory than it may: what it runs fails, or is tried again alone."""

from scaler.ids import WorkerId
from scaler.protocol import BatchOptions, CancelRun, Cause, WorkerDied
from scaler.worker.agent_events import (
    KillWorker,
    MemoryPassed,
    Note,
    Say,
    StartFailed,
    StartWorker,
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
    offer,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    span_result,
)

W0, W1 = WorkerId(0), WorkerId(1)
LIMIT = 500_000_000
EXCESS = "passed its memory limit of 500 MB, with 612 MB"
BLAMED = f"host (c), worker 0 {EXCESS}, while it ran this task"
SIGKILL = -9


def limited(threads: int = 1) -> Cluster:
    return ready(threads=threads, memory_limit_bytes=LIMIT)


def passed(worker: int) -> MemoryPassed:
    return MemoryPassed(WorkerId(worker), 612_000_000)


def told(worker: int = 0) -> list[object]:
    """What is ordered and said of a worker that was killed for its memory."""
    return [
        Note("warning", f"Worker[{worker}] {EXCESS}", (("pid", 100 + worker),)),
        StartWorker(WorkerId(worker + 1)),
        Say(WorkerDied(worker, SIGKILL, f"host (c), worker {worker} {EXCESS}")),
    ]


def test_the_worker_is_killed_and_the_running_task_fails_with_limit_and_peak():
    cluster = limited()
    cluster.hear(run_span(1, 0, 2))
    assert cluster.tell(passed(0), at=1.0) == [KillWorker(W0), offer(0, 0)]
    assert cluster.tell(ended(0, SIGKILL, slots=(runs(1, 0, 0.0),)), at=1.1) == [
        *told(),
        failed(0, Cause.MEMORY, BLAMED),
    ]
    assert cluster.tell(WorkerStarted(W1, 101))[1:] == [defines(1), give(1, 2, 1, 2), offer(1, 1)]


def test_what_was_done_before_and_what_comes_after_is_not_to_blame():
    cluster = limited()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(passed(0), at=1.0)
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))
    assert cluster.tell(done, ended(0, SIGKILL, slots=(rests(1, 1),)), at=1.1) == [*told(), span_result(0, 1)]


def test_of_several_tasks_each_runs_again_alone_and_the_one_that_passes_it_there_is_to_blame():
    cluster = limited(threads=2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(passed(0), at=1.0)
    cluster.tell(ended(0, SIGKILL, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))), at=1.1)
    assert give(1, 3, 0, 1) in cluster.tell(WorkerStarted(W1, 101), at=1.2)
    assert give(1, 4, 1, 2) in cluster.tell(harvested(1, piece(3, 0, 1), slots=(rests(3, 1), IDLE)), at=1.3)
    cluster.tell(passed(1), at=2.0)
    commands = cluster.tell(ended(1, SIGKILL, slots=(rests(3, 1), runs(4, 1, 1.3))), at=2.1)
    assert commands[-1] == failed(1, Cause.MEMORY, BLAMED.replace("worker 0", "worker 1"), worker=1)


def test_what_nobody_wants_any_more_is_confirmed_and_what_ran_too_long_is_told_as_such():
    cluster = limited()
    cluster.hear(run_span(1, 0, 1, options=BatchOptions(timeout_s=1.0)))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.1)
    cluster.tell(at=1.0)
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=1.0)
    cluster.tell(passed(0), at=1.1)
    text = "it ran longer than its timeout of 1 s on host (c), worker 0"
    commands = cluster.tell(ended(0, SIGKILL, slots=(runs(1, 0, 0.0),)), at=1.2)
    assert commands[-1] == failed(0, Cause.TIMEOUT, text, run_us=1_000_000)


def test_a_worker_that_is_killed_already_is_left_alone():
    cluster = limited(threads=2)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), IDLE)), at=0.1)
    cluster.hear(CancelRun(run_id(1), ranges((0, 1))))
    assert KillWorker(W0) in cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), IDLE)), at=0.2)
    assert cluster.tell(passed(0), at=0.3) == []
    assert cluster.tell(passed(7), at=0.3) == []


def test_a_worker_that_passes_it_before_its_first_task_was_started_in_vain():
    cluster = Cluster(1, memory_limit_bytes=LIMIT)
    cluster.tell()
    cluster.tell(WorkerStarted(W0, 100))
    cluster.tell(ended(0, 1), at=5.0)
    assert cluster.tell(passed(1), at=6.0) == [KillWorker(W1)]
    assert cluster.tell(StartFailed(W1, "--preload m:f: too much", in_preload=True), at=6.1) == [
        Note("error", "Worker[1] could not be started: --preload m:f: too much")
    ]
