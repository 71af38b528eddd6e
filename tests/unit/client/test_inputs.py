"""Futures among the arguments of calls: what goes in the bytes, what goes beside them, and what is told of it later."""

import pickle
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from scaler.client.facts import Facts
from scaler.client.futures import ScalerFuture
from scaler.client.posting import Posted, PostedCall, PostedColumn, taken
from scaler.client.sinks import SealedError, SealedFailure, SealedValue
from scaler.errors import ClientQuitException, DeserializeObjectError, WorkerDiedError
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.ledger.events import BatchClosed, KnownOutcome, TasksAppended
from scaler.payload.calls import joined_column, pickle_call, single_column
from scaler.payload.exceptions import dump_exception
from scaler.payload.inputs import INLINE_BYTES, Found, Opener
from scaler.payload.values import dump_value
from scaler.protocol import Cause, Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES, RAISED, VALUE
from scaler.protocol.inputs import Inputs, input_frames

A, B = (BatchId(Incarnation(255), n) for n in (1, 2))
CANCELLED = KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "the task was cancelled")),))
DIED = Failure(Cause.DIED, "signal 9", attempts=2)
ERROR = dump_exception(KeyError("x"), 0, "in a task")


class Origin:
    def __init__(self, batch: BatchId = A) -> None:
        self._batch = batch

    def task_id(self, index: int) -> TaskId:
        return TaskId(self._batch, index)

    def unwant(self, index: int) -> None:
        """Nobody is told here."""


def made(index: int = 0, batch: BatchId = A) -> ScalerFuture:
    return ScalerFuture(Origin(batch), index)


def sealed_as(status: int, data: bytes, attempts: int = 1) -> SealedValue:
    return SealedValue(status, data, Facts(A, "f", 0.0, "", attempts), 0)


def value_of(value: Any, attempts: int = 1) -> SealedValue:
    return sealed_as(VALUE, dump_value(value), attempts)


def pickled(*args: Any) -> tuple[bytes, tuple[ScalerFuture, ...]]:
    """A call, and the futures whose values are not in its bytes."""
    with Found() as found:
        return pickle_call(args), found.take()


def opened(data: bytes, *values: Any) -> Any:
    frames = input_frames([list(range(len(values)))], [(dump_value(value),) for value in values])
    return Opener(Inputs.from_frames(1, frames)).open(0, data)


# ---- in the bytes, or beside them


def test_a_future_that_is_not_done_goes_beside_the_bytes():
    pending, running, cancelled = made(), made(), made()
    running.note_running()
    cancelled.cancel()
    data, futures = pickled(pending, [running], cancelled)
    assert futures == (pending, running, cancelled)
    assert opened(data, 1, 2, 3) == (1, [2], 3)
    assert [future.outcome() for future in futures] == [None, None, CANCELLED]


def test_a_small_value_goes_in_the_bytes_whether_it_was_opened_or_not():
    future = made()
    future.settle(value_of([1]))
    data, futures = pickled(future)
    assert (opened(data), futures) == (([1],), ())
    future.result().append(2)
    later, futures = pickled(future, future.result())
    assert (opened(data), opened(later), futures) == (([1],), ([1, 2], [1, 2]), ())
    first, second = opened(later)
    assert first is second


def test_a_large_value_that_was_not_opened_goes_beside_the_bytes_and_is_not_copied():
    future, size = made(), 5 * MAX_FRAME_BYTES
    sealed = value_of(bytes(size))
    future.settle(sealed)
    data, futures = pickled(future)
    assert (len(data) < INLINE_BYTES, futures) == (True, (future,))
    outcome = future.outcome()
    assert outcome is not None
    assert [len(frame) for frame in outcome.frames[:-1]] == [MAX_FRAME_BYTES] * 5
    assert len({id(memoryview(frame).obj) for frame in outcome.frames}) == 1
    assert pickle.loads(b"".join(outcome.frames)) == bytes(size)  # noqa: S301  # bytes of our own


def test_what_was_opened_and_changed_while_its_call_was_on_its_way_is_told_as_it_came():
    future = made()
    data, futures = pickled(future)
    future.settle(value_of([1], attempts=3))
    future.result().append(2)
    assert futures[0].outcome() == KnownOutcome(VALUE, (dump_value([1]),), 3)
    assert opened(data, [1]) == ([1],)


