"""The futures of a `map_async`: made when asked for, settled as outcomes come, in whatever parts."""

import asyncio
import gc
import pickle
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from scaler.client.failures import Failures
from scaler.client.futures import ScalerFuture
from scaler.client.kept import KeptResults
from scaler.client.map_future import MapFuture, Progress, raise_first
from scaler.client.waiting import as_completed, gather, wait
from scaler.client.waits import become_io_thread
from scaler.errors import ClientQuitException, WorkerDiedError
from scaler.ids import FunctionId, Range
from scaler.ledger.events import Again
from scaler.payload.calls import joined_column, pickle_call
from scaler.payload.inputs import Found
from scaler.protocol import BatchOptions, Cause, Failure
from tests.unit.client.examples import BATCH, Line, resolved

DIED = Failure(Cause.DIED, "signal 9")


class Scene:
    """So many tasks on their way, and the futures of them."""

    def __init__(self, size: int, *, return_exceptions: bool = False) -> None:
        self.line = Line()
        self.kept = KeptResults(BATCH, self.line, "f")
        if size:
            self.kept.expect(size)
        self.kept.complete()
        self.futures = MapFuture(self.kept, return_exceptions=return_exceptions)

    def answer(self, lo: int, *outcomes: Any) -> None:
        self.kept.resolve(resolved(lo, *outcomes, base=7))


@pytest.fixture
def scene() -> Scene:
    return Scene(5)


# ---- a sequence


def test_it_is_a_sequence_of_futures(scene: Scene):
    found = scene.futures
    assert isinstance(found, Sequence)
    assert len(found) == 5
    assert [future.task_id for future in found] == [f"0000000000000001-1-{index}" for index in range(5)]
    assert found[-1] is found[4]
    assert found[1:4:2] == [found[1], found[3]]
    assert list(reversed(found)) == found[::-1]
    with pytest.raises(IndexError):
        found[5]


def test_a_future_that_somebody_holds_is_always_the_same(scene: Scene):
    held = list(scene.futures)
    scene.answer(0, *"abcde")
    assert list(scene.futures) == held
    assert [future.result() for future in held] == list("abcde")


def test_a_future_without_an_outcome_is_kept_for_its_callbacks(scene: Scene):
    called: list[Any] = []
    scene.futures[2].add_done_callback(lambda future: called.append(future.result()))
    gc.collect()
    scene.answer(0, *"abcde")
    assert called == ["c"]


def test_a_future_with_an_outcome_that_nobody_holds_is_made_anew(scene: Scene):
    held = weakref.ref(scene.futures[2])
    scene.answer(0, *"abcde")
    gc.collect()
    assert held() is None
    assert scene.futures[2].result() == "c"


def test_no_future_is_made_that_nobody_asked_for(scene: Scene):
    scene.answer(0, *"abcde")
    assert scene.futures.get() == list("abcde")
    gc.collect()
    assert not any(isinstance(found, ScalerFuture) and found._origin is scene.kept for found in gc.get_objects())


def test_an_empty_one_is_ready_at_once():
    found = Scene(0).futures
    assert (len(found), list(found), found.get(), found.ready(), found.successful()) == (0, [], [], True, True)


# ---- outcomes


def test_outcomes_come_in_any_order_and_each_future_gets_its_own(scene: Scene):
    found = list(scene.futures)
    scene.answer(3, "d", KeyError("e"))
    assert [future.done() for future in found] == [False, False, False, True, True]
    scene.kept.reject((Range(1, 2),), DIED)
    scene.answer(0, "a")
    assert not scene.futures.ready()
    scene.answer(2, "c")
    assert [future.exception() and type(future.exception()) for future in found] == [
        None, WorkerDiedError, None, None, KeyError,
    ]  # fmt: skip
    assert scene.line.forgotten == [BATCH]


def test_get_gives_the_results_in_order(scene: Scene):
    scene.answer(2, 2, 3, 4)
    scene.answer(0, 0, 1)
    assert scene.futures.get() == scene.futures.get(timeout=0) == [0, 1, 2, 3, 4]
    assert scene.futures[3].result() == 3
    assert scene.futures.successful()


def test_get_waits_no_longer_than_asked(scene: Scene):
    scene.answer(0, 0, 1)
    with pytest.raises(TimeoutError, match=r"3 \(of 5\) tasks are not done after 0\.001 s"):
        scene.futures.get(timeout=0.001)
    assert not scene.futures.wait(0)
    with pytest.raises(ValueError, match="<MapFuture 2 of 5 done> is not ready"):
        scene.futures.successful()


def test_get_raises_the_first_failure_with_every_outcome(scene: Scene):
    scene.answer(2, 2, KeyError("third"), 4)
    scene.answer(0, 0, ValueError("first"))
    with pytest.raises(ValueError, match="first") as caught:
        scene.futures.get()
    results = vars(caught.value)["results"]
    assert results[::2] == [0, 2, 4]
    assert repr(results[3]) == "KeyError('third')"
    assert not scene.futures.successful()
    assert isinstance(scene.futures[3].exception(), KeyError)
    assert scene.futures.progress() == Progress(done=5, failed=2, total=5)


