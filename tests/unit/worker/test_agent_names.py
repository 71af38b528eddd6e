import pytest

from scaler.ids import WorkerId
from scaler.worker.agent_events import Note, StartWorker
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool


def pool(workers: int, *names: str) -> tuple[Pool, Outbox]:
    outbox = Outbox()
    made = Pool(AgentConfig("here", "host", 1, workers, worker_names=names), outbox)
    made.start_missing(0.0)
    return made, outbox


@pytest.mark.parametrize(
    ("name", "place"),
    [("gpus", "host (gpus)"), ("hostess", "host (hostess)"), ("host", "host"), ("host-17", "host-17")],
)
def test_a_place_tells_the_host_and_the_cluster(name: str, place: str):
    assert AgentConfig(name, "host", 17, 1).place == place


def test_workers_are_called_by_their_names_as_long_as_there_are_any():
    made, outbox = pool(3, "alice", "bob")
    assert outbox.take() == [
        StartWorker(WorkerId(0), "alice"),
        StartWorker(WorkerId(1), "bob"),
        StartWorker(WorkerId(2)),
    ]
    assert [worker.place for worker in made.workers.values()] == [
        "host (here), worker alice",
        "host (here), worker bob",
        "host (here), worker 2",
    ]


def test_the_worker_in_place_of_another_has_its_name():
    made, outbox = pool(2, "alice", "bob")
    made.ended(made.workers[WorkerId(1)], 1.0, in_vain=False)
    outbox.take()
    made.start_missing(1.0)
    assert outbox.take() == [StartWorker(WorkerId(2), "bob")]
    made.check()


def test_the_log_tells_the_name_of_a_worker_that_has_one():
    made, outbox = pool(2, "alice")
    outbox.take()
    for number, pid in ((0, 7), (1, 8)):
        made.started(made.workers[WorkerId(number)], pid, 1.0)
    assert outbox.take() == [
        Note("info", "Worker[0] started", (("pid", 7), ("name", "alice"))),
        Note("info", "Worker[1] started", (("pid", 8),)),
    ]
