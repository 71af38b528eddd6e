"""The client as a `concurrent.futures.Executor`, and the strict one it gives, with what takes executors and maps."""

import asyncio
import concurrent.futures
import functools
import io
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from tqdm import tqdm

from scaler import Client, SchedulerClusterCombo
from scaler.errors import TaskTimeoutError
from tests.integration.processes import Place, own_place, wait_until
from tests.integration.workloads import append, same

SLOTS = 2


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with own_place() as place:
        yield place


@pytest.fixture(scope="module")
def cluster(place: Place) -> Iterator[SchedulerClusterCombo]:  # noqa: ARG001  # it runs there
    with SchedulerClusterCombo(n_workers=SLOTS) as combo:
        yield combo


@pytest.fixture(scope="module")
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


def options(**given: Any) -> dict[str, Any]:
    return given


def noted(path: str, number: int, seconds: float) -> int:
    """Leave a line that this has begun."""
    append(path, number)
    time.sleep(seconds)
    return number


def noted_at_length(path: str, number: int) -> int:
    """As `noted`, always long, so that nobody expects it to be short."""
    append(path, number)
    time.sleep(0.25)
    return number


# ---- the client itself


def test_the_client_is_an_executor(client: Client):
    assert isinstance(client, Executor)
    assert client.submit(pow, 2, 3).result() == 8
    assert list(client.map(abs, [-1, -2])) == [1, 2]


def test_the_standard_librarys_wait_and_as_completed_take_its_futures(client: Client):
    futures = [client.submit(same, number) for number in range(50)]
    assert sorted(future.result() for future in concurrent.futures.as_completed(futures)) == list(range(50))
    assert concurrent.futures.wait(futures).not_done == set()
    found = client.map_async(same, range(50))
    assert sorted(future.result() for future in concurrent.futures.as_completed(found)) == list(range(50))


def test_run_in_executor_runs_on_the_workers(client: Client):
    async def both() -> list[Any]:
        loop = asyncio.get_running_loop()
        with client.executor() as strict:
            return [
                await loop.run_in_executor(client, os.getpid),
                await loop.run_in_executor(strict, functools.partial(pow, 2, exp=5)),
            ]

    pid, power = asyncio.run(both())
    assert pid != os.getpid()
    assert power == 32


def test_asyncio_gather_takes_its_futures(client: Client):
    async def gathered() -> list[Any]:
        return await asyncio.gather(*(client.submit(same, number) for number in range(20)))

    assert asyncio.run(gathered()) == list(range(20))


def test_tqdm_shows_how_futures_complete(client: Client):
    shown = io.StringIO()
    futures = [client.submit(same, number) for number in range(30)]
    bar = tqdm(client.as_completed(futures), total=len(futures), file=shown)
    assert sorted(future.result() for future in bar) == list(range(30))
    assert "30/30" in shown.getvalue()


def rosenbrock(point: np.ndarray) -> float:
    return float(scipy.optimize.rosen(point))


def test_scipy_optimises_with_the_map_of_the_client(client: Client):
    found = scipy.optimize.differential_evolution(
        rosenbrock, [(-2, 2), (-2, 2)], workers=client.map, updating="deferred", seed=1, maxiter=60, polish=False
    )
    assert found.x == pytest.approx([1, 1], abs=0.05)


# ---- the strict one: submit and map


def test_every_keyword_goes_to_the_function(client: Client):
    with client.executor() as strict:
        assert isinstance(strict, Executor)
        assert strict.submit(options, priority=1, timeout=2, tag="x").result() == {
            "priority": 1,
            "timeout": 2,
            "tag": "x",
        }


def test_options_are_for_all_its_tasks(client: Client):
    with client.executor(name="renamed", timeout=0.2) as strict, pytest.raises(TaskTimeoutError) as caught:
        strict.submit(time.sleep, 30).result()
    assert "renamed" in str(getattr(caught.value, "__notes__", ""))


def test_map_gives_an_iterator_and_takes_tuples_as_they_are(client: Client):
    with client.executor() as strict:
        results = strict.map(same, [(1, 2), 3])
        assert iter(results) is results
        assert list(results) == [(1, 2), 3]
        assert list(strict.map(pow, [2, 3], itertools.repeat(2), chunksize=10)) == [4, 9]
        assert list(strict.map(same, [])) == []
        with pytest.raises(ValueError, match="chunksize"):
            strict.map(same, [1], chunksize=0)


def test_map_submits_all_at_once_also_if_nobody_takes_the_results(client: Client, place: Place):
    with client.executor() as strict:
        strict.map(noted, itertools.repeat(place.path("all")), range(20), itertools.repeat(0.0))
    assert sorted(map(int, place.lines("all"))) == list(range(20))


