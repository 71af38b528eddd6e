"""The outcomes of one `map_async`, kept as the columns they came in; futures are made of them when asked for.

The I/O thread puts outcomes in, any thread looks at them; one lock guards all. It is one that can be taken again, since
a finalizer may cancel a future in the midst of anything.
"""

import copy
import threading
import time
import weakref
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from operator import attrgetter
from typing import Any

from scaler.client.facts import Facts, told
from scaler.client.futures import ScalerFuture, Sealed, call_where_they_may_wait
from scaler.client.sinks import Line, SealedError, sealed_value
from scaler.client.waits import wait_by
from scaler.errors import ScalerError
from scaler.ids import BatchId, Range, TaskId
from scaler.ledger.events import Again, KnownOutcome, Resolve
from scaler.payload.values import Outcome, dump_outcome, exception_from_failure, load_column
from scaler.protocol import Cause, Failure
from scaler.protocol.columns import frames_of
from scaler.ranges import RangeSet

#: makes the exception of one task
Reason = Callable[[int], BaseException]

_start = attrgetter("lo")


class _Part:
    """The outcomes of [lo, hi): a column as it came until somebody wants all of it, or one reason for all of them."""

    __slots__ = ("_done", "_reason", "_values", "_wrong", "again", "facts", "hi", "is_cancelled", "lo")

    def __init__(
        self,
        lo: int,
        hi: int,
        *,
        done: Resolve | None = None,
        reason: Reason | None = None,
        facts: Facts | None = None,
        again: Again | None = None,
    ) -> None:
        self.lo = lo
        self.hi = hi
        self.facts = facts
        self.again = again
        self.is_cancelled = reason is _cancelled
        self._done = done
        self._reason = reason
        self._values: list[Any] = []
        self._wrong = frozenset(range(lo, hi) if done is None else done.column.unsuccessful())

    def failures(self) -> list[int]:
        return sorted(self._wrong)

    @property
    def is_far(self) -> bool:
        """Whether some of its values have to be fetched."""
        return self._done is not None and any(kept.is_far for kept in self._done.kept.values())

    def sealed(self, index: int) -> Sealed:
        done, facts = self._done, self.facts
        if done is not None and facts is not None:
            return sealed_value(done, facts, index)
        if self._reason is not None:
            return SealedError(self._reason(index))
        return _Opened(self._values[index - self.lo], failed=index in self._wrong)

    def load(self, tell: Callable[[int], str]) -> tuple[list[Any], list[int]]:
        """All values, exceptions among them at the indices listed; the column is let go of."""
        if self._reason is not None:
            return list(map(self._reason, range(self.lo, self.hi))), self.failures()
        done = self._done
        if done is not None:  # another thread may do the same
            self._values, wrong = load_column(done.column, done.attempts, tell, done.kept)
            self._wrong = frozenset(wrong)
            self._done = None
        return self._values, self.failures()


class _Opened:
    """An outcome that was opened with all of its part."""

    __slots__ = ("_value", "failed")

    is_far = False

    def __init__(self, value: Any, *, failed: bool) -> None:
        self._value = value
        self.failed = failed

    def open(self) -> Outcome:
        return Outcome(None, self._value) if self.failed else Outcome(self._value)

    def inline(self) -> bytes | None:
        return None

    def outcome(self) -> KnownOutcome:
        status, data = dump_outcome(self._value if self.failed else None, self._value)
        return KnownOutcome(status, frames_of(data))


def _cancelled(_: int) -> BaseException:
    return CancelledError()


