import concurrent.futures
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

from scaler.client.waiting import as_completed, gather, wait
from scaler.client.waits import become_io_thread
from tests.unit.client.examples import Box, futures


def test_gather_gives_results_in_the_order_of_the_futures():
    assert gather(iter(futures(1, None, "x"))) == [1, None, "x"]
    assert gather([]) == []


def test_gather_raises_the_first_failure_in_that_order():
    with pytest.raises(KeyError, match="first"):
        gather(futures(1, KeyError("first"), ValueError("second")))


def test_gather_can_give_failures_in_the_place_of_results():
    found = gather(futures(1, KeyError("x"), 0), return_exceptions=True)
    assert (found[0], repr(found[1]), found[2]) == (1, "KeyError('x')", 0)


def test_gather_keeps_the_shape_of_what_it_is_given():
    one, two, three = futures(1, 2, 3)
    assert gather({"a": one, "b": [two, (three,)]}) == {"a": 1, "b": [2, (3,)]}
    assert gather({one, two}) == {1, 2}
    assert gather((one, [])) == (1, [])
    assert gather(one) == 1


def test_gather_finds_what_is_no_future_before_it_waits():
    with pytest.raises(TypeError, match="not str"):
        gather([*futures(...), {"deep": ["down"]}])


def test_gather_of_a_cancelled_future_raises_or_gives_that_it_was():
    cancelled = futures(1, ...)
    cancelled[1].cancel()
    with pytest.raises(CancelledError):
        gather(cancelled)
    one, off = gather(cancelled, return_exceptions=True)
    assert (one, type(off)) == (1, CancelledError)


def test_gather_gives_an_exception_that_is_nothing_to_itself_in_its_place_too():
    class Empty(Exception):  # noqa: N818  # it has no length
        def __len__(self) -> int:
            return 0

    [found] = gather(futures(Empty()), return_exceptions=True)
    assert isinstance(found, Empty)


def test_as_completed_gives_futures_as_they_finish():
    first, second, third = made = futures(..., 2, ...)
    found = as_completed(made)
    assert next(found) is second
    third.settle(Box(3))
    assert next(found) is third
    first.settle(Box(1))
    assert next(found) is first
    assert list(found) == []


def test_as_completed_waits_no_longer_than_asked():
    found = as_completed(futures(1, ...), timeout=0.001)
    assert next(found).result() == 1
    with pytest.raises(TimeoutError, match="1 \\(of 2\\) futures unfinished"):
        next(found)


def test_wait_tells_who_is_done():
    good, bad, pending = made = futures(1, KeyError(), ...)
    done, not_done = wait(made, timeout=0.001)
    assert (done, not_done) == ({good, bad}, {pending})
    assert wait(made, return_when=concurrent.futures.FIRST_COMPLETED).not_done == {pending}


@pytest.mark.parametrize("ask", [gather, as_completed, wait])
def test_what_is_no_future_is_refused_with_a_word_on_map(ask: Any):
    with pytest.raises(TypeError, match=f"{ask.__name__} takes the futures that submit and map_async return, not int"):
        list(ask([*futures(1), 5]))


@pytest.mark.parametrize("ask", [gather, as_completed, wait])
def test_the_io_thread_does_not_wait_for_itself(ask: Callable[..., Any]):
    with ThreadPoolExecutor(1, initializer=become_io_thread) as io_thread:
        with pytest.raises(RuntimeError, match=f"{ask.__name__} would wait for itself: it was called from a done"):
            io_thread.submit(lambda: list(ask(futures(1, ...)))).result(10)
        io_thread.submit(ask, futures(1, 2)).result(10)
        assert len(io_thread.submit(wait, futures(1, ...), 0).result(10).not_done) == 1
