"""Where results go: the I/O thread hands each outcome to the sink of its batch, still pickled, and goes on.

`SubmitSink` settles futures; `MapSink` queues columns for the thread that waits in `map`.
"""

import contextlib
import copy
import functools
import time
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from scaler.client.facts import Facts, told
from scaler.client.failures import Failing
from scaler.client.futures import ScalerFuture, Sealed
from scaler.client.stored import StoredValue
from scaler.client.waits import taken_from
from scaler.errors import ClientQuitException, ScalerError
from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.events import Again, KnownOutcome, Resolve
from scaler.payload.inputs import inline
from scaler.payload.values import (
    Outcome,
    exception_from_failure,
    load_column,
    load_value,
)
from scaler.protocol import Cause, Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, SUCCESSES, VALUE, frames_of, words


class Sink(Protocol):
    """Takes what becomes of the tasks of one batch; called by the I/O thread alone, each index once."""

    batch: BatchId

    def resolve(self, done: Resolve) -> None:
        """These tasks are done."""
        ...

    def reject(self, ranges: Iterable[Range], failure: Failure, again: Again | None = None) -> None:
        """These tasks ended for one reason, without a result; `again` has what it takes to submit them anew."""
        ...

    def began(self, ranges: Iterable[Range]) -> None:
        """These tasks run now."""
        ...

    def abort(self, error: ScalerError) -> None:
        """Nothing more will come: the client left or lost its scheduler."""
        ...

    def clear(self) -> None:
        """All work of the client is dropped, this too; called by the thread that asked for it."""
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

    __slots__ = ("_data", "_facts", "_index", "_status", "failed")

    is_far = False

    def __init__(self, status: int, data: bytes, facts: Facts, index: int) -> None:
        self._status = status
        self._data = data
        self._facts = facts
        self._index = index
        self.failed = status not in SUCCESSES

    def open(self) -> Outcome:
        task = self._facts.told(self._index) if self._status == FAILED else ""
        return load_value(self._status, self._data, self._facts.attempts, task)

    def inline(self) -> bytes | None:
        return self._data if self._status == VALUE and len(self._data) <= inline.most_bytes else None

    def outcome(self) -> KnownOutcome:
        return KnownOutcome(self._status, frames_of(self._data), self._facts.attempts)


class SealedStored:
    """A value that lies where it was made."""

    __slots__ = ("_kept",)

    failed = False

    def __init__(self, kept: StoredValue) -> None:
        self._kept = kept

    @property
    def is_far(self) -> bool:
        return self._kept.is_far

    def open(self) -> Outcome:
        return self._kept.open()

    def inline(self) -> bytes | None:
        return None

    def outcome(self) -> KnownOutcome:
        return self._kept.outcome()


class SealedFailure:
    """A failure that the scheduler told; each who asks has an exception of his own, since raising it changes it."""

    __slots__ = ("_failure", "_task")

    failed = True
    is_far = False

    def __init__(self, failure: Failure, task: str = "") -> None:
        self._failure = failure
        self._task = task

    def open(self) -> Outcome:
        return Outcome(None, exception_from_failure(self._failure, task=self._task))

    def inline(self) -> bytes | None:
        return None

    def outcome(self) -> KnownOutcome:
        return KnownOutcome(FAILED, (encode_failure(self._failure),))


class SealedError:
    """An outcome that is an error of ours; each who asks has one of his own, since raising it changes it."""

    __slots__ = ("_error",)

    failed = True
    is_far = False

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def open(self) -> Outcome:
        return Outcome(None, copy.copy(self._error))

    def inline(self) -> bytes | None:
        return None

    def outcome(self) -> KnownOutcome:
        return SealedFailure(Failure(Cause.CANCELLED, str(self._error))).outcome()


def sealed_value(done: Resolve, facts: Facts, index: int) -> Sealed:
    """The outcome of one task of a column, with bytes of its own."""
    if index in done.kept:
        return SealedStored(done.kept[index])
    one = done.column.slice(index, index + 1)
    return SealedValue(memoryview(one.statuses)[0], b"".join(one.data), facts, index)