class KeptResults:
    """Sink and origin of the futures of one `map_async`; its tasks are called `name`."""

    def __init__(self, batch: BatchId, line: Line, name: str, kind: type[ScalerFuture] = ScalerFuture) -> None:
        self.batch = batch
        self._line = line
        self._name = name
        #: which futures are made
        self._kind = kind
        self._submitted_at = time.monotonic()
        self._lock = threading.RLock()
        self.size = 0
        #: how many have ended, and how many of those without a value
        self.done = 0
        self.failed = 0
        self._is_whole = False
        self._over = threading.Event()
        #: why nothing more will come, if so
        self._ended: Reason | None = None
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
        with self._lock:
            lo, self.size = self.size, hi
            self._pending.add(lo, hi)
        if self._ended is not None:
            self._end_all(self._ended)

    def complete(self) -> None:
        """No more calls follow."""
        with self._lock:
            self._is_whole = True
        self._look()

    # ---- called by the I/O thread

    def resolve(self, done: Resolve) -> None:
        column, now = done.column, time.monotonic()

        def part(lo: int, hi: int) -> _Part:
            some = done
            if (lo, hi) != (column.lo, column.hi):
                kept = {index: done.kept[index] for index in done.kept if lo <= index < hi}
                some = Resolve(done.batch, column.slice(lo, hi), done.place, done.attempts, done.host, kept=kept)
            return _Part(lo, hi, done=some, facts=Facts.of_results(some, self._name, now), again=done.again)

        self._end((Range(column.lo, column.hi),), part)

    def reject(self, ranges: Iterable[Range], failure: Failure, again: Again | None = None) -> None:
        if failure.cause is Cause.CANCELLED:
            self._end(ranges, lambda lo, hi: _Part(lo, hi, reason=_cancelled))
            return
        facts = Facts.of_failure(self.batch, self._name, failure, time.monotonic())

        def error(index: int) -> BaseException:
            return exception_from_failure(failure, task=self._tell(index))

        self._end(ranges, lambda lo, hi: _Part(lo, hi, reason=error, facts=facts, again=again))

    def began(self, ranges: Iterable[Range]) -> None:
        begun: list[ScalerFuture] = []
        with self._lock:
            for part in (part for lo, hi in ranges for part in self._pending.within(lo, hi)):
                self._running.add(*part)
                begun += [self._waiting[index] for index in self._waited_for(*part)]
        for future in begun:
            future.note_running()

    def abort(self, error: ScalerError) -> None:
        self._end_all(lambda _: copy.copy(error))

    def clear(self) -> None:
        self._end_all(_cancelled)

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

    # ---- asked by futures

    def task_id(self, index: int) -> TaskId:
        return TaskId(self.batch, index)

    def unwant(self, index: int) -> None:
        self._give_up((Range(index, index + 1),))

    def explain(self, index: int) -> str:
        return self._line.explain(TaskId(self.batch, index))

    def ask_to_cancel(self, index: int) -> None:
        self._line.ask_to_cancel(self.batch, (Range(index, index + 1),))

    def acknowledged(self, index: int, timeout: float | None) -> None:
        self._line.acknowledged(self.batch, index + 1, timeout)

    # ---- asked by users

    def cancel(self) -> bool:
        """Give up all that has not ended, running or not; whether there was anything."""
        return bool(self._give_up(self._pending.ranges()))

    def ask_to_cancel_all(self) -> None:
        """Ask the scheduler to cancel what has not begun."""
        pending = self._pending.ranges()
        if pending:
            self._line.ask_to_cancel(self.batch, pending)

    def pending_futures(self) -> list[ScalerFuture]:
        """The futures of all that has not ended."""
        return [self.future(index) for lo, hi in self._pending.ranges() for index in range(lo, hi)]

    def _give_up(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        given_up = self._end(ranges, lambda lo, hi: _Part(lo, hi, reason=_cancelled))
        if given_up:
            self._line.give_up(self.batch, given_up)
        return given_up

    def future(self, index: int) -> ScalerFuture:
        """The future of one task, the same as long as anybody holds it or it is not done."""
        with self._lock:
            future = self._made.get(index)
            if future is not None:
                return future
            future = self._made[index] = self._kind(self, index, self._submitted_at)
            if index in self._pending:
                self._waiting[index] = future
                if index in self._running:
                    future.note_running()
            else:
                self._settle(future, self._parts[bisect_right(self._parts, index, key=_start) - 1], index)
            return future

    def failures(self) -> list[int]:
        """The tasks that failed so far and can be submitted anew, in order."""
        with self._lock:
            parts = [part for part in self._parts if part.again is not None]
        return [index for part in parts for index in part.failures()]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether all have ended, after so many seconds at most."""
        return wait_by(self._over.wait, timeout_s)

    def is_over(self) -> bool:
        """Whether all have ended."""
        return self._over.is_set()

    @property
    def is_far(self) -> bool:
        """Whether some of its values have to be fetched."""
        return any(part.is_far for part in self._parts)

    def load(self) -> tuple[list[Any], list[int]]:
        """All outcomes, once all have ended: results in order, exceptions among them at the indices listed."""
        results: list[Any] = []
        failed: list[int] = []
        for part in self._parts:
            values, wrong = part.load(self._tell)
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

    def _tell(self, index: int) -> str:
        return told(self.batch, self._name, index)

    def _end_all(self, reason: Reason) -> None:
        """All that is pending, or will be, ends so."""
        self._ended = reason
        self._end(self._pending.ranges(), lambda lo, hi: _Part(lo, hi, reason=reason))

    def _end(self, ranges: Iterable[Range], make: Callable[[int, int], _Part]) -> tuple[Range, ...]:
        """What of the ranges was pending ends so; returns it."""
        told: list[tuple[ScalerFuture, _Part, int]] = []
        with self._lock:
            ended = tuple(part for lo, hi in tuple(ranges) for part in self._pending.remove(lo, hi))
            for lo, hi in ended:
                part = make(lo, hi)
                self._keep(part)
                told += [(self._waiting.pop(index), part, index) for index in self._waited_for(lo, hi)]
            listeners = list(self._on_finished) if ended else []
        for future, part, index in told:
            self._settle(future, part, index)
        for listener in listeners:
            listener(ended)
        self._look()
        return ended

    def _keep(self, part: _Part) -> None:
        if self._parts and self._parts[-1].lo > part.lo:
            insort(self._parts, part, key=_start)
        else:
            self._parts.append(part)
        self._running.remove(part.lo, part.hi)
        self.done += part.hi - part.lo
        failures = len(part.failures())
        self.failed += failures
        if failures and part.again is not None:
            self._line.note_failed_among(self)

    def _waited_for(self, lo: int, hi: int) -> list[int]:
        waiting = self._waiting
        if len(waiting) < hi - lo:
            return [index for index in waiting if lo <= index < hi]
        return [index for index in range(lo, hi) if index in waiting]

    def _settle(self, future: ScalerFuture, part: _Part, index: int) -> None:
        if part.is_cancelled:
            future.revoke()
            return
        sealed = part.sealed(index)
        if sealed.failed and part.again is not None:
            future.keep_call(part.again)
        future.settle(sealed, part.facts)

    def _look(self) -> None:
        """Tell whoever waits for the end, if it has come."""
        with self._lock:
            if self._pending or not self._is_whole:
                return
            listeners, self._on_over = self._on_over, []
            self._on_finished = []
            self._over.set()
        self._line.forget(self.batch)
        call_where_they_may_wait(listeners, are_far=bool(listeners) and self.is_far)
