"""The client in event loops of asyncio: awaited, iterated, cancelled, and used as everywhere else."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from scaler import Client, SchedulerClusterCombo
from scaler.errors import ClientQuitException
from tests.integration.processes import own_place, wait_until
from tests.integration.workloads import reciprocal, same, slept


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    with own_place(), SchedulerClusterCombo(n_workers=2) as combo:
        yield combo


@pytest.fixture(scope="module")
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """When the loop had time for something else, every 10 ms if it always had."""
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    task = asyncio.create_task(tick())
    try:
        yield ticks
    finally:
        task.cancel()


def test_futures_are_awaited_while_the_loop_goes_on(client: Client):
    async def run() -> tuple[float, int]:
        async with ticking() as ticks:
            return await client.submit(slept, 0.4), len(ticks)

    result, ticks = asyncio.run(run())
    assert result == 0.4
    assert ticks > 5


def test_an_awaited_failure_is_raised_and_gather_takes_many(client: Client):
    async def run() -> list[Any]:
        with pytest.raises(ZeroDivisionError):
            await client.submit(reciprocal, 0)
        return await asyncio.gather(*(client.submit(same, number) for number in range(500)))

    assert asyncio.run(run()) == list(range(500))


def first(numbers: list[int]) -> int:
    return next(iter(numbers))


def test_a_task_that_raises_stop_iteration_is_a_failure_like_any_other(client: Client):
    async def run() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="the task raised StopIteration"):
            await asyncio.wait_for(loop.run_in_executor(client, first, []), 20)

    asyncio.run(run())
    with pytest.raises(RuntimeError, match="the task raised StopIteration"):
        sum(client.imap(first, [[1], [], [4]]))
    failed = client.map(first, [[1], []], return_exceptions=True)[1]
    assert isinstance(failed, StopIteration)


def test_async_with_leaves_at_its_end(cluster: SchedulerClusterCombo):
    async def run() -> Client:
        async with Client(cluster) as client:
            assert await client.submit(same, 1) == 1
        return client

    client = asyncio.run(run())
    with pytest.raises(ClientQuitException):
        client.submit(same, 1)


def test_async_for_gives_futures_as_they_complete(client: Client):
    async def run() -> list[float]:
        futures = [client.submit(slept, seconds) for seconds in (0.5, 0.0)]
        async with ticking() as ticks:
            found = [future.result() async for future in client.as_completed(futures)]
            assert len(ticks) > 5
        return found

    assert asyncio.run(run()) == [0.0, 0.5]


def test_async_for_takes_a_map_future_and_gives_results_with_it(client: Client):
    async def run() -> list[int]:
        found = client.as_completed(client.map_async(same, range(2000)), with_results=True)
        return sorted([result async for _, result in found])

    assert asyncio.run(run()) == list(range(2000))


def test_async_for_ends_with_its_time(client: Client):
    async def run() -> None:
        slow = client.submit(slept, 30.0)
        with pytest.raises(TimeoutError, match=r"1 \(of 1\) futures unfinished"):
            await anext(client.as_completed([slow], timeout=0.05))
        client.cancel(slow)

    asyncio.run(run())


def test_a_map_future_is_awaited_for_all_results(client: Client):
    async def run() -> list[int]:
        return await client.map_async(same, range(1000))

    assert asyncio.run(run()) == list(range(1000))


@pytest.mark.parametrize("submit", [
    lambda client: client.submit(slept, 60.0),
    lambda client: client.map_async(slept, [60.0] * 10),
])  # fmt: skip
def test_cancelling_who_awaits_ends_the_task_where_it_runs(client: Client, submit: Any):
    async def run() -> None:
        futures = submit(client)
        first = futures[0] if not hasattr(futures, "running") else futures
        wait_until(first.running, "it runs")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(futures, 0.05)
        assert first.cancelled()
        assert await asyncio.wait_for(client.map_async(same, range(4)), 10) == [0, 1, 2, 3]

    asyncio.run(run())


def test_a_shielded_task_goes_on(client: Client):
    async def run() -> float:
        future = client.submit(slept, 0.3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(future), 0.05)
        return await future

    assert asyncio.run(run()) == 0.3


def test_blocking_calls_work_where_a_loop_runs_as_in_a_notebook(client: Client):
    async def cell() -> list[Any]:
        return [
            client.map(same, [1, 2]),
            client.submit(same, 3).result(),
            client.gather([client.submit(same, 4)]),
            list(client.imap(same, [5, 6])),
            [future.result() for future in client.as_completed([client.submit(same, 7)])],
        ]

    assert asyncio.run(cell()) == [[1, 2], 3, [4], [5, 6], [7]]


def test_a_client_can_be_made_where_a_loop_runs(cluster: SchedulerClusterCombo):
    async def cell() -> int:
        with Client(cluster) as client:
            return await client.submit(same, 1)

    assert asyncio.run(cell()) == 1


def test_nothing_runs_a_second_loop(client: Client):
    async def run() -> set[str]:
        before = set(threading.enumerate())
        await client.submit(same, 1)
        await client.map_async(same, range(10))
        [future async for future in client.as_completed(client.map_async(same, range(10)))]
        return {thread.name for thread in set(threading.enumerate()) - before}

    assert asyncio.run(run()) == set()


def test_several_loops_in_several_threads_use_one_client(client: Client):
    found: dict[int, list[int]] = {}

    async def run(number: int) -> list[int]:
        return await asyncio.gather(*(client.submit(same, number) for _ in range(50)))

    threads = [
        threading.Thread(target=lambda number=number: found.update({number: asyncio.run(run(number))}))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number] * 50 for number in range(4)}


def test_a_client_that_leaves_ends_all_that_is_awaited(cluster: SchedulerClusterCombo):
    async def run() -> None:
        client = Client(cluster)
        asyncio.get_running_loop().call_later(0.05, client.disconnect)
        with pytest.raises(ClientQuitException):
            await client.submit(slept, 30.0)

    asyncio.run(run())


def test_a_client_shows_itself_in_a_notebook(client: Client, cluster: SchedulerClusterCombo):
    assert cluster.get_address() in client._repr_html_()
    assert "connected" in client._repr_html_()
    found = client.map_async(same, range(10))
    wait_until(found.ready, "all are done")
    assert "10 of 10 done" in found._repr_html_()
