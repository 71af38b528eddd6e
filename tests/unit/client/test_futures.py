"""The future of one task: the standard library's, at a fraction of its price."""

import asyncio
import concurrent.futures
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest

from scaler.client.futures import ScalerFuture
from scaler.client.waits import become_io_thread
from scaler.payload.values import Outcome
from tests.unit.client.examples import Box, Origin


@pytest.fixture
def origin() -> Origin:
    return Origin()


@pytest.fixture
def future(origin: Origin) -> ScalerFuture:
    return ScalerFuture(origin, 7)


def in_a_thread(action: Any) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def in_a_thread_result(action: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(action).result(10)


def test_it_is_one_of_the_standard_librarys_and_says_which_task_it_is_of(future: ScalerFuture):
    assert isinstance(future, Future)
    assert future.task_id == "00000000000000ff-3-7"
    assert repr(future) == "<ScalerFuture 00000000000000ff-3-7 pending>"
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)


def test_nothing_of_its_own_is_made_until_somebody_waits(future: ScalerFuture):
    future.settle(Box(1))
    assert future.done()
    assert future.result() == 1
    assert "_condition" not in future.__dict__
    with pytest.raises(AttributeError, match="'ScalerFuture' object has no attribute 'nonsense'"):
        future.nonsense  # noqa: B018  # that it is looked up is the point


def test_a_value_is_opened_once_by_whoever_asks_first(future: ScalerFuture):
    box = Box([1, 2])
    future.settle(box)
    assert box.opened == 0
    assert future.result() is future.result()
    assert future.exception() is None
    assert box.opened == 1
    assert repr(future) == "<ScalerFuture 00000000000000ff-3-7 finished>"


def test_an_exception_is_raised_as_often_as_it_is_asked_for(future: ScalerFuture):
    future.settle(Box(error=KeyError("x")))
    for _ in range(2):
        with pytest.raises(KeyError, match="x"):
            future.result()
    assert isinstance(future.exception(), KeyError)


def test_it_runs_when_a_worker_was_reported_to_run_it(future: ScalerFuture):
    future.note_running()
    assert future.running()
    future.settle(Box(1))
    future.note_running()
    assert not future.running()


def test_only_the_first_outcome_counts(future: ScalerFuture):
    future.settle(Box(1))
    future.settle(Box(2))
    assert future.result() == 1
    waited_for = ScalerFuture(Origin(), 0)
    waited_for.add_done_callback(lambda _: None)
    waited_for.settle(Box(1))
    waited_for.settle(Box(2))
    assert waited_for.result() == 1


def test_a_value_that_two_threads_open_at_once_is_the_same_for_both(future: ScalerFuture):
    class Contended(Box):
        def open(self) -> Outcome:
            if not self.opened:
                self.opened = 1
                seen.append(future.result())  # another thread is faster
            return super().open()

    seen: list[Any] = []
    future.settle(Contended(["value"]))
    seen.append(future.result())
    assert seen == [["value"], ["value"]]
    assert seen[0] is seen[1]


# ---- cancelling


def test_a_cancelled_future_tells_where_it_came_from_and_drops_what_comes(origin: Origin, future: ScalerFuture):
    assert future.cancel()
    assert future.cancel()
    assert origin.unwanted == [7]
    future.settle(Box(1))
    future.note_running()
    assert (future.done(), future.running(), future.cancelled()) == (True, False, True)
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask()


@pytest.mark.parametrize("begun", [lambda future: future.note_running(), lambda future: future.settle(Box(1))])
def test_what_runs_or_is_done_is_not_cancelled(origin: Origin, future: ScalerFuture, begun: Any):
    begun(future)
    assert not future.cancel()
    assert origin.unwanted == []


def test_what_runs_can_be_given_up_all_the_same(origin: Origin, future: ScalerFuture):
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.note_running()
    assert future.give_up()
    assert not future.give_up()
    assert (origin.unwanted, called, future.cancelled()) == ([7], [future], True)
    future.settle(Box(1))
    assert future.cancelled()


