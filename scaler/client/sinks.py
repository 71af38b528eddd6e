"""Where results go: the I/O thread hands each outcome to the sink of its batch, still pickled, and goes on.

`SubmitSink` settles futures; `MapSink` queues columns for the thread that waits in `map`.
"""

import copy
import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from scaler.client.futures import ScalerFuture
from scaler.client.waits import wait_by
from scaler.errors import ScalerError
from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.events import Resolve
from scaler.payload.values import (
    Outcome,
    exception_from_failure,
    load_column,
    load_value,
)
from scaler.protocol import Failure
from scaler.protocol.columns import FAILED, REFERENCE, VALUE, words


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

    __slots__ = ("_attempts", "_data", "_status", "_task", "failed")

    def __init__(self, status: int, data: bytes, attempts: int, task: str) -> None:
        self._attempts = attempts
        self._task = task
        self._status = status
        self._data = data
        self.failed = status not in (VALUE, REFERENCE)

    def open(self) -> Outcome:
        return load_value(self._status, self._data, self._attempts, self._task)

    def pickled(self) -> bytes | None:
        return self._data if self._status == VALUE else None


class SealedError:
    """An outcome that is an error of ours; each who asks has one of his own, since raising it changes it."""

    __slots__ = ("_error",)

    failed = True

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def open(self) -> Outcome:
        return Outcome(None, copy.copy(self._error))

    def pickled(self) -> bytes | None:
        return None


def _told(batch: BatchId, name: str, index: int) -> str:
    """Which task it is and of what function, as workers say it of what tasks raise."""
    return f"in task {TaskId(batch, index)} ({name})"


class SubmitSink:
    """The futures of a batch that `submit` appends to; `name` is what its function is called."""

    def __init__(self, batch: BatchId, name: str, unwant: Callable[[BatchId, int], None]) -> None:
        self.batch = batch
        self._name = name
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
        # a large result is alone, and worth no second copy
        view = memoryview(data) if column.count > 1 else data
        take = self._futures.pop
        start = column.base
        for index, status, end in zip(
            range(column.lo, column.hi),
            column.statuses,
            words(column.ends),
            strict=True,
        ):
            future = take(index, None)
            if future is not None:
                task = _told(self.batch, self._name, index) if status == FAILED else ""
                value = bytes(view[start - column.base : end - column.base])
                future.settle(SealedValue(status, value, done.attempts, task))
            start = end

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        for lo, hi in ranges:
            for index in range(lo, hi):
                future = self._futures.pop(index, None)
                if future is not None:
                    task = _told(self.batch, self._name, index)
                    future.settle(SealedError(exception_from_failure(failure, task=task)))

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


class MapSink:
    """The columns of one `map`, for the one thread that waits for them; `name` is what its function is called."""

    def __init__(self, batch: BatchId, name: str) -> None:
        self.batch = batch
        self._tell = functools.partial(_told, batch, name)
        self._parts: SimpleQueue[Part] = SimpleQueue()

    def resolve(self, done: Resolve) -> None:
        self._parts.put(done)

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        self._parts.put((tuple(ranges), failure))

    def began(self, ranges: Iterable[Range]) -> None:
        """Nobody can ask a plain `map` what runs."""

    def abort(self, error: ScalerError) -> None:
        self._parts.put(error)

    disown = abort
    #: as long as its batch is not forgotten
    is_awaited = True

    def collect(self, size: int) -> tuple[list[Any], list[int]]:
        """Wait for all `size` outcomes: results in order, exceptions among them at the indices listed."""
        results: list[Any] = [None] * size
        failed: list[int] = []
        missing = size
        while missing:
            part = self._next_part()
            if isinstance(part, ScalerError):
                raise part
            missing -= self._place(part, results, failed)
        return results, sorted(failed)

    def _next_part(self) -> Part:
        found: list[Part] = []

        def attempt(seconds: float | None) -> bool:
            with suppress(Empty):
                found.append(self._parts.get(timeout=seconds))
            return bool(found)

        wait_by(attempt, None)
        return found[0]

    def _place(
        self,
        part: Resolve | tuple[tuple[Range, ...], Failure],
        results: list[Any],
        failed: list[int],
    ) -> int:
        if isinstance(part, Resolve):
            column = part.column
            values, wrong = load_column(column, part.attempts, self._tell)
            results[column.lo : column.hi] = values
            failed.extend(wrong)
            return column.count
        ranges, failure = part
        for lo, hi in ranges:
            failed.extend(range(lo, hi))
            results[lo:hi] = [exception_from_failure(failure, task=self._tell(index)) for index in range(lo, hi)]
        return sum(hi - lo for lo, hi in ranges)