class Line(Protocol):
    """What a sink tells the client of."""

    def unwant(self, batch: BatchId, index: int) -> None:
        """Nobody waits for the result of this task any more."""
        ...

    def give_up(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        """Nobody waits for the results of these tasks any more."""
        ...

    def forget(self, batch: BatchId) -> None:
        """No outcome of this batch will come any more."""
        ...

    def note_failed(self, future: ScalerFuture) -> None:
        """This one has failed."""
        ...

    def note_failed_among(self, tasks: Failing) -> None:
        """Some of these have failed."""
        ...

    def explain(self, task: TaskId) -> str:
        """Ask where a task stands."""
        ...

    def ask_to_cancel(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        """Ask the scheduler to cancel these if they have not begun."""
        ...

    def acknowledged(self, batch: BatchId, hi: int, timeout: float | None) -> None:
        """Wait until the tasks below `hi` are on disk."""
        ...


class SubmitSink:
    """The futures of a batch that `submit` appends to; its tasks are called `name`."""

    def __init__(self, batch: BatchId, line: Line, name: str) -> None:
        self.batch = batch
        self._line = line
        self._name = name
        #: so many futures it has had
        self.size = 0
        #: what its function takes
        self.function_bytes = 0
        self.was_revoked = False  # some of it was cancelled, and not by us
        self._is_closed = False
        #: all and only futures without an outcome
        self._futures: dict[int, ScalerFuture] = {}
        #: the bytes of the last error: tasks that need one that failed fail with the same
        self._error = b""

    def add(self, kind: type[ScalerFuture] = ScalerFuture) -> tuple[int, ScalerFuture]:
        """The next index and its future, of this kind; the caller holds the client's lock."""
        index = self.size
        self.size = index + 1
        future = self._futures[index] = kind(self, index)
        return index, future

    def withdraw(self, index: int) -> None:
        """Give up this future, if there is one, which nobody has."""
        if index in self._futures:
            self.unwant(index)

    def close(self) -> None:
        """No future will be added."""
        self._is_closed = True
        self._settle()

    def _settle(self) -> None:
        if self._is_closed and not self._futures:
            self._line.forget(self.batch)

    def task_id(self, index: int) -> TaskId:
        return TaskId(self.batch, index)

    def unwant(self, index: int) -> None:
        self._futures.pop(index, None)
        self._line.unwant(self.batch, index)
        self._settle()

    def explain(self, index: int) -> str:
        return self._line.explain(TaskId(self.batch, index))

    def ask_to_cancel(self, index: int) -> None:
        self._line.ask_to_cancel(self.batch, (Range(index, index + 1),))

    def acknowledged(self, index: int, timeout: float | None) -> None:
        self._line.acknowledged(self.batch, index + 1, timeout)

    def resolve(self, done: Resolve) -> None:
        column, facts = done.column, Facts.of_results(done, self._name, time.monotonic())
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
                sealed: Sealed
                if index in done.kept:
                    sealed = SealedStored(done.kept[index])
                else:
                    content = bytes(view[start - column.base : end - column.base])
                    sealed = SealedValue(status, content if status in SUCCESSES else self._once(content), facts, index)
                self._hand_over(future, sealed, facts, done.again)
            start = end
        self._settle()

    def _once(self, error: bytes) -> bytes:
        """An error's bytes, in memory once for all that fail alike."""
        if error != self._error:
            self._error = error
        return self._error

    def reject(self, ranges: Iterable[Range], failure: Failure, again: Again | None = None) -> None:
        facts = Facts.of_failure(self.batch, self._name, failure, time.monotonic())
        for lo, hi in ranges:
            for index in range(lo, hi):
                future = self._futures.pop(index, None)
                if future is not None and failure.cause is Cause.CANCELLED:
                    self.was_revoked = True
                    future.revoke()
                elif future is not None:
                    self._hand_over(future, SealedFailure(failure, facts.told(index)), facts, again)
        self._settle()

    def _hand_over(self, future: ScalerFuture, sealed: Sealed, facts: Facts, again: Again | None) -> None:
        if sealed.failed and again is not None:
            future.keep_call(again)
            self._line.note_failed(future)
        future.settle(sealed, facts)

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

    def clear(self) -> None:
        self._is_closed = True
        for future in list(self._futures.values()):
            future.give_up()
        self._settle()

    def disown(self, error: ScalerError) -> None:
        sealed = SealedError(error)
        for future in self._futures.values():
            future.disown(sealed)
        self._futures.clear()

    @property
    def is_awaited(self) -> bool:
        return bool(self._futures)


class Begun:
    """Some tasks run now."""


Part = Resolve | tuple[tuple[Range, ...], Failure] | Begun | ScalerError


class MapSink:
    """The columns of one `map` or stream, for the one thread that waits for them; its tasks are called `name`."""

    def __init__(self, batch: BatchId, name: str) -> None:
        self.batch = batch
        self._tell = functools.partial(told, batch, name)
        #: how many outcomes are expected, how many came, and how many of these are failures
        self.size = self.done = self.failed = 0
        self.result_bytes = 0
        #: so many ran at the same time, of those that run long enough to be told of
        self.busy = 0
        self._begun = 0
        self._parts: SimpleQueue[Part] = SimpleQueue()
        self._is_dropped = False

    def expect(self, hi: int) -> None:
        self.size = hi

    def resolve(self, done: Resolve) -> None:
        self.result_bytes += done.column.size_bytes + sum(kept.size_bytes for kept in done.kept.values())
        self.failed += len(done.column.unsuccessful())
        self.done += done.column.count
        self._come(done)

    def reject(self, ranges: Iterable[Range], failure: Failure, again: Again | None = None) -> None:  # noqa: ARG002  # a map is submitted anew as a whole
        rejected = tuple(ranges)
        count = sum(hi - lo for lo, hi in rejected)
        self.failed += count
        self.done += count
        self._come((rejected, failure))

    def began(self, ranges: Iterable[Range]) -> None:
        self._begun += sum(hi - lo for lo, hi in ranges)
        busy = self._begun - self.done
        if busy > self.busy:
            self.busy = busy
            self._come(Begun())

    def abort(self, error: ScalerError) -> None:
        self._come(error)

    def clear(self) -> None:
        self._come(ClientQuitException("its work was dropped by clear()"))

    disown = abort

    @property
    def is_awaited(self) -> bool:
        return self.done < self.size

    def _come(self, part: Part) -> None:
        self._parts.put(part)
        if self._is_dropped:  # maybe since a moment ago
            self._empty()

    def drop(self) -> None:
        """Hold nothing of what has come or is yet to come: nobody will take it."""
        self._is_dropped = True
        self._empty()

    def _empty(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._parts.get_nowait()

    def arrived(self) -> Iterator[Part]:
        """What has come and was not taken yet."""
        while not self._parts.empty():
            yield self._parts.get()

    def wait(self, timeout_s: float | None = None) -> Part:
        """What comes next, whenever it does; `TimeoutError` after so many seconds."""
        try:
            return taken_from(self._parts, timeout_s)
        except Empty:
            raise TimeoutError(f"the next result is not there in time: {self.done} of {self.size} have come") from None

    def collect(self) -> tuple[list[Any], list[int]]:
        """Wait for all that is expected: results in order, exceptions among them at the indices listed."""
        results: list[Any] = [None] * self.size
        failed: list[int] = []
        missing = self.size
        while missing:
            part = self.wait()
            if isinstance(part, ScalerError):
                raise part
            if isinstance(part, Begun):
                continue
            for lo, values, wrong in self.opened(part):
                results[lo : lo + len(values)] = values
                failed += wrong
                missing -= len(values)
        return results, sorted(failed)

    def opened(self, part: Resolve | tuple[tuple[Range, ...], Failure]) -> Iterator[tuple[int, list[Any], list[int]]]:
        """For each range of a part its first index, its values, and the indices of those that are exceptions."""
        if isinstance(part, Resolve):
            yield (part.column.lo, *load_column(part.column, part.attempts, self._tell, part.kept))
            return
        ranges, failure = part
        for lo, hi in ranges:
            errors = [exception_from_failure(failure, task=self._tell(index)) for index in range(lo, hi)]
            yield lo, errors, list(range(lo, hi))