def test_a_future_that_is_revoked_tells_nobody_where_it_came_from(origin: Origin, future: ScalerFuture):
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.revoke()
    future.revoke()
    assert (origin.unwanted, called, future.cancelled()) == ([], [future], True)
    done = ScalerFuture(origin, 8)
    done.settle(Box(1))
    done.revoke()
    assert done.result() == 1


# ---- waiting


def test_it_is_waited_for_no_longer_than_asked(future: ScalerFuture):
    with pytest.raises(TimeoutError, match=r"task 00000000000000ff-3-7 is not done after 0\.001 s"):
        future.result(0.001)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)


def test_whoever_waits_is_woken_by_an_outcome(future: ScalerFuture):
    assert future._condition  # somebody waits already
    settler = in_a_thread(lambda: future.settle(Box("value")))
    assert future.result(10) == "value"
    settler.join()


def test_whoever_waits_is_woken_when_it_is_cancelled(future: ScalerFuture):
    assert future._condition  # somebody waits already
    canceller = in_a_thread(future.cancel)
    with pytest.raises(CancelledError):
        future.result(10)
    canceller.join()


def test_many_threads_that_wait_and_settle_agree():
    futures = [ScalerFuture(Origin(), index) for index in range(500)]
    seen: list[int] = []
    waiter = in_a_thread(lambda: seen.extend(future.result(10) for future in futures))
    settler = in_a_thread(lambda: [future.settle(Box(index)) for index, future in enumerate(futures)])
    for thread in (waiter, settler):
        thread.join(10)
    assert seen == list(range(500))


# ---- callbacks


@pytest.mark.parametrize("finish", [lambda future: future.settle(Box(1)), lambda future: future.cancel()])
def test_callbacks_are_called_in_order_once_it_is_done_and_at_once_afterwards(future: ScalerFuture, finish: Any):
    called: list[tuple[str, Any]] = []
    future.add_done_callback(lambda done: called.append(("first", done)))
    future.add_done_callback(lambda done: called.append(("second", done)))
    assert called == []
    finish(future)
    assert called == [("first", future), ("second", future)]
    future.add_done_callback(lambda done: called.append(("late", done)))
    assert called[2:] == [("late", future)]


def test_a_callback_may_ask_for_the_result(future: ScalerFuture):
    results: list[Any] = []
    future.add_done_callback(lambda done: results.append(done.result()))
    future.settle(Box("value"))
    assert results == ["value"]


@pytest.fixture
def io_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, initializer=become_io_thread) as thread:
        yield thread


def test_nothing_that_a_callback_raises_ends_the_io_thread(
    future: ScalerFuture, io_thread: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
):
    called: list[Any] = []
    for callback in (lambda done: done.result(), called.append):
        future.add_done_callback(callback)
    io_thread.submit(future.settle, Box(error=SystemExit(3))).result(10)
    assert called == [future]
    assert "exception calling callback for <ScalerFuture 00000000000000ff-3-7 finished>" in caplog.text


def test_what_a_callback_raises_to_exit_ends_other_threads(future: ScalerFuture):
    future.add_done_callback(lambda _: sys.exit(3))
    with pytest.raises(SystemExit):
        future.cancel()


@pytest.mark.parametrize("ask", [lambda future: future.result(), lambda future: future.exception(10)])
def test_the_io_thread_does_not_wait_for_itself(
    future: ScalerFuture, io_thread: ThreadPoolExecutor, ask: Callable[[ScalerFuture], Any]
):
    with pytest.raises(RuntimeError, match="would wait for itself: it was called from a done callback"):
        io_thread.submit(ask, future).result(10)
    with pytest.raises(TimeoutError, match="is not done after 0 s"):
        io_thread.submit(future.result, 0).result(10)
    future.settle(Box(1))
    io_thread.submit(ask, future).result(10)


# ---- in a forked child


def test_a_future_that_is_not_ours_any_more_ends_whoever_held_its_lock_and_calls_nobody_back(future: ScalerFuture):
    future.add_done_callback(lambda _: pytest.fail("the parent's"))
    with future._condition:  # as a thread of the parent may have done
        future.disown(Box(error=KeyError("the parent's")))
        assert in_a_thread_result(future.exception).args == ("the parent's",)
    assert concurrent.futures.wait([future], 0).not_done == set()


