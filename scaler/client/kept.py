"""The outcomes of one `map_async`, kept as the columns they came in; futures are made of them when asked for.

The I/O thread puts outcomes in, any thread looks at them; one lock guards all. It is one that can be taken again, since
a finalizer may cancel a future in the midst of anything.
"""

import copy
import threading
import weakref
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from operator import attrgetter
from typing import Any

from scaler.client.futures import ScalerFuture, Sealed
from scaler.client.sinks import SealedError, sealed_value
from scaler.errors import ScalerError
from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.events import Resolve
from scaler.payload.values import Outcome, exception_from_failure, load_column
from scaler.protocol import Cause, Failure
from scaler.ranges import RangeSet

_start = attrgetter("lo")


class _Part:
    """The outcomes of [lo, hi): a column as it came until somebody wants all of it, or one reason for all of them."""

    __slots__ = ("_done", "_reason", "_values", "_wrong", "hi", "lo")

    def __init__(self, lo: int, hi: int, done: Resolve | None, reason: BaseException | None = None) -> None:
        self.lo = lo
        self.hi = hi
        self._done = done
        self._reason = reason
        self._values: list[Any] = []
        self._wrong: frozenset[int] = frozenset()

    @property
    def is_cancelled(self) -> bool:
        return isinstance(self._reason, CancelledError)

    def failures(self) -> int:
        done = self._done
        return self.hi - self.lo if done is None else len(done.column.unsuccessful())

    def sealed(self, index: int) -> Sealed:
        done = self._done
        if done is not None:
            return sealed_value(done, index)
        if self._reason is not None:
            return SealedError(self._reason)
        return _Opened(self._values[index - self.lo], failed=index in self._wrong)

    def load(self) -> tuple[list[Any], list[int]]:
        """All values, exceptions among them at the indices listed; the column is let go of."""
        if self._reason is not None:
            indices = range(self.lo, self.hi)
            return [copy.copy(self._reason) for _ in indices], list(indices)
        done = self._done
        if done is not None:  # another thread may do the same
            self._values, wrong = load_column(done.column, done.attempts)
            self._wrong = frozenset(wrong)
            self._done = None
        return self._values, sorted(self._wrong)


class _Opened:
    """An outcome that was opened with all of its part."""

    __slots__ = ("_value", "failed")

    def __init__(self, value: Any, *, failed: bool) -> None:
        self._value = value
        self.failed = failed

    def open(self) -> Outcome:
        return Outcome(None, self._value) if self.failed else Outcome(self._value)


