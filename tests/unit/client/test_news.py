"""What the scheduler tells its client beside outcomes: who hears it, and what the user is told of it."""

import gc

import pytest

from scaler.client.failures import Failures
from scaler.client.futures import ScalerFuture
from scaler.client.news import MOST_TOLD, News
from scaler.client.questions import Questions
from scaler.errors import ClientQuitException
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.ledger.events import ExplainAsked, ShutdownAsked
from scaler.protocol import Explanation, KnownTags, ShutdownAnswer, TasksWait, WorkersReady

A = BatchId(Incarnation(1), 1)


@pytest.fixture
def news() -> News:
    return News("tcp://here:1")


def test_that_a_scheduler_is_there_is_known_with_its_tags(news: News):
    assert (news.told.is_set(), news.known_tags) == (False, None)
    news.learn(KnownTags(("gpu",)), 0.0)
    assert (news.told.is_set(), news.known_tags) == (True, ("gpu",))


def test_whether_workers_are_ready_is_known_as_it_changes(news: News):
    seen = []
    for ready in (False, True, False):
        news.learn(WorkersReady(ready), 0.0)
        seen.append(news.workers_ready.is_set())
    assert seen == [False, True, False]


def test_what_no_worker_offers_is_told_once_and_so_many_lines_at_most(news: News, capfd: pytest.CaptureFixture[str]):
    for _ in range(2):
        news.learn(TasksWait(A, "no connected worker offers gpu=4"), 0.0)
    assert capfd.readouterr().err == (
        "scaler: no connected worker offers gpu=4: tasks that want it wait until one does …\n"
    )
    for number in range(2 * MOST_TOLD):
        news.learn(TasksWait(A, f"no connected worker offers gpu={number}"), 0.0)
    assert len(capfd.readouterr().err.splitlines()) == MOST_TOLD - 1


def test_work_that_waits_without_workers_is_told_of_once(news: News, capfd: pytest.CaptureFixture[str]):
    assert news.next_look() is None
    news.learn(WorkersReady(ready=False), 0.0)
    for now in range(10):
        news.look(lambda: True, float(now))
    assert capfd.readouterr().err == "scaler: no worker is ready at tcp://here:1: tasks wait until one connects …\n"


def test_an_answer_reaches_all_who_asked_and_nobody_else():
    questions = Questions()
    task = TaskId(A, 1)
    first, second = (questions.wait_for(ExplainAsked(task)) for _ in range(2))
    other = questions.wait_for(ShutdownAsked())
    questions.answered(Explanation(task, "why"))
    assert [queue.get_nowait() for queue in (first, second)] == [Explanation(task, "why")] * 2
    assert other.empty()
    questions.answered(Explanation(task, "unasked"))
    questions.answered(ShutdownAnswer("no"))
    assert other.get_nowait() == ShutdownAnswer("no")


def test_at_the_end_nobody_waits_any_more(news: News):
    queue = news.questions.wait_for(ShutdownAsked())
    error = ClientQuitException("left")
    news.end(error)
    assert (news.told.is_set(), news.workers_ready.is_set(), queue.get_nowait()) == (True, True, error)


class Origin:
    def task_id(self, index: int) -> TaskId:
        return TaskId(A, index)

    def unwant(self, index: int) -> None: ...

    def explain(self, index: int) -> str:
        return f"{index}"


def test_failed_futures_are_listed_in_order_while_somebody_holds_them():
    failures, held = Failures(), [ScalerFuture(Origin(), index) for index in (3, 1, 2)]
    for future in held:
        failures.add(future)
    assert failures.all() == [held[1], held[2], held[0]]
    failures.remove(held[2])
    failures.remove(held[2])
    del held[0], future
    gc.collect()
    assert failures.all() == [held[0]]