def test_exceptions_stand_in_the_list_where_that_was_asked_for():
    scene = Scene(2, return_exceptions=True)
    scene.answer(0, 0, KeyError("x"))
    assert repr(scene.futures.get()) == "[0, KeyError('x')]"
    assert repr(gather(scene.futures)) == "[0, KeyError('x')]"


def test_an_outcome_that_comes_twice_counts_once(scene: Scene):
    scene.answer(0, "a", "b", "c")
    scene.answer(1, "never", "never", "d", "e")
    assert scene.futures.get() == list("abcde")
    assert scene.futures.progress().done == 5


def test_a_client_that_leaves_ends_all_that_is_not_done(scene: Scene):
    first, last = scene.futures[0], scene.futures[4]
    scene.answer(0, "a")
    scene.kept.abort(ClientQuitException("left"))
    assert first.result() == "a"
    with pytest.raises(ClientQuitException, match="left"):
        last.result()
    with pytest.raises(ClientQuitException, match="left") as caught:
        scene.futures.get()
    assert vars(caught.value)["results"][0] == "a"


def test_in_a_forked_child_it_says_whose_it_is(scene: Scene):
    held = scene.futures[1]
    with scene.kept._lock:  # as a thread of the parent may have done
        scene.kept.disown(ClientQuitException("the parent's"))
        with ThreadPoolExecutor(1) as thread, pytest.raises(ClientQuitException, match="the parent's"):
            thread.submit(scene.futures.get).result(10)
    with pytest.raises(ClientQuitException, match="the parent's"):
        held.result()


def test_an_exception_whose_class_lets_nobody_set_anything_is_raised_too():
    class FrozenError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    with pytest.raises(FrozenError) as caught:
        raise_first([1, FrozenError()], [1])
    assert vars(caught.value)["results"][0] == 1
    raise_first([1], [])


# ---- what runs


def test_what_runs_is_known_also_of_futures_that_are_made_later(scene: Scene):
    first = scene.futures[0]
    scene.kept.began((Range(0, 2),))
    assert (first.running(), scene.futures[1].running(), scene.futures[2].running()) == (True, True, False)
    scene.answer(0, "a", "b")
    assert not scene.futures[1].running()


# ---- cancelling


def test_one_future_is_cancelled_like_any_other(scene: Scene):
    assert scene.futures[2].cancel()
    assert scene.line.given_up == [Range(2, 3)]
    gc.collect()
    assert scene.futures[2].cancelled()
    scene.answer(0, *"abcde")
    with pytest.raises(CancelledError):
        scene.futures.get()
    assert scene.futures[3].result() == "d"


def test_all_that_is_not_done_is_cancelled_also_what_runs(scene: Scene):
    running = scene.futures[1]
    scene.kept.began((Range(1, 2),))
    scene.answer(3, "d")
    assert scene.futures.cancel()
    assert not scene.futures.cancel()
    assert scene.line.given_up == [Range(0, 3), Range(4, 5)]
    assert [future.cancelled() for future in scene.futures] == [True, True, True, False, True]
    assert running.cancelled()
    assert scene.futures.ready()
    assert scene.futures.progress() == Progress(done=5, failed=4, total=5)


def test_what_the_scheduler_took_back_is_cancelled(scene: Scene):
    scene.kept.reject((Range(0, 5),), Failure(Cause.CANCELLED, "the task was cancelled"))
    assert all(future.cancelled() for future in scene.futures)


# ---- waiting


def test_as_completed_gives_its_futures_as_outcomes_come(scene: Scene):
    scene.answer(3, "d")
    found = as_completed(scene.futures)
    assert next(found).result() == "d"
    scene.answer(0, "a", "b")
    scene.kept.reject((Range(4, 5),), DIED)
    assert [next(found) for _ in range(3)] == scene.futures[0:2] + scene.futures[4:]
    scene.futures.cancel()
    assert [future.cancelled() for future in found] == [True]


def test_wait_and_gather_take_it(scene: Scene):
    scene.answer(0, "a", "b")
    assert wait(scene.futures, timeout=0.001).not_done == set(scene.futures[2:])
    assert wait(scene.futures, return_when="FIRST_COMPLETED").done == set(scene.futures[:2])
    scene.answer(2, "c", "d", KeyError("e"))
    assert wait(scene.futures).done == set(scene.futures)
    with pytest.raises(KeyError, match="e"):
        gather(scene.futures)
    assert gather(scene.futures, return_exceptions=True)[:4] == list("abcd")


def test_whoever_waits_is_woken_by_the_last_outcome(scene: Scene):
    answers = threading.Thread(target=scene.answer, args=(0, *"abcde"))
    answers.start()
    assert scene.futures.get(10) == list("abcde")
    answers.join()


def test_the_io_thread_does_not_wait_for_itself(scene: Scene):
    with ThreadPoolExecutor(1, initializer=become_io_thread) as io_thread:
        with pytest.raises(RuntimeError, match="waiting for a map would wait for itself"):
            io_thread.submit(scene.futures.get).result(10)
        assert not io_thread.submit(scene.futures.wait, 0).result(10)


