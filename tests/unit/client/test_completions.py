"""Futures as they finish, in threads and in event loops."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scaler.client.completions import Completions
from scaler.client.futures import ScalerFuture
from tests.unit.client.examples import Box, Origin, futures


def test_a_future_that_is_given_twice_comes_once_and_one_of_the_standard_library_is_taken_too():
    (one,) = futures(1)
    other: concurrent.futures.Future[int] = concurrent.futures.Future()
    other.set_result(2)
    assert list(Completions([one, other, one])) == [one, other]


def test_more_may_be_added_while_it_is_iterated():
    first, second, third = futures(1, 2, 3)
    found = Completions([first])
    seen = []
    for future in found:
        seen.append(future.result())
        if future is first:
            found.add(second)
            found.update([third])
    assert seen == [1, 2, 3]
    assert (found.count(), found.is_empty()) == (0, True)


def test_it_knows_how_many_are_left():
    found = Completions(futures(1, ...))
    assert (found.count(), found.is_empty()) == (2, False)
    next(found)
    assert found.count() == 1


def test_with_results_gives_them_too_and_raises_failures():
    good, bad = futures("value", KeyError("x"))
    found = Completions([good, bad], with_results=True)
    assert next(found) == (good, "value")
    with pytest.raises(KeyError, match="x"):
        next(found)
    assert found.is_empty()


@pytest.mark.parametrize("end", [StopIteration, StopAsyncIteration])
def test_a_task_that_raises_what_ends_loops_ends_neither_kind_of_them(end: type[Exception]):
    other: concurrent.futures.Future[int] = concurrent.futures.Future()
    other.set_exception(end("its own"))

    async def first(found: Completions) -> Any:
        return await anext(found)

    for bad in (*futures(end("its own")), other):
        with pytest.raises(RuntimeError, match=f"the task raised {end.__name__}") as caught:
            next(Completions([bad], with_results=True))
        assert isinstance(caught.value.__cause__, end)
        with pytest.raises(RuntimeError, match=f"the task raised {end.__name__}"):
            asyncio.run(first(Completions([bad], with_results=True)))


def test_it_waits_for_another_thread():
    (future,) = futures(...)
    settler = threading.Thread(target=lambda: future.settle(Box(1)))
    found = Completions([future])
    settler.start()
    assert next(found) is future
    settler.join()


def test_it_is_an_asynchronous_iterator_too():
    done, later, last = made = futures(1, ..., ...)

    async def collect() -> list[Any]:
        loop = asyncio.get_running_loop()
        found = Completions(made)
        assert isinstance(found, AsyncIterator)
        seen = []
        async for future in found:
            seen.append(future)
            if future is done:
                loop.call_soon(later.settle, Box(2))
            if future is later:
                threading.Thread(target=last.settle, args=[Box(3)]).start()
        return seen

    assert asyncio.run(collect()) == [done, later, last]


def test_the_loop_goes_on_while_it_is_waited_for():
    (future,) = futures(...)

    async def both() -> tuple[Any, list[str]]:
        log: list[str] = []

        async def other() -> None:
            log.append("other")
            future.settle(Box("value"))

        task = asyncio.create_task(other())
        found = [done.result() async for done in Completions([future])]
        await task
        return found, log

    assert asyncio.run(both()) == (["value"], ["other"])


def test_in_a_loop_it_waits_no_longer_than_asked():
    async def collect() -> None:
        async for _ in Completions(futures(1, ...), timeout=0.001):
            pass

    with pytest.raises(TimeoutError, match=r"1 \(of 2\) futures unfinished"):
        asyncio.run(collect())


def test_a_coroutine_that_is_cancelled_there_leaves_the_futures_alone():
    (future,) = futures(...)

    async def first() -> ScalerFuture:
        return await anext(Completions([future]))

    async def cancelled() -> None:
        await asyncio.wait_for(first(), 0.001)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert not future.cancelled()
    future.settle(Box(1))  # tells a loop that is closed


def test_what_is_no_future_is_refused():
    with pytest.raises(TypeError, match="as_completed takes the futures that submit and map_async return, not float"):
        Completions([2.0])  # type: ignore[list-item]  # what users of map do
    assert list(Completions()) == []
    assert Origin().unwanted == []
