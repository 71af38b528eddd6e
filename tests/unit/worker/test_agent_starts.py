"""How a cluster gets its workers, tells of them, and replaces those that end."""

import pytest

from scaler.ids import WorkerId
from scaler.protocol import ClusterReady, Goodbye, WorkerDied
from scaler.worker.agent_events import (
    Command,
    End,
    LinkUp,
    Note,
    Say,
    StartFailed,
    StartWorker,
    StopAsked,
    WorkerStarted,
)
from scaler.worker.agent_starts import SLOW_S
from tests.unit.worker.examples import EPOCH, Cluster, ended, give, harvested, holds, offer, piece, ready, run_span

W0, W1, W2 = WorkerId(0), WorkerId(1), WorkerId(2)


def test_all_workers_are_asked_for_in_the_first_turn():
    cluster = Cluster(3)
    assert cluster.tell() == [StartWorker(W0), StartWorker(W1), StartWorker(W2)]
    assert cluster.tell() == []


def test_a_worker_that_started_is_noted_and_offered_with_all_its_slots():
    cluster = Cluster(2, threads=4)
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[2:] == [offer(0, 0), holds()]
    assert cluster.tell(WorkerStarted(W1, 77)) == [Note("info", "Worker[1] started", (("pid", 77),)), offer(1, 4)]
    assert cluster.tell(WorkerStarted(W0, 76)) == [Note("info", "Worker[0] started", (("pid", 76),)), offer(2, 8)]


def test_nothing_is_said_before_a_link_stands():
    cluster = Cluster(1)
    cluster.tell()
    assert cluster.tell(WorkerStarted(W0, 77)) == [Note("info", "Worker[0] started", (("pid", 77),))]
    assert cluster.tell(LinkUp(EPOCH, resumed=False)) == [offer(1, 1), holds()]


def test_a_worker_that_ends_by_itself_is_told_and_replaced_at_once():
    cluster = ready(2)
    assert cluster.tell(ended(1, -11), at=5.0) == [
        Note("warning", "Worker[1] was killed by signal 11 (SIGSEGV)", (("pid", 101),)),
        StartWorker(W2),
        offer(1, 1),
        Say(WorkerDied(1, -11, "host (c), worker 1 was killed by signal 11 (SIGSEGV)")),
    ]


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-64, "was killed by signal 64"),
    ],
)
def test_the_end_of_a_worker_is_told_in_words(exit_code: int, text: str):
    cluster = ready()
    assert cluster.tell(ended(0, exit_code), at=5.0)[-1] == Say(WorkerDied(0, exit_code, f"host (c), worker 0 {text}"))


def test_workers_that_end_before_they_ran_anything_are_replaced_ever_later():
    cluster = ready()
    pauses = []
    for number in range(8):
        cluster.tell(ended(number, 1), at=cluster.now + 0.5)
        due = cluster.deadline()
        assert due is not None
        pauses.append(due - cluster.now)
        assert cluster.tell(at=due - 0.01) == []
        assert cluster.tell(at=due) == [StartWorker(WorkerId(number + 1))]
        cluster.tell(WorkerStarted(WorkerId(number + 1), 200))
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_start_that_fails_is_noted_and_tried_again_after_a_pause():
    cluster = Cluster(1)
    cluster.tell()
    assert cluster.tell(StartFailed(W0, "no memory"), at=1.0) == [
        Note("error", "Worker[0] could not be started: no memory")
    ]
    assert cluster.deadline() == 1.1
    assert cluster.tell(at=1.1) == [StartWorker(W1)]
    cluster.tell(StartFailed(W1, "no memory"), at=2.0)
    assert cluster.deadline() == 2.2


def test_workers_that_fail_together_make_one_pause():
    cluster = Cluster(3)
    cluster.tell()
    cluster.tell(*[StartFailed(WorkerId(n), "no memory") for n in range(3)], at=1.0)
    assert cluster.deadline() == 1.1
    assert cluster.tell(at=1.1) == [StartWorker(WorkerId(n)) for n in (3, 4, 5)]


