"""The strict executor's futures and results, with a scheduler that answers when it is told to."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaler.client import executor
from scaler.client.executor import ExecutorFuture
from scaler.client.kept import KeptResults
from scaler.client.sinks import SubmitSink
from scaler.client.waits import become_io_thread
from scaler.ids import BatchId, Range
from scaler.protocol import Cause, Failure
from tests.unit.client.examples import BATCH, Line, resolved

CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")


class Answering(Line):
    """A line whose scheduler answers each time it is asked, by what is next in its script."""

    def __init__(self, *script: Callable[[SubmitSink], object]) -> None:
        super().__init__()
        self.script = list(script)
        self.sink = SubmitSink(BATCH, self, "f")
        _, self.future = self.sink.add(ExecutorFuture)

    def ask_to_cancel(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        super().ask_to_cancel(batch, ranges)
        threading.Thread(target=self.script.pop(0), args=[self.sink]).start()


def take_back(sink: SubmitSink) -> None:
    sink.reject((Range(0, 1),), CANCELLED)


def begin(sink: SubmitSink) -> None:
    sink.began((Range(0, 1),))


def finish(sink: SubmitSink) -> None:
    sink.resolve(resolved(0, 1))


def say_nothing(_: SubmitSink) -> None:
    pass


def test_a_task_that_the_scheduler_took_back_is_cancelled():
    line = Answering(take_back)
    assert line.future.cancel()
    assert line.future.cancelled()
    assert line.future.cancel()
    assert (line.asked, line.unwanted) == ([Range(0, 1)], [])


@pytest.mark.parametrize("answer", [begin, finish])
def test_a_task_that_has_begun_is_not_cancelled_and_goes_on(answer: Callable[[SubmitSink], object]):
    line = Answering(answer)
    assert not line.future.cancel()
    assert not line.future.cancelled()
    assert not line.future.cancel()
    finish(line.sink)
    assert line.future.result() == 1
    assert len(line.asked) == 1


def test_a_scheduler_that_says_nothing_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executor, "ASK_AGAIN_S", 0.001)
    line = Answering(say_nothing, say_nothing, take_back)
    assert line.future.cancel()
    assert len(line.asked) == 3


def test_the_io_thread_cannot_wait_for_the_answer():
    line = Answering()
    with ThreadPoolExecutor(1, initializer=become_io_thread) as io_thread:
        with pytest.raises(RuntimeError, match="cancelling a task of an executor would wait for itself"):
            io_thread.submit(line.future.cancel).result(10)
        finish(line.sink)
        assert not io_thread.submit(line.future.cancel).result(10)


def test_results_come_in_order_and_what_has_not_begun_is_taken_back_when_nobody_goes_on():
    line = Line()
    kept = KeptResults(BATCH, line, "f", ExecutorFuture)
    kept.expect(5)
    kept.complete()
    kept.resolve(resolved(0, "a", "b"))
    results = executor._results(kept, None, None)
    assert [next(results), next(results)] == ["a", "b"]
    results.close()
    assert line.asked == [Range(2, 5)]


def test_a_failure_ends_the_results():
    line = Line()
    kept = KeptResults(BATCH, line, "f", ExecutorFuture)
    kept.expect(3)
    kept.resolve(resolved(0, KeyError("x")))
    results = executor._results(kept, None, None)
    with pytest.raises(KeyError, match="x"):
        next(results)
    assert line.asked == [Range(1, 3)]
    assert list(results) == []


def test_results_are_waited_for_until_their_time():
    kept = KeptResults(BATCH, Line(), "f", ExecutorFuture)
    kept.expect(2)
    kept.resolve(resolved(0, "a"))
    results = executor._results(kept, time.monotonic(), 0.2)
    assert next(results) == "a"
    with pytest.raises(TimeoutError, match=r"is not done 0\.2 s after map was called"):
        next(results)


def test_the_futures_of_a_map_are_of_that_kind_too():
    kept = KeptResults(BATCH, Line(), "f", ExecutorFuture)
    kept.expect(3)
    kept.resolve(resolved(1, "b"))
    assert [type(future) for future in kept.pending_futures()] == [ExecutorFuture] * 2
    kept.cancel()
    kept.ask_to_cancel_all()


def test_a_client_that_is_shut_down_like_an_executor_says_what_does_that():
    executor.refuse_words_of_executors()
    with pytest.raises(TypeError, match=r"executor\(\)\.shutdown\(…\)"):
        executor.refuse_words_of_executors("wait")