def test_results_come_while_others_run(client: Client):
    with client.executor() as strict:
        begun = time.monotonic()
        results = strict.map(time.sleep, [0.0, 1.0])
        next(results)
        assert time.monotonic() - begun < 0.9
        assert list(results) == [None]


def test_map_waits_until_its_time(client: Client):
    with client.executor() as strict:
        results = strict.map(time.sleep, [0.0, 0.8], timeout=0.3)
        assert next(results) is None
        with pytest.raises(TimeoutError):
            next(results)
        assert list(results) == []


def test_a_failed_element_ends_the_results_and_what_has_not_begun_never_does(client: Client, place: Place):
    path = place.path("failed")
    with client.executor() as strict:
        results = strict.map(lambda number: noted(path, number, 0.2) / number, range(40))
        with pytest.raises(ZeroDivisionError):
            next(results)
    assert len(place.lines("failed")) < 10
    assert list(results) == []


# ---- cancel


def test_cancel_is_true_only_of_what_never_ran(client: Client, place: Place):
    path = place.path("cancelled")
    with client.executor() as strict:
        futures = [strict.submit(noted_at_length, path, number) for number in range(60)]
        wait_until(lambda: place.lines("cancelled"), "some run")
        cancelled = [number for number in reversed(range(60)) if futures[number].cancel()]
    ran = set(map(int, place.lines("cancelled")))
    assert ran | set(cancelled) == set(range(60))
    assert not ran & set(cancelled)
    assert len(cancelled) > 40
    for number, future in enumerate(futures):
        assert future.cancelled() == (number in cancelled)
        assert future.cancelled() or future.result() == number


def test_what_runs_is_not_interrupted_by_cancel(client: Client):
    with client.executor() as strict:
        future = strict.submit(time.sleep, 1.0)
        wait_until(future.running, "it runs")
        assert not future.cancel()
        assert future.result() is None
        assert not future.cancel()


def test_many_are_cancelled_by_many_threads(client: Client, place: Place):
    path = place.path("raced")
    with client.executor() as strict:
        futures = [strict.submit(noted, path, number, 0.001) for number in range(300)]
        with ThreadPoolExecutor(4) as threads:
            outcomes = list(threads.map(lambda future: future.cancel(), reversed(futures)))
    ran = set(map(int, place.lines("raced")))
    assert {299 - number for number, was_cancelled in enumerate(outcomes) if not was_cancelled} == ran


def test_cancelling_the_awaiting_task_of_run_in_executor_cancels_what_has_not_begun(client: Client, place: Place):
    path = place.path("awaited")

    async def impatient() -> None:
        loop = asyncio.get_running_loop()
        with client.executor() as strict:
            blocking = [loop.run_in_executor(strict, noted, place.path("blocking"), n, 1.0) for n in range(SLOTS)]
            wait_until(lambda: len(place.lines("blocking")) == SLOTS, "all slots are taken")
            waiting = loop.run_in_executor(strict, noted, path, 1, 0.0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.1)
            await asyncio.gather(*blocking)

    asyncio.run(impatient())
    assert place.lines("awaited") == []


# ---- shutdown


def test_shutdown_waits_for_all_and_takes_no_more(client: Client, place: Place):
    strict = client.executor()
    future = strict.submit(noted, place.path("waited"), 1, 0.3)
    strict.map(noted, [place.path("waited")] * 3, [2, 3, 4], [0.1] * 3)
    strict.shutdown()
    assert future.done()
    assert len(place.lines("waited")) == 4
    for call in (lambda: strict.submit(same, 1), lambda: strict.map(same, [1])):
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            call()
    strict.shutdown()
    assert client.submit(same, 1).result() == 1
    assert client.executor().submit(same, 2).result() == 2


def test_shutdown_may_leave_running_tasks_to_themselves(client: Client):
    strict = client.executor()
    future = strict.submit(time.sleep, 0.5)
    begun = time.monotonic()
    strict.shutdown(wait=False)
    assert time.monotonic() - begun < 0.4
    assert future.result() is None


def test_shutdown_may_cancel_what_has_not_begun(client: Client, place: Place):
    path = place.path("shut")
    strict = client.executor()
    futures = [strict.submit(noted_at_length, path, number) for number in range(20)]
    results = strict.map(noted_at_length, [path] * 20, range(20, 40))
    wait_until(lambda: len(place.lines("shut")) == SLOTS, "some run")
    strict.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    ran = set(map(int, place.lines("shut")))
    assert {number for number in range(20) if not futures[number].cancelled()} == {n for n in ran if n < 20}
    assert len(ran) < 10
    with pytest.raises(concurrent.futures.CancelledError):
        list(results)


def test_the_workers_are_not_told_of_a_shutdown(cluster: SchedulerClusterCombo, client: Client):
    with client.executor() as strict:
        strict.submit(same, 1)
    with Client(cluster) as other:
        assert other.submit(same, 1).result() == 1