class KeptResults:
    """Sink and origin of the futures of one `map_async`."""

    def __init__(
        self,
        batch: BatchId,
        unwant: Callable[[BatchId, tuple[Range, ...]], None],
        forget: Callable[[BatchId], None],
    ) -> None:
        self.batch = batch
        self._unwant = unwant
        self._forget = forget
        self._lock = threading.RLock()
        self.size = 0
        #: how many have ended, and how many of those without a value
        self.done = 0
        self.failed = 0
        self._is_whole = False
        self._over = threading.Event()
        #: all and only indices without an outcome
        self._pending = RangeSet()
        self._running = RangeSet()
        #: sorted, disjoint: all and only indices with an outcome
        self._parts: list[_Part] = []
        #: futures that were asked for: those without an outcome are kept, of the others those that somebody holds
        self._waiting: dict[int, ScalerFuture] = {}
        self._made: weakref.WeakValueDictionary[int, ScalerFuture] = weakref.WeakValueDictionary()
        self._on_finished: list[Callable[[Iterable[Range]], object]] = []
        self._on_over: list[Callable[[], object]] = []

    # ---- filled by the thread that draws

    def expect(self, hi: int) -> None:
        """Calls up to `hi` are on their way; told before they are posted."""
        with self._lock:
            self._pending.add(self.size, hi)
            self.size = hi

    def complete(self) -> None:
        """No more calls follow."""
        with self._lock:
            self._is_whole = True
        self._look()

    # ---- called by the I/O thread

    def resolve(self, done: Resolve) -> None:
        column = done.column
        self._end((Range(column.lo, column.hi),), lambda lo, hi: _Part(lo, hi, _slice(done, lo, hi)))

    def reject(self, ranges: Iterable[Range], failure: Failure) -> None:
        is_cancelled = failure.cause is Cause.CANCELLED
        reason = CancelledError() if is_cancelled else exception_from_failure(failure)
        self._end(ranges, lambda lo, hi: _Part(lo, hi, None, reason))

    def began(self, ranges: Iterable[Range]) -> None:
        begun: list[ScalerFuture] = []
        with self._lock:
            for part in (part for lo, hi in ranges for part in self._pending.within(lo, hi)):
                self._running.add(*part)
                begun += [self._waiting[index] for index in self._waited_for(*part)]
        for future in begun:
            future.note_running()

    def abort(self, error: ScalerError) -> None:
        self._end(self._pending.ranges(), lambda lo, hi: _Part(lo, hi, None, error))

    def disown(self, error: ScalerError) -> None:
        self._lock = threading.RLock()  # a thread of the parent may have held it
        self._over = threading.Event()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.disown(SealedError(error))
        self._on_finished, self._on_over = [], []
        self.abort(error)

    @property
    def is_awaited(self) -> bool:
        return bool(self._pending)

    # ---- asked by others

    def task_id(self, index: int) -> TaskId:
        return TaskId(self.batch, index)

    def unwant(self, index: int) -> None:
        """A future was cancelled."""
        self._give_up((Range(index, index + 1),))

    def cancel(self) -> bool:
        """Give up all that has not ended, running or not; whether there was anything."""
        return bool(self._give_up(self._pending.ranges()))

    def _give_up(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        given_up = self._end(ranges, lambda lo, hi: _Part(lo, hi, None, CancelledError()))
        if given_up:
            self._unwant(self.batch, given_up)
        return given_up

    def future(self, index: int) -> ScalerFuture:
        """The future of one task, the same as long as anybody holds it or it is not done."""
        with self._lock:
            future = self._made.get(index)
            if future is not None:
                return future
            future = self._made[index] = ScalerFuture(self, index)
            if index in self._pending:
                self._waiting[index] = future
                if index in self._running:
                    future.note_running()
                return future
            _settle(future, self._parts[bisect_right(self._parts, index, key=_start) - 1], index)
            return future

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether all have ended, after so many seconds at most."""
        return self._over.wait(timeout_s)

    def is_over(self) -> bool:
        """Whether all have ended."""
        return self._over.is_set()

    def load(self) -> tuple[list[Any], list[int]]:
        """All outcomes, once all have ended: results in order, exceptions among them at the indices listed."""
        results: list[Any] = []
        failed: list[int] = []
        for part in self._parts:
            values, wrong = part.load()
            results += values
            failed += wrong
        return results, failed

    def tell_finished(self, listener: Callable[[Iterable[Range]], object]) -> None:
        """Tell of all that has ended, now and later, each index once."""
        with self._lock:
            if not self._over.is_set():
                self._on_finished.append(listener)
            ended = tuple(Range(part.lo, part.hi) for part in self._parts)
        if ended:
            listener(ended)

    def tell_over(self, listener: Callable[[], object]) -> None:
        """Tell once all have ended; at once if they have."""
        with self._lock:
            self._on_over.append(listener)
        self._look()

    # ---- ends

    def _end(self, ranges: Iterable[Range], make: Callable[[int, int], _Part]) -> tuple[Range, ...]:
        """What of the ranges was pending ends so; returns it."""
        told: list[tuple[ScalerFuture, _Part, int]] = []
        with self._lock:
            ended = tuple(part for lo, hi in tuple(ranges) for part in self._pending.remove(lo, hi))
            for lo, hi in ended:
                part = make(lo, hi)
                self._keep(part)
                self._running.remove(lo, hi)
                told += [(self._waiting.pop(index), part, index) for index in self._waited_for(lo, hi)]
            listeners = list(self._on_finished) if ended else []
        for future, part, index in told:
            _settle(future, part, index)
        for listener in listeners:
            listener(ended)
        self._look()
        return ended

    def _keep(self, part: _Part) -> None:
        if self._parts and self._parts[-1].lo > part.lo:
            insort(self._parts, part, key=_start)
        else:
            self._parts.append(part)
        self.done += part.hi - part.lo
        self.failed += part.failures()

    def _waited_for(self, lo: int, hi: int) -> list[int]:
        waiting = self._waiting
        if len(waiting) < hi - lo:
            return [index for index in waiting if lo <= index < hi]
        return [index for index in range(lo, hi) if index in waiting]

    def _look(self) -> None:
        """Tell whoever waits for the end, if it has come."""
        with self._lock:
            if self._pending or not self._is_whole:
                return
            listeners, self._on_over = self._on_over, []
            self._on_finished = []
            self._over.set()
        self._forget(self.batch)
        for listener in listeners:
            listener()


def _slice(done: Resolve, lo: int, hi: int) -> Resolve:
    column = done.column.slice(lo, hi)
    return done if column is done.column else Resolve(done.batch, column, done.place, done.attempts)


def _settle(future: ScalerFuture, part: _Part, index: int) -> None:
    if part.is_cancelled:
        future.revoke()
    else:
        future.settle(part.sealed(index))
