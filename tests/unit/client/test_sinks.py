import pytest

from scaler.client.sinks import MapSink, SubmitSink
from scaler.errors import ClientQuitException, WorkerDiedError
from scaler.ids import Range
from scaler.protocol import Cause, Failure
from tests.unit.client.examples import BATCH as A
from tests.unit.client.examples import resolved

DIED = Failure(Cause.DIED, "signal 9")


def test_a_map_is_put_together_in_order_whatever_order_it_comes_in():
    sink = MapSink(A)
    sink.expect(5)
    sink.resolve(resolved(3, 3, 4, base=100))
    sink.reject((Range(2, 3),), DIED)
    assert (sink.done, sink.failed, sink.is_awaited) == (3, 1, True)
    sink.resolve(resolved(0, 0, ValueError("x"), attempts=2))
    assert (sink.done, sink.failed, sink.is_awaited) == (5, 2, False)
    results, failed = sink.collect()
    assert (results[0], results[3:], failed) == (0, [3, 4], [1, 2])
    assert (repr(results[1]), results[1].__notes__) == ("ValueError('x')", ["note, attempt 2"])
    assert isinstance(results[2], WorkerDiedError)


def test_a_map_whose_client_left_raises():
    sink = MapSink(A)
    sink.expect(2)
    sink.resolve(resolved(0, 0))
    sink.abort(ClientQuitException("left"))
    with pytest.raises(ClientQuitException, match="left"):
        sink.collect()


def test_futures_get_their_own_outcome():
    sink = SubmitSink(A, lambda _batch, _index: None)
    futures = [sink.add()[1] for _ in range(5)]
    sink.resolve(resolved(0, "a", "b", KeyError(1), attempts=3, base=50))
    sink.reject((Range(3, 4),), DIED)
    sink.abort(ClientQuitException("left"))
    assert [future.result() for future in futures[:2]] == ["a", "b"]
    errors = [future.exception() for future in futures[2:]]
    assert [type(error) for error in errors] == [KeyError, WorkerDiedError, ClientQuitException]
    assert errors[0] is not None
    assert errors[0].__notes__ == ["note, attempt 3"]


def test_a_future_that_is_given_up_is_told_and_gets_nothing():
    told = []
    sink = SubmitSink(A, lambda batch, index: told.append((batch, index)))
    _, future = sink.add()
    assert future.cancel()
    sink.resolve(resolved(0, 1))
    assert told == [(A, 0)]
    assert future.cancelled()


def test_a_task_that_the_scheduler_took_back_is_cancelled():
    sink = SubmitSink(A, lambda _batch, _index: None)
    _, future = sink.add()
    future.note_running()
    sink.reject((Range(0, 1),), Failure(Cause.CANCELLED, "the task was cancelled"))
    assert future.cancelled()


def test_futures_learn_that_they_run():
    sink = SubmitSink(A, lambda _batch, _index: None)
    _, first = sink.add()
    _, second = sink.add()
    sink.began((Range(0, 1), Range(7, 9)))
    assert (first.running(), second.running()) == (True, False)


def test_everybody_who_waited_for_a_client_that_left_has_an_error_of_his_own():
    sink = SubmitSink(A, lambda _batch, _index: None)
    futures = [sink.add()[1] for _ in range(2)]
    sink.abort(ClientQuitException("left"))
    sink.abort(ClientQuitException("left again"))
    first, second = (future.exception() for future in futures)
    assert first is not second
    assert [str(error) for error in (first, second)] == ["left", "left"]


def test_in_a_forked_child_every_future_and_map_says_whose_it_is():
    sink, mapped = SubmitSink(A, lambda _batch, _index: None), MapSink(A)
    mapped.expect(1)
    future = sink.add()[1]
    for one in (sink, mapped):
        one.disown(ClientQuitException("the parent's"))
    assert str(future.exception()) == "the parent's"
    with pytest.raises(ClientQuitException, match="the parent's"):
        mapped.collect()


def test_a_sink_is_awaited_until_its_last_future_is_done_or_given_up():
    seen = []
    sink = SubmitSink(A, lambda _batch, _index: seen.append(sink.is_awaited))
    assert not sink.is_awaited
    (_, first), (_, second) = sink.add(), sink.add()
    sink.resolve(resolved(0, 1))
    assert (first.done(), sink.is_awaited) == (True, True)
    second.cancel()
    assert seen == [False]