def test_it_can_be_awaited(scene: Scene):
    async def results() -> list[Any]:
        asyncio.get_running_loop().call_soon(scene.answer, 0, *"abcde")
        return [*await scene.futures, *await scene.futures]

    assert asyncio.run(results()) == list("abcdeabcde")


def test_a_coroutine_that_is_cancelled_while_it_waits_cancels_it(scene: Scene):
    async def patient() -> Any:
        return await scene.futures

    async def impatient() -> None:
        await asyncio.wait_for(patient(), 0.001)

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert all(future.cancelled() for future in scene.futures)


# ---- for people


def test_it_tells_how_far_it_is(scene: Scene):
    scene.answer(0, "a", KeyError("b"))
    assert repr(scene.futures) == "<MapFuture 2 of 5 done, 1 failed>"
    assert scene.futures._repr_html_() == '<progress value="2" max="5"></progress> 2 of 5 done, 1 failed'


def test_it_cannot_be_pickled_and_says_what_to_pass_instead(scene: Scene):
    with pytest.raises(TypeError, match=r"pass what result\(\) or get\(\) returns"):
        pickle.dumps(scene.futures)


def test_among_the_arguments_of_a_call_it_is_the_list_of_its_futures(scene: Scene):
    with Found() as found:
        pickle_call((scene.futures, scene.futures[0]))
        assert found.take() == tuple(scene.futures)


def test_callbacks_get_the_results_or_the_first_failure():
    told: list[Any] = []
    good, bad, late = Scene(2), Scene(2), Scene(1)
    for scene in (good, bad, late):
        scene.futures.call_back(told.append, lambda error: told.append(repr(error)))
    good.answer(0, "a", "b")
    bad.answer(0, "a", KeyError("b"))
    assert told == [["a", "b"], "KeyError('b')"]
    late.futures.cancel()
    assert told[2:] == ["CancelledError()"]


def test_what_a_callback_raises_does_not_end_the_io_thread(caplog: pytest.LogCaptureFixture):
    scene = Scene(1)

    def fail(_: object) -> None:
        raise SystemExit

    scene.futures.call_back(fail, None)
    bringer = threading.Thread(target=lambda: (become_io_thread(), scene.answer(0, "a")))
    bringer.start()
    bringer.join()
    assert "exception calling callback" in caplog.text


# ---- what is known of its tasks


AGAIN = Again(FunctionId(b"f" * 16), (b"code",), BatchOptions(name="f"), (joined_column(0, [b"0", b"1", b"2", b"3"]),))


def test_those_that_failed_can_be_found_and_submitted_anew_as_long_as_the_map_is_held(scene: Scene):
    failures = Failures()
    scene.line.note_failed_among = failures.add_map  # type: ignore[method-assign]  # as the client's thread does
    held = scene.futures[1]
    scene.kept.resolve(replace(resolved(0, "a", KeyError("b")), again=AGAIN))
    scene.kept.reject((Range(3, 4),), DIED, AGAIN)
    scene.futures.cancel()
    assert failures.all() == [held, scene.futures[3]]
    assert [future.again and future.again.columns[0].data for future in failures.all()] == [(b"1",), (b"3",)]
    with pytest.raises(KeyError):
        scene.futures.get()
    assert scene.futures[1].again is not None
    failures.remove(held)
    assert failures.all() == [scene.futures[3]]
    del scene.kept, scene.futures, held
    gc.collect()
    assert failures.all() == []


def test_how_a_task_ran_is_known_also_when_all_have_been_opened(scene: Scene):
    told = resolved(0, *"abcde", attempts=2)
    scene.kept.resolve(replace(told, host="node7", column=replace(told.column, run_us=bytes([4, 0, 0, 0] * 5))))
    for _ in range(2):
        info = scene.futures[3].profiling_info()
        assert (info.duration_s, info.worker, info.host, info.attempts) == (4e-06, "host", "node7", 2)
        scene.futures.get()


def test_where_a_task_stands_is_asked_while_it_is_not_done(scene: Scene):
    scene.answer(0, "a")
    assert [scene.futures[0].explain(), scene.futures[1].explain()] == ["it is done", "1 waits"]


def test_when_the_work_of_the_client_is_dropped_all_is_cancelled_that_has_been_or_will_be_drawn():
    kept = KeptResults(BATCH, Line(), "f")
    kept.expect(2)
    kept.clear()
    kept.expect(3)
    kept.complete()
    assert [future.cancelled() for future in MapFuture(kept)] == [True] * 3


def test_a_client_that_leaves_while_calls_are_drawn_ends_all_of_them():
    kept = KeptResults(BATCH, Line(), "f")
    kept.expect(1)
    kept.abort(ClientQuitException("left"))
    kept.expect(2)
    kept.complete()
    assert [type(future.exception()) for future in MapFuture(kept)] == [ClientQuitException] * 2
