from array import array

import pytest
from msgspec.structs import replace

from scaler.client.facts import ProfilingInfo
from scaler.client.sinks import MapSink, SealedValue, SubmitSink
from scaler.errors import ClientQuitException, WorkerDiedError
from scaler.ids import FunctionId, Range
from scaler.ledger.events import Again
from scaler.payload.calls import joined_column
from scaler.protocol import BatchOptions, Cause, Failure
from tests.unit.client.examples import BATCH as A
from tests.unit.client.examples import Line, resolved

DIED = Failure(Cause.DIED, "signal 9")


def test_a_map_is_put_together_in_order_whatever_order_it_comes_in():
    sink = MapSink(A, "f")
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


def test_every_failure_tells_which_task_it_is_of():
    failed = Failure(Cause.DIED, "signal 9", "host, worker 3")
    mapped, sink = MapSink(A, "square"), SubmitSink(A, Line(), "square")
    futures = [sink.add()[1] for _ in range(4)]
    mapped.expect(4)
    for one in (mapped, sink):
        one.resolve(resolved(0, 0, failed, attempts=2))
        one.reject((Range(2, 4),), DIED)
    results, _ = mapped.collect()
    for errors in (results[1:], [future.exception() for future in futures[1:]]):
        assert [error.__notes__ for error in errors] == [
            ["in task 0000000000000001-1-1 (square) on host, worker 3, attempt 2"],
            ["in task 0000000000000001-1-2 (square)"],
            ["in task 0000000000000001-1-3 (square)"],
        ]


def test_a_map_whose_client_left_raises():
    sink = MapSink(A, "f")
    sink.expect(2)
    sink.resolve(resolved(0, 0))
    sink.abort(ClientQuitException("left"))
    with pytest.raises(ClientQuitException, match="left"):
        sink.collect()


def test_futures_get_their_own_outcome():
    sink = SubmitSink(A, Line(), "f")
    futures = [sink.add()[1] for _ in range(5)]
    sink.resolve(resolved(0, "a", "b", KeyError(1), attempts=3, base=50))
    sink.reject((Range(3, 4),), DIED)
    sink.abort(ClientQuitException("left"))
    assert [future.result() for future in futures[:2]] == ["a", "b"]
    errors = [future.exception() for future in futures[2:]]
    assert [type(error) for error in errors] == [KeyError, WorkerDiedError, ClientQuitException]
    assert errors[0] is not None
    assert errors[0].__notes__ == ["note, attempt 3"]


def test_an_error_that_many_fail_with_is_in_memory_once():
    sink = SubmitSink(A, Line(), "square")
    futures = [sink.add()[1] for _ in range(5)]
    sink.resolve(resolved(0, KeyError("x"), 1, KeyError("x")))
    sink.resolve(resolved(3, KeyError("x"), KeyError("y")))
    frames = [future.outcome().frames[0] for future in futures]
    assert frames[0] is frames[2] is frames[3]
    assert [str(future.exception()) for future in futures] == ["'x'", "None", "'x'", "'x'", "'y'"]


def test_a_result_that_is_alone_is_not_copied():
    sink = SubmitSink(A, Line(), "square")
    _, future = sink.add()
    result = resolved(0, bytes(100_000), base=7)
    sink.resolve(result)
    assert isinstance(future._sealed, SealedValue)
    assert future._sealed._data is result.column.data[0]
    assert future.result() == bytes(100_000)


def test_a_future_that_is_given_up_is_told_and_gets_nothing():
    line = Line()
    sink = SubmitSink(A, line, "f")
    _, future = sink.add()
    assert future.cancel()
    sink.resolve(resolved(0, 1))
    assert line.unwanted == [(A, 0)]
    assert future.cancelled()


def test_a_task_that_the_scheduler_took_back_is_cancelled():
    sink = SubmitSink(A, Line(), "f")
    _, future = sink.add()
    future.note_running()
    sink.reject((Range(0, 1),), Failure(Cause.CANCELLED, "the task was cancelled"))
    assert future.cancelled()


def test_futures_learn_that_they_run():
    sink = SubmitSink(A, Line(), "f")
    _, first = sink.add()
    _, second = sink.add()
    sink.began((Range(0, 1), Range(7, 9)))
    assert (first.running(), second.running()) == (True, False)


def test_everybody_who_waited_for_a_client_that_left_has_an_error_of_his_own():
    sink = SubmitSink(A, Line(), "f")
    futures = [sink.add()[1] for _ in range(2)]
    sink.abort(ClientQuitException("left"))
    sink.abort(ClientQuitException("left again"))
    first, second = (future.exception() for future in futures)
    assert first is not second
    assert [str(error) for error in (first, second)] == ["left", "left"]