def test_it_has_the_names_of_a_pools_results_too(future: ScalerFuture):
    with pytest.raises(ValueError, match="is not ready"):
        future.successful()
    future.wait(0.001)
    assert not future.ready()
    told: list[Any] = []
    future.call_back(told.append, None)
    future.settle(Box("value"))
    future.wait()
    assert (future.get(1), future.ready(), future.successful(), told) == ("value", True, True, ["value"])


def test_a_failure_is_told_to_the_error_callback(future: ScalerFuture):
    told: list[str] = []
    future.call_back(told.append, lambda error: told.append(repr(error)))
    future.settle(Box(error=KeyError("x")))
    future.wait()
    assert (future.successful(), told) == (False, ["KeyError('x')"])


# ---- with the standard library


def test_it_can_be_awaited():
    async def both() -> tuple[Any, Any]:
        done, later = ScalerFuture(Origin(), 0), ScalerFuture(Origin(), 1)
        done.settle(Box("done"))
        asyncio.get_running_loop().call_soon(later.settle, Box("later"))
        return await done, await later

    assert asyncio.run(both()) == ("done", "later")


def test_an_awaited_failure_is_raised():
    async def fail() -> None:
        future = ScalerFuture(Origin(), 0)
        asyncio.get_running_loop().call_soon(future.settle, Box(error=KeyError("x")))
        await future

    with pytest.raises(KeyError, match="x"):
        asyncio.run(fail())


@pytest.mark.parametrize("begin", [lambda _: None, lambda future: future.note_running()])
def test_a_coroutine_that_is_cancelled_while_it_waits_gives_the_task_up(
    origin: Origin, future: ScalerFuture, begin: Callable[[ScalerFuture], None]
):
    async def impatient() -> None:
        begin(future)
        task = asyncio.ensure_future(future)
        await asyncio.wait((task,), timeout=0.001)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(impatient())
    assert (origin.unwanted, future.cancelled()) == ([7], True)


def test_a_shielded_one_goes_on(origin: Origin, future: ScalerFuture):
    async def impatient() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(future), 0.001)
        future.settle(Box("value"))
        return await future

    assert asyncio.run(impatient()) == "value"
    assert origin.unwanted == []


def test_awaiting_one_that_is_cancelled_elsewhere_is_as_asyncio_has_it(future: ScalerFuture):
    async def wait() -> None:
        asyncio.get_running_loop().call_soon(future.cancel)
        await future

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(wait())


def test_a_stop_iteration_does_not_hang_who_awaits_it(future: ScalerFuture):
    async def wait() -> None:
        asyncio.get_running_loop().call_soon(future.settle, Box(error=StopIteration("x")))
        await future

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(wait())


def test_a_stop_iteration_does_not_hang_asyncios_own_future_either(future: ScalerFuture):
    async def wait() -> None:
        wrapped = asyncio.wrap_future(future)
        asyncio.get_running_loop().call_soon(future.settle, Box(error=StopIteration("x")))
        await asyncio.wait_for(wrapped, 5)

    with pytest.raises(RuntimeError, match="the task raised StopIteration") as caught:
        asyncio.run(wait())
    assert repr(caught.value.__cause__) == "StopIteration('x')"


def test_the_standard_librarys_wait_knows_every_end():
    pending, good, bad, cancelled = (ScalerFuture(Origin(), index) for index in range(4))
    finisher = threading.Timer(
        0.01, lambda: (good.settle(Box(1)), bad.settle(Box(error=KeyError())), cancelled.cancel())
    )
    finisher.start()
    assert concurrent.futures.wait([good, bad, cancelled], 10).not_done == set()
    finisher.join()
    done, not_done = concurrent.futures.wait([pending, good, bad, cancelled], 0.001)
    assert (done, not_done) == ({good, bad, cancelled}, {pending})
    first = concurrent.futures.wait([pending, bad], 10, concurrent.futures.FIRST_EXCEPTION)
    assert first.done == {bad}


def test_it_cannot_be_pickled_and_says_what_to_pass_instead(future: ScalerFuture):
    with pytest.raises(TypeError, match=r"pass what result\(\)"):
        pickle.dumps(future)