def test_a_worker_that_has_run_something_did_not_end_in_vain():
    cluster = ready()
    cluster.tell(ended(0, 1), at=0.5)
    cluster.tell(at=0.6)
    cluster.tell(WorkerStarted(W1, 101))
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(1, piece(1, 0, 1)), at=0.7)
    assert cluster.tell(ended(1, 1), at=0.8)[1] == StartWorker(W2)
    cluster.tell(WorkerStarted(W2, 102))
    cluster.tell(ended(2, 1), at=0.9)
    assert cluster.deadline() == pytest.approx(1.0)


def test_a_worker_that_died_with_nothing_in_it_takes_no_task_down():
    cluster = ready()
    cluster.tell(ended(0), at=5.0)
    assert cluster.hear(run_span(1, 0, 1)) == []
    assert give(1, 1, 0, 1) in cluster.tell(WorkerStarted(W1, 101))


def preload_failed(cluster: Cluster, worker: int, at: float) -> list[Command]:
    return cluster.tell(StartFailed(WorkerId(worker), "--preload m:f: ValueError: no", in_preload=True), at=at)


def test_a_cluster_none_of_whose_workers_can_do_its_preload_ends_and_says_why():
    cluster = Cluster(2)
    cluster.tell()
    text = "--preload m:f: ValueError: no"
    assert preload_failed(cluster, 1, 1.0) == [Note("error", f"Worker[1] could not be started: {text}")]
    reason = f"no worker could be started: {text}"
    assert preload_failed(cluster, 0, 1.0) == [
        Note("error", f"Worker[0] could not be started: {text}"),
        Say(Goodbye(reason)),
        End(2, reason),
    ]


def test_a_preload_that_went_well_once_is_tried_again():
    cluster = Cluster(1)
    cluster.tell()
    cluster.tell(WorkerStarted(W0, 77))
    cluster.tell(ended(0), at=5.0)
    for number in (1, 2, 3):
        commands = preload_failed(cluster, number, cluster.now)
        assert not [command for command in commands if isinstance(command, End)]
        assert cluster.tell(at=cluster.deadline()) == [StartWorker(WorkerId(number + 1))]


def full_slots(commands: list[Command]) -> list[int]:
    offers = [one.message for one in commands if isinstance(one, Say) and isinstance(one.message, ClusterReady)]
    return [offer.full_slots for offer in offers]


def test_how_many_slots_there_will_be_is_offered_from_the_start_until_it_leaves():
    agent = Cluster(2, threads=4).agent
    assert full_slots(agent.handle([LinkUp(EPOCH, resumed=False)], 0.0)) == [8]
    assert full_slots(agent.handle([WorkerStarted(W1, 77)], 1.0)) == [8]
    assert full_slots(agent.handle([StopAsked(1.0, "SIGTERM")], 2.0)) == [0]


def test_workers_that_stay_in_their_preload_are_told_of_again_and_again():
    cluster = Cluster(3, preload="model:load")
    cluster.tell(at=10.0)
    cluster.tell(WorkerStarted(W1, 77), at=20.0)
    assert cluster.deadline() == 10.0 + SLOW_S

    def told(workers: int, seconds: int) -> Note:
        fields = (("preload", "model:load"), ("workers", workers), ("seconds", seconds))
        return Note("warning", "workers have not started yet, they are in their --preload", fields)

    assert cluster.tell(at=40.0) == [told(2, 30)]
    assert cluster.tell(WorkerStarted(W0, 76), at=50.0) == [Note("info", "Worker[0] started", (("pid", 76),))]
    assert cluster.tell(at=69.9) == []
    assert cluster.tell(at=70.0) == [told(1, 60)]
    cluster.tell(WorkerStarted(W2, 78), at=80.0)
    assert cluster.tell(at=100.0) == []
    # one that comes in the place of another is waited for anew
    assert StartWorker(WorkerId(3)) in cluster.tell(ended(0, 1), at=110.0)
    assert cluster.tell(at=139.9) == []
    assert cluster.tell(at=140.0) == [told(1, 30)]


def test_without_a_preload_nothing_is_told_of_workers_that_start():
    cluster = Cluster(1)
    cluster.tell()
    assert cluster.tell(at=100.0) == []
