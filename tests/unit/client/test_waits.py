"""Whoever waits inside a task does so by the task, which gives its slot to others meanwhile."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scaler.client.kept import KeptResults
from scaler.client.map_future import MapFuture
from scaler.client.sinks import MapSink
from scaler.client.waiting import as_completed, gather, wait
from scaler.payload import nested
from scaler.payload.nested import Attempt
from tests.unit.client.examples import BATCH, Box, Line, futures, resolved


class WaitingTask:
    """A task that has something happen each time it waits; of it no more is needed here."""

    is_over = False

    def __init__(self) -> None:
        self.waits: list[float | None] = []
        self.meanwhile: list[Callable[[], None]] = []

    def task(self) -> Any:  # Any: a task as far as it matters here
        return self

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        self.waits.append(timeout_s)
        while self.meanwhile:
            self.meanwhile.pop(0)()
        return attempt(0.0)


@pytest.fixture
def task() -> Iterator[WaitingTask]:
    made = WaitingTask()
    nested.occupy(made)
    yield made
    nested.leave()


WAYS: dict[str, Callable[[Any], object]] = {
    "result": lambda future: future.result(),
    "exception": lambda future: future.exception(),
    "gather": gather,
    "wait": lambda future: wait([future]),
    "as_completed": lambda future: list(as_completed([future])),
    "the standard library's wait": lambda future: concurrent.futures.wait([future]),
    "the standard library's as_completed": lambda future: list(concurrent.futures.as_completed([future])),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_wait_for_a_future_waits_by_the_task(task: WaitingTask, way: str):
    (future,) = futures(...)
    task.meanwhile.append(lambda: future.settle(Box(3)))
    WAYS[way](future)
    assert task.waits == [None]
    WAYS[way](future)
    assert task.waits == [None], "what is done is not waited for"


def test_a_map_for_later_waits_by_the_task(task: WaitingTask):
    kept = KeptResults(BATCH, Line(), "f")
    kept.expect(2)
    kept.complete()
    task.meanwhile.append(lambda: kept.resolve(resolved(0, 5, 6)))
    assert MapFuture(kept).get(9.0) == [5, 6]
    assert task.waits[0] == 9.0


def test_what_a_map_or_a_stream_waits_for_is_waited_for_by_the_task(task: WaitingTask):
    sink = MapSink(BATCH, "f")
    done = resolved(0, 5, 6)
    task.meanwhile.append(lambda: sink.resolve(done))
    assert [lo for lo, _, _ in sink.opened(sink.wait())] == [0]
    assert task.waits == [None]


def test_time_runs_out_as_ever(task: WaitingTask):
    (future,) = futures(...)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        list(as_completed([future], 0.01))
    assert wait([future], 0.01).not_done == {future}
    assert len(task.waits) == 3


def test_a_thread_that_is_no_slots_waits_by_itself(task: WaitingTask):
    (future,) = futures(...)
    threading.Timer(0.01, future.settle, (Box(3),)).start()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        assert threads.submit(future.result, 5.0).result() == 3
    assert task.waits == []
