"""Where results go: the I/O thread hands each outcome to the sink of its batch, still pickled, and goes on.

`SubmitSink` settles futures; `MapSink` queues columns for the thread that waits in `map`.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Protocol

from scaler.client.futures import ScalerFuture
from scaler.errors import ScalerError
from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.events import Resolve
from scaler.payload.values import (
    Outcome,
    exception_from_failure,
    load_column,
    load_value,
)
from scaler.protocol import Cause, Failure
from scaler.protocol.columns import REFERENCE, VALUE, words


class Sink(Protocol):
    """Takes what becomes of the tasks of one batch; called by the I/O thread alone, each index once."""

    batch: BatchId

    def resolve(self, done: Resolve) -> None:
        """These tasks are done."""
        ...

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        """These tasks ended for one reason, without a result."""
        ...

    def began(self, ranges: Iterable[Range]) -> None:
        """These tasks run now."""
        ...

    def abort(self, error: ScalerError) -> None:
        """Nothing more will come: the client left or lost its scheduler."""
        ...

    def disown(self, error: ScalerError) -> None:
        """In a forked child, where no other thread runs: outcomes go to the parent alone."""
        ...

    @property
    def is_awaited(self) -> bool:
        """Whether there are tasks without an outcome."""
        ...


class SealedValue:
    """One outcome as it came off the wire."""

    __slots__ = ("_attempts", "_data", "_status", "failed")

    def __init__(self, status: int, data: bytes, attempts: int) -> None:
        self._attempts = attempts
        self._status = status
        self._data = data
        self.failed = status not in (VALUE, REFERENCE)

    def open(self) -> Outcome:
        return load_value(self._status, self._data, self._attempts)


class SealedError:
    """An outcome that is an error of ours; each who asks has one of his own, since raising it changes it."""

    __slots__ = ("_error",)

    failed = True

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def open(self) -> Outcome:
        return Outcome(None, copy.copy(self._error))


def sealed_value(done: Resolve, index: int) -> SealedValue:
    """The outcome of one task of a column, with bytes of its own."""
    one = done.column.slice(index, index + 1)
    return SealedValue(memoryview(one.statuses)[0], b"".join(one.data), done.attempts)


def end_future(future: ScalerFuture, failure: Failure) -> None:
    """A task ended without a result: its future is cancelled if that is why, else it fails."""
    if failure.cause is Cause.CANCELLED:
        future.revoke()
    else:
        future.settle(SealedError(exception_from_failure(failure)))


class SubmitSink:
    """The futures of a batch that `submit` appends to."""

    def __init__(self, batch: BatchId, unwant: Callable[[BatchId, int], None]) -> None:
        self.batch = batch
        self._unwant = unwant
        self._next_index = 0
        #: all and only futures without an outcome
        self._futures: dict[int, ScalerFuture] = {}

    def add(self) -> tuple[int, ScalerFuture]:
        """The next index and its future; the caller holds the client's lock."""
        index = self._next_index
        self._next_index = index + 1
        future = self._futures[index] = ScalerFuture(self, index)
        return index, future

    def task_id(self, index: int) -> TaskId:
        return TaskId(self.batch, index)

    def unwant(self, index: int) -> None:
        self._futures.pop(index, None)
        self._unwant(self.batch, index)

    def resolve(self, done: Resolve) -> None:
        column = done.column
        data = column.data[0] if len(column.data) == 1 else b"".join(column.data)
        view, take = memoryview(data), self._futures.pop
        start = column.base
        for index, status, end in zip(
            range(column.lo, column.hi),
            column.statuses,
            words(column.ends),
            strict=True,
        ):
            future = take(index, None)
            if future is not None:
                future.settle(SealedValue(status, bytes(view[start - column.base : end - column.base]), done.attempts))
            start = end

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        for lo, hi in ranges:
            for index in range(lo, hi):
                future = self._futures.pop(index, None)
                if future is not None:
                    end_future(future, failure)

    def began(self, ranges: Iterable[Range]) -> None:
        for lo, hi in ranges:
            for index in range(lo, hi):
                future = self._futures.get(index)
                if future is not None:
                    future.note_running()

    def abort(self, error: ScalerError) -> None:
        # the thread that submits may do so too
        for index in list(self._futures):
            future = self._futures.pop(index, None)
            if future is not None:
                future.settle(SealedError(error))

    def disown(self, error: ScalerError) -> None:
        sealed = SealedError(error)
        for future in self._futures.values():
            future.disown(sealed)
        self._futures.clear()

    @property
    def is_awaited(self) -> bool:
        return bool(self._futures)


Part = Resolve | tuple[tuple[Range, ...], Failure] | ScalerError


def opened(part: Resolve | tuple[tuple[Range, ...], Failure]) -> Iterator[tuple[int, list[Any], list[int]]]:
    """For each range of a part its first index, its values, and the indices of those that are exceptions."""
    if isinstance(part, Resolve):
        yield (part.column.lo, *load_column(part.column, part.attempts))
        return
    ranges, failure = part
    for lo, hi in ranges:
        yield lo, [exception_from_failure(failure) for _ in range(lo, hi)], list(range(lo, hi))


class MapSink:
    """The columns of one `map` or stream, for the one thread that waits for them."""

    def __init__(self, batch: BatchId) -> None:
        self.batch = batch
        #: how many outcomes are expected, how many came, and how many of these are failures
        self.size = self.done = self.failed = 0
        self.result_bytes = 0
        self._parts: SimpleQueue[Part] = SimpleQueue()

    def expect(self, hi: int) -> None:
        self.size = hi

    def resolve(self, done: Resolve) -> None:
        self.result_bytes += done.column.size_bytes
        self.failed += len(done.column.unsuccessful())
        self.done += done.column.count
        self._parts.put(done)

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        rejected = tuple(ranges)
        count = sum(hi - lo for lo, hi in rejected)
        self.failed += count
        self.done += count
        self._parts.put((rejected, failure))

    def began(self, ranges: Iterable[Range]) -> None:
        """Nobody can ask a plain `map` what runs."""

    def abort(self, error: ScalerError) -> None:
        self._parts.put(error)

    disown = abort

    @property
    def is_awaited(self) -> bool:
        return self.done < self.size

    def arrived(self) -> Iterator[Part]:
        """What has come and was not taken yet."""
        while not self._parts.empty():
            yield self._parts.get()

    def wait(self) -> Part:
        """What comes next, whenever it does."""
        return self._parts.get()

    def collect(self) -> tuple[list[Any], list[int]]:
        """Wait for all that is expected: results in order, exceptions among them at the indices listed."""
        results: list[Any] = [None] * self.size
        failed: list[int] = []
        missing = self.size
        while missing:
            part = self.wait()
            if isinstance(part, ScalerError):
                raise part
            for lo, values, wrong in opened(part):
                results[lo : lo + len(values)] = values
                failed += wrong
                missing -= len(values)
        return results, sorted(failed)