@pytest.mark.parametrize("is_opened", [False, True])
@pytest.mark.parametrize(
    ("sealed", "outcome", "kind"),
    [
        (sealed_as(RAISED, ERROR, 2), KnownOutcome(RAISED, (ERROR,), 2), KeyError),
        (SealedFailure(DIED), KnownOutcome(FAILED, (encode_failure(DIED),)), WorkerDiedError),
        (
            SealedError(ClientQuitException("left")),
            KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "left")),)),
            ClientQuitException,
        ),
        (sealed_as(VALUE, b"nonsense"), KnownOutcome(VALUE, (b"nonsense",)), DeserializeObjectError),
    ],
    ids=["an exception", "a failure", "a client that left", "a value that cannot be opened here"],
)
def test_what_has_no_value_here_is_told_as_it_came(
    sealed: SealedValue, outcome: KnownOutcome, kind: type[Exception], *, is_opened: bool
):
    future = made()
    future.settle(sealed)
    if is_opened:
        error = future.exception()
        assert type(error) is kind
        error.add_note("of the user's")
    assert pickled(future)[1] == (() if sealed.inline() and not is_opened else (future,))
    assert future.outcome() == outcome


def test_values_that_no_call_needs_are_not_kept_once_they_are_opened():
    future = made()
    future.settle(value_of([1]))
    pickled(future)
    future.result()
    assert (future._sealed, future._kept) == (None, None)


def test_a_call_may_be_pickled_at_any_moment_of_a_futures_life():
    """Three threads settle, open and pickle the same futures."""
    count = 3000
    futures = [made(index) for index in range(count)]
    sealed = [value_of([index]) if index % 2 else sealed_as(RAISED, ERROR) for index in range(count)]
    calls: list[tuple[bytes, tuple[ScalerFuture, ...]]] = []
    start = threading.Barrier(3)

    def act(action: Callable[[int], object]) -> threading.Thread:
        def actions() -> None:
            start.wait(10)
            for index in range(count):
                action(index)

        thread = threading.Thread(target=actions)
        thread.start()
        return thread

    threads = [
        act(lambda index: futures[index].settle(sealed[index])),
        act(lambda index: futures[index].exception(10)),
        act(lambda index: calls.append(pickled(futures[index]))),
    ]
    for thread in threads:
        thread.join(30)
    for index, (data, needed) in enumerate(calls):
        if needed:
            assert needed[0].outcome() == sealed[index].outcome()
        else:
            assert opened(data) == ([index],)
    assert all(needed for _, needed in calls[::2])


# ---- what the I/O thread tells the ledger


def call(batch: BatchId, index: int, *args: Any) -> PostedCall:
    return batch, index, *pickled(*args)


def test_calls_with_futures_are_told_with_the_names_of_their_tasks():
    first, second = made(7), made(8, B)
    calls = [call(B, 0, 1), call(B, 1, first, second), call(B, 2, [second])]
    posted: deque[Posted] = deque([*calls, BatchClosed(B)])
    needs = {1: (TaskId(A, 7), TaskId(B, 8)), 2: (TaskId(B, 8),)}
    assert taken(posted) == [
        TasksAppended(B, joined_column(0, [data for _, _, data, _ in calls]), needs),
        BatchClosed(B),
    ]
    assert not posted


def test_a_call_alone_is_told_so_too():
    one, other = call(A, 0, 1), call(B, 5, made(7))
    assert taken(deque([one, other])) == [
        TasksAppended(A, single_column(0, one[2])),
        TasksAppended(B, single_column(5, other[2]), {5: (TaskId(A, 7),)}),
    ]


def test_what_is_known_of_futures_is_told_once_however_many_calls_need_them():
    done, failed, pending = made(1), made(2), made(3)
    calls = [call(B, 0, done, failed), call(B, 1, failed, pending)]
    done.settle(value_of("late"))
    failed.settle(SealedFailure(DIED))
    [event] = taken(deque(calls))
    assert isinstance(event, TasksAppended)
    assert event.known == (
        (TaskId(A, 1), KnownOutcome(VALUE, (dump_value("late"),))),
        (TaskId(A, 2), KnownOutcome(FAILED, (encode_failure(DIED),))),
    )


def test_columns_of_a_map_are_told_in_their_turn():
    future = made(4)
    data, futures = pickled(future)
    column = single_column(3, data)
    assert taken(deque([PostedColumn(B, column, {3: futures})])) == [TasksAppended(B, column, {3: (TaskId(A, 4),)})]
    assert taken(deque([call(A, 0), PostedColumn(B, column, {3: futures}), call(A, 1)])) == [
        TasksAppended(A, single_column(0, pickle_call(()))),
        TasksAppended(B, column, {3: (TaskId(A, 4),)}),
        TasksAppended(A, single_column(1, pickle_call(()))),
    ]


@pytest.mark.parametrize("later", [call(B, 1, 0), call(A, 5, 0), call(A, 1, bytes(MAX_FRAME_BYTES))])
def test_calls_that_are_no_neighbours_or_too_large_travel_apart(later: PostedCall):
    first = call(A, 0, 0)
    assert taken(deque([first, later])) == [
        TasksAppended(A, single_column(0, first[2])),
        TasksAppended(later[0], single_column(later[1], later[2])),
    ]