def test_in_a_forked_child_every_future_and_map_says_whose_it_is():
    sink, mapped = SubmitSink(A, Line(), "f"), MapSink(A, "f")
    mapped.expect(1)
    future = sink.add()[1]
    for one in (sink, mapped):
        one.disown(ClientQuitException("the parent's"))
    assert str(future.exception()) == "the parent's"
    with pytest.raises(ClientQuitException, match="the parent's"):
        mapped.collect()


def test_what_failed_keeps_its_own_call_and_is_told_of_while_others_are_not():
    line = Line()
    sink = SubmitSink(A, line, "f")
    futures = [sink.add()[1] for _ in range(4)]
    calls = joined_column(0, [b"zero", b"one", b"two", b"three"])
    again = Again(FunctionId(b"f" * 16), (b"code",), BatchOptions(name="f"), (calls,))
    sink.resolve(replace(resolved(0, 1, ValueError("x"), 2), again=again))
    sink.reject((Range(3, 4),), DIED, again)
    assert line.failed == [futures[1], futures[3]]
    assert futures[0].again is futures[2].again is None
    kept = [future.again for future in line.failed]
    assert [one.columns[0].data for one in kept if one is not None] == [(b"one",), (b"three",)]


def test_how_a_task_ran_is_told_once_it_is_done():
    sink = SubmitSink(A, Line(), "f")
    futures = [sink.add()[1] for _ in range(3)]
    with pytest.raises(ValueError, match="how task 0000000000000001-1-0 ran: it is not done"):
        futures[0].profiling_info()
    told = resolved(0, 0, 1, attempts=2)
    column = replace(
        told.column, run_us=array("I", [500, 2500]).tobytes(), costs=array("I", [0, 0, 1500, 4096]).tobytes()
    )
    sink.resolve(replace(told, column=column, host="node7"))
    short, long = (future.profiling_info() for future in futures[:2])
    assert short == ProfilingInfo(0.0005, 0.0, 0, short.queue_time_s, "host", "node7", 2)
    assert long == ProfilingInfo(0.0025, 0.0015, 4 << 20, long.queue_time_s, "host", "node7", 2)
    assert 0 <= long.queue_time_s < 60
    futures[2].cancel()
    with pytest.raises(ValueError, match="it did not run"):
        futures[2].profiling_info()


def test_how_a_task_ended_that_left_no_result_is_told_as_far_as_it_is_known():
    sink = SubmitSink(A, Line(), "f")
    future = sink.add()[1]
    sink.reject((Range(0, 1),), Failure(Cause.DIED, "signal 9", "host, worker 1", attempts=3))
    told = future.profiling_info()
    assert told == ProfilingInfo(0.0, 0.0, 0, told.queue_time_s, "host, worker 1", "", 3)


def test_where_a_future_stands_is_asked_while_it_is_not_done():
    sink = SubmitSink(A, Line(), "f")
    futures = [sink.add()[1] for _ in range(3)]
    sink.resolve(resolved(0, 1))
    futures[1].cancel()
    assert [future.explain() for future in futures] == ["it is done", "it was cancelled", "2 waits"]


def test_a_cleared_sink_cancels_its_futures_and_ends_its_map():
    line = Line()
    sink, mapped = SubmitSink(A, line, "f"), MapSink(A, "f")
    futures = [sink.add()[1] for _ in range(2)]
    futures[0].note_running()
    mapped.expect(1)
    for one in (sink, mapped):
        one.clear()
    assert all(future.cancelled() for future in futures)
    with pytest.raises(ClientQuitException, match=r"dropped by clear\(\)"):
        mapped.collect()
    assert A in line.forgotten


def test_a_sink_that_is_closed_is_forgotten_with_its_last_outcome():
    line = Line()
    sink = SubmitSink(A, line, "f")
    futures = [sink.add()[1] for _ in range(4)]
    sink.close()
    sink.resolve(resolved(0, 1))
    sink.reject((Range(1, 2),), DIED)
    futures[2].cancel()
    assert line.forgotten == []
    futures[3].cancel()
    assert line.forgotten == [A]
    empty = SubmitSink(A, line, "f")
    empty.close()
    assert line.forgotten == [A, A]


def test_a_sink_is_awaited_until_its_last_future_is_done_or_given_up():
    sink = SubmitSink(A, Line(), "f")
    assert not sink.is_awaited
    (_, first), (_, second) = sink.add(), sink.add()
    sink.resolve(resolved(0, 1))
    assert (first.done(), sink.is_awaited) == (True, True)
    second.cancel()
    assert not sink.is_awaited
