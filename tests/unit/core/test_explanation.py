import pytest

from scaler.core.events import Command, Event, PeerLost, Received, Send
from scaler.core.explanation import MOST_IN_A_TURN, MOST_WAITING, explanation
from scaler.core.lifecycle import Trigger
from scaler.core.scheduler import SchedulerCore
from scaler.core.spans import Counts
from scaler.ids import BatchId, TaskId
from scaler.protocol import BatchOptions, ExplainTask, Explanation
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    CODE,
    TRY_AGAIN,
    A,
    B,
    Checked,
    F,
    X,
    Y,
    appends,
    begins,
    cancels,
    client,
    cluster,
    finishes,
    maps,
    opens,
    outcomes,
    resumes,
    run_id,
    said,
    values,
)
from tests.unit.core.work import calls_of

DEMANDING = BatchOptions(tag="gpu", resources=(("licence", 1.0), ("memory", 0.5)))


def why(core: Checked, index: int, batch: BatchId = A) -> str:
    task = TaskId(batch, index)
    *_, last = said(core.handle([Received(ALICE, ExplainTask(task))]))
    assert isinstance(last, Send)
    assert isinstance(last.message, Explanation)
    assert (last.peer, last.message.task) == (ALICE, task)
    return last.message.text


def test_where_a_task_stands_on_its_way(core: Checked):
    core.handle(maps(A, 6, BatchOptions(retries=1)))
    assert why(core, 0) == "it is in the queue of cluster x"
    assert [why(core, index) for index in (2, 3, 5)] == ["0 tasks ahead", "1 task ahead", "3 tasks ahead"]
    core.handle([begins(X, (run_id(1), 0))])
    assert why(core, 0) == "it runs on cluster x"
    core.handle([cancels(A, (0, 1), (5, 6))])
    assert why(core, 0) == "it is being cancelled on cluster x"
    assert why(core, 5) == "it is cancelled"
    core.handle([finishes(X, run_id(1), outcomes(1, [TRY_AGAIN]))])
    assert why(core, 1) == "it failed and waits before its next attempt"
    core.handle([finishes(X, run_id(2), outcomes(2, [(1, b"!")]))])
    assert why(core, 2) == "it failed; the failure is on the way"
    core.handle([finishes(X, run_id(3), values(3, 4))])
    assert why(core, 3) == "it is done; its result is on the way"


@pytest.mark.parametrize(("batch", "index"), [(A, 99), (A2, 0), (B, 0)])
def test_what_is_not_known_or_anothers_is_not_explained(core: Checked, batch: BatchId, index: int):
    core.handle([*maps(A, 1), *maps(B, 1)])
    assert why(core, index, batch) == "the scheduler does not know it (any more)"


def test_a_task_without_its_function_waits_for_it(core: Checked):
    core.handle([opens(A), appends(A, 0, 1)])
    assert why(core, 0) == "its function is on the way from its client"


def test_after_a_restart_a_task_waits_for_clusters_and_for_its_arguments():
    core = Checked()
    core.handle([client(ALICE), *cluster(X), resumes(A, 1, (0, 1))])
    assert why(core, 0) == "the scheduler was restarted and waits for a cluster that may have it"
    core.managers.functions.define(F, CODE)
    core.handle([], now=3.0)
    assert why(core, 0) == "its arguments are asked for again after a restart of the scheduler"


def test_what_is_more_urgent_or_older_is_ahead(core: Checked):
    core.handle([client(BOB), *maps(A, 4), *maps(B, 1000), *maps(A2, 500, BatchOptions(priority=1)), *maps(A3, 3)])
    assert why(core, 2) == "500 tasks ahead"
    assert why(core, 2, A2) == "0 tasks ahead"
    assert why(core, 1, A3) == "1,503 tasks ahead"


def test_that_nobody_is_there_is_said(empty: Checked):
    empty.handle([client(), *maps(A, 1)])
    assert why(empty, 0) == "no worker is connected"


def test_what_nobody_offers_is_named(core: Checked):
    core.handle([*cluster(Y, tags=("gpu",)), *maps(A, 1, DEMANDING)])
    assert why(core, 0) == "no connected worker offers tag 'gpu', licence=1, memory=0.5"


def test_a_least_run_time_is_named(core: Checked):
    core.handle([*maps(A, 3)])
    managers = core.managers
    managers.workers.clusters[X].ends_at = 50.0
    batch = managers.tasks.batches[A]
    managers.tasks.advance(batch, 0, 1, Trigger.LOSE, counts=Counts(least_s=90.0))
    text = explanation(managers.tasks, managers.workers, batch, 0, now=0.0)
    assert text == "no connected worker offers 90 s of walltime"


def test_inputs_are_waited_for(core: Checked):
    core.handle([*maps(A, 2)[:-1], appends(A, 2, 3, {2: (TaskId(A, 0), TaskId(A, 1))})])
    managers = core.managers
    text = explanation(managers.tasks, managers.workers, managers.tasks.batches[A], 2, now=0.0)
    assert text == "it waits for 2 tasks among its arguments"


def asks(*tasks: TaskId) -> list[Event]:
    return [Received(task.batch.owner, ExplainTask(task)) for task in tasks]


def told(commands: list[Command]) -> list[TaskId]:
    return [one.message.task for one in commands if isinstance(one, Send) and isinstance(one.message, Explanation)]


def test_what_an_answer_takes_does_not_grow_with_the_batches_there_are(core: Checked):
    core.handle(cluster(Y, slots=0))
    spent = []
    for n in range(1000):
        core.handle(maps(BatchId(ALICE, 10 + n), 1))
        if n in (100, 999):
            spent.append(calls_of(core, asks(TaskId(BatchId(ALICE, 10 + n), 0))))
    assert spent[1] < 1.5 * spent[0]
    assert why(core, 0, BatchId(ALICE, 1009)) == "997 tasks ahead"


def test_so_many_are_told_in_a_turn_of_each_client_in_turn_and_the_rest_at_once_in_those_that_follow(core: Checked):
    core.handle([client(BOB), *maps(A, 1000), *maps(B, 2)])
    many = [TaskId(A, index) for index in range(100, 100 + 2 * MOST_IN_A_TURN)]
    first = told(core.handle([*asks(*many), *asks(*many), *asks(TaskId(B, 1))]))
    assert first == [many[0], TaskId(B, 1), *many[1 : MOST_IN_A_TURN - 1]]
    assert core.next_deadline() == 0.0
    assert told(core.handle([])) == many[MOST_IN_A_TURN - 1 : 2 * MOST_IN_A_TURN - 1]
    assert told(core.handle([])) == many[2 * MOST_IN_A_TURN - 1 :]
    assert core.next_deadline() is None


def test_who_leaves_before_an_answer_is_told_nothing(core: Checked):
    core.handle(maps(A, 1000))
    core.handle(asks(*(TaskId(A, index) for index in range(100, 200))))
    assert told(core.handle([PeerLost(ALICE, "cut")])) == []
    assert core.next_deadline() is None


def test_who_asks_of_ever_more_is_told_less(core: Checked):
    core.handle(maps(A, 20_000))
    commands = SchedulerCore.handle(core, asks(*(TaskId(A, index) for index in range(2, 3 + MOST_WAITING))), 0.0)
    text = "it is queued; what is ahead of it is not counted for more than 10,000 tasks at a time"
    assert said(commands)[0] == Send(ALICE, Explanation(TaskId(A, 2 + MOST_WAITING), text))


def test_where_no_worker_has_started_that_is_why(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, slots=0, tags=("gpu",)), *maps(A, 2)])
    assert why(empty, 0) == "no worker has started yet"
