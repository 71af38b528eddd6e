from array import array
from itertools import accumulate

import pytest

from scaler.client.sinks import MapSink, SealedValue, SubmitSink
from scaler.errors import ClientQuitException, WorkerDiedError
from scaler.ids import BatchId, Incarnation, Range
from scaler.ledger.events import Resolve
from scaler.payload.exceptions import dump_exception
from scaler.payload.values import dump_value
from scaler.protocol import Cause, Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, RAISED, VALUE, ResultColumn

A = BatchId(Incarnation(1), 1)
DIED = Failure(Cause.DIED, "signal 9")


def done(lo: int, outcomes: list[tuple[int, bytes]], attempts: int = 1, base: int = 0) -> Resolve:
    ends = array("Q", accumulate((len(data) for _, data in outcomes), initial=base))[1:].tobytes()
    statuses, data = bytes(status for status, _ in outcomes), b"".join(data for _, data in outcomes)
    count = len(outcomes)
    return Resolve(A, ResultColumn(lo, count, base, statuses, bytes(4 * count), ends, b"", (data,)), "host", attempts)


def value(result: object) -> tuple[int, bytes]:
    return VALUE, dump_value(result)


def test_a_map_is_put_together_in_order_whatever_order_it_comes_in():
    sink = MapSink(A, "square")
    sink.resolve(done(3, [value(3), value(4)], base=100))
    sink.reject((Range(2, 3),), DIED)
    sink.resolve(done(0, [value(0), (RAISED, dump_exception(ValueError("x"), 0, "note"))], attempts=2))
    results, failed = sink.collect(5)
    assert (results[0], results[3:], failed) == (0, [3, 4], [1, 2])
    assert (repr(results[1]), results[1].__notes__) == ("ValueError('x')", ["note, attempt 2"])
    assert isinstance(results[2], WorkerDiedError)


def test_every_failure_tells_which_task_it_is_of():
    failed = FAILED, encode_failure(Failure(Cause.DIED, "signal 9", "host, worker 3"))
    mapped, sink = MapSink(A, "square"), SubmitSink(A, "square", lambda _batch, _index: None)
    futures = [sink.add()[1] for _ in range(4)]
    for one in (mapped, sink):
        one.resolve(done(0, [value(0), failed], attempts=2))
        one.reject((Range(2, 4),), DIED)
    results, _ = mapped.collect(4)
    for errors in (results[1:], [future.exception() for future in futures[1:]]):
        assert [error.__notes__ for error in errors] == [
            ["in task 0000000000000001-1-1 (square) on host, worker 3, attempt 2"],
            ["in task 0000000000000001-1-2 (square)"],
            ["in task 0000000000000001-1-3 (square)"],
        ]


def test_a_map_whose_client_left_raises():
    sink = MapSink(A, "square")
    sink.resolve(done(0, [value(0)]))
    sink.abort(ClientQuitException("left"))
    with pytest.raises(ClientQuitException, match="left"):
        sink.collect(2)


def test_futures_get_their_own_outcome():
    sink = SubmitSink(A, "square", lambda _batch, _index: None)
    futures = [sink.add()[1] for _ in range(5)]
    sink.resolve(
        done(0, [value("a"), value("b"), (RAISED, dump_exception(KeyError(1), 0, "note"))], attempts=3, base=50)
    )
    sink.reject((Range(3, 4),), DIED)
    sink.abort(ClientQuitException("left"))
    assert [future.result() for future in futures[:2]] == ["a", "b"]
    errors = [future.exception() for future in futures[2:]]
    assert [type(error) for error in errors] == [KeyError, WorkerDiedError, ClientQuitException]
    assert errors[0] is not None
    assert errors[0].__notes__ == ["note, attempt 3"]


def test_a_result_that_is_alone_is_not_copied():
    sink = SubmitSink(A, "square", lambda _batch, _index: None)
    _, future = sink.add()
    result = done(0, [value(bytes(100_000))], base=7)
    sink.resolve(result)
    assert isinstance(future._sealed, SealedValue)
    assert future._sealed._data is result.column.data[0]
    assert future.result() == bytes(100_000)


def test_a_future_that_is_given_up_is_told_and_gets_nothing():
    told = []
    sink = SubmitSink(A, "square", lambda batch, index: told.append((batch, index)))
    _, future = sink.add()
    assert future.cancel()
    sink.resolve(done(0, [value(1)]))
    assert told == [(A, 0)]
    assert future.cancelled()


def test_futures_learn_that_they_run():
    sink = SubmitSink(A, "square", lambda _batch, _index: None)
    _, first = sink.add()
    _, second = sink.add()
    sink.began((Range(0, 1), Range(7, 9)))
    assert (first.running(), second.running()) == (True, False)


def test_everybody_who_waited_for_a_client_that_left_has_an_error_of_his_own():
    sink = SubmitSink(A, "square", lambda _batch, _index: None)
    futures = [sink.add()[1] for _ in range(2)]
    sink.abort(ClientQuitException("left"))
    sink.abort(ClientQuitException("left again"))
    first, second = (future.exception() for future in futures)
    assert first is not second
    assert [str(error) for error in (first, second)] == ["left", "left"]


def test_in_a_forked_child_every_future_and_map_says_whose_it_is():
    sink, mapped = SubmitSink(A, "square", lambda _batch, _index: None), MapSink(A, "square")
    future = sink.add()[1]
    for one in (sink, mapped):
        one.disown(ClientQuitException("the parent's"))
    assert str(future.exception()) == "the parent's"
    with pytest.raises(ClientQuitException, match="the parent's"):
        mapped.collect(1)


def test_a_sink_is_awaited_until_its_last_future_is_done_or_given_up():
    seen = []
    sink = SubmitSink(A, "square", lambda _batch, _index: seen.append(sink.is_awaited))
    assert not sink.is_awaited
    (_, first), (_, second) = sink.add(), sink.add()
    sink.resolve(done(0, [value(1)]))
    assert (first.done(), sink.is_awaited) == (True, True)
    second.cancel()
    assert seen == [False]
