"""`client.executor()`: an executor to the letter of the standard library, whose tasks run on the client's workers.

`Client` is one too, but where the two differ it does as Scaler does: its `map` returns a list, the `cancel` of its
futures gives a task up without asking, and its `shutdown` stops the scheduler.
"""

import concurrent.futures
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

from scaler.client import maps
from scaler.client.batches import Batches
from scaler.client.futures import ScalerFuture
from scaler.client.kept import KeptResults
from scaler.client.mapping import starred_calls_of
from scaler.client.maps import Work
from scaler.client.options import TaskOptions
from scaler.client.signatures import call_shape
from scaler.client.waits import require_may_wait
from scaler.ids import BatchId
from scaler.ranges import RangeSet

#: a scheduler that cannot answer yet, since it has just started or lost a cluster, is asked again so often
ASK_AGAIN_S = 0.25


class ExecutorFuture(ScalerFuture):
    """A future whose `cancel` is that of the standard library's executors: True means that the task never ran."""

    def cancel(self) -> bool:
        """Cancel the task if it has not begun, which the scheduler is asked; what has begun goes on."""
        if not self.has_begun():
            require_may_wait("cancelling a task of an executor")
            self._origin.ask_to_cancel(self._index)
        return self.await_cancelled()

    def await_cancelled(self) -> bool:
        """Whether the task is cancelled, once that is known; it was asked for before."""
        while not self.has_begun():
            with self._condition:
                if not self._condition.wait_for(self.has_begun, ASK_AGAIN_S):
                    self._origin.ask_to_cancel(self._index)
        return self.cancelled()


class ClientExecutor(Executor):
    """A `concurrent.futures.Executor` of a client; any number of them may be made, and shut down, at any time."""

    def __init__(self, owner: object, batches: Batches, options: TaskOptions) -> None:
        #: the client, which must not leave while this is used
        self._owner = owner
        self._batches = batches
        self._options = options
        self._lock = threading.Lock()
        self._is_shut_down = False
        #: all that is pending, which others hold, and of the rest what somebody holds
        self._futures: weakref.WeakSet[ScalerFuture] = weakref.WeakSet()
        self._maps: weakref.WeakSet[KeptResults] = weakref.WeakSet()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ScalerFuture:
        """Run `fn(*args, **kwargs)` on a worker; every keyword goes to the function."""
        with self._lock:
            self._require_open()
            future = self._batches.submit(fn, args, kwargs, self._options, ExecutorFuture)
            self._futures.add(future)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """An iterator of the results, in order; `TimeoutError` where one is not there `timeout` seconds from this call.

        All elements are drawn and submitted now, as in the standard library; they travel together whatever `chunksize`
        is. A failed element raises when its turn comes and ends the iterator; what has not begun then is cancelled.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        self._require_open()
        calls = starred_calls_of(call_shape(fn), zip(*iterables, strict=False))
        work = Work(fn, calls, self._options, progress=False, size=None)
        kept = maps.keep(self._batches, work, ExecutorFuture)
        with self._lock:
            self._maps.add(kept)
        return _results(kept, ends_at, timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # as the base class has it
        """Take no more tasks; the client and its scheduler go on.

        With `cancel_futures` what has not begun is cancelled, with `wait` it returns when all is done.
        """
        with self._lock:
            self._is_shut_down = True
            pending = [future for future in self._futures if not future.done()]
            found = [kept for kept in self._maps if not kept.is_over()]
        if cancel_futures:
            self._cancel([*pending, *(future for kept in found for future in kept.pending_futures())])
        if wait and (pending or found):
            require_may_wait("shutting down an executor")
            concurrent.futures.wait(pending)
            for kept in found:
                kept.wait()

    def _cancel(self, pending: list[ScalerFuture]) -> None:
        asked: dict[BatchId, RangeSet] = {}
        for future in pending:
            require_may_wait("cancelling the tasks of an executor")
            asked.setdefault(future.task.batch, RangeSet()).add(future.task.index, future.task.index + 1)
        for batch, ranges in asked.items():
            self._batches.io.ask_to_cancel(batch, ranges.ranges())
        for future in pending:
            if isinstance(future, ExecutorFuture):
                future.await_cancelled()

    def _require_open(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")


def refuse_words_of_executors(*words: object) -> None:
    """`TypeError` where the `shutdown` of a client was meant to be that of an executor."""
    if words:
        raise TypeError(
            "shutdown() of a client stops its scheduler, and takes no wait or cancel_futures: what ends an executor "
            "alone is executor().shutdown(…), and what ends the client is disconnect()"
        )


def _results(kept: KeptResults, ends_at: float | None, timeout: float | None) -> Iterator[Any]:
    try:
        for index in range(kept.size):
            left_s = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            future = kept.future(index)
            future.wait(left_s)
            if not future.done():
                raise TimeoutError(f"task {future.task_id} is not done {timeout} s after map was called")
            yield future.result()
    finally:
        kept.ask_to_cancel_all()
