"""Futures in the order in which they finish, for loops of either kind: `for` and `async for`."""

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from scaler.client.futures import futures_of
from scaler.client.map_future import MapFuture
from scaler.client.raising import not_an_end
from scaler.client.waits import require_may_wait, taken_from

if TYPE_CHECKING:
    from scaler.client.awaiting import Arrival


class Completions:
    """What `as_completed` returns: an iterator, and an asynchronous one, over futures as they finish.

    More futures may be added while it is iterated, also by the thread that iterates: it ends when it has given all it
    has. With `with_results` it gives pairs of a future and its result, and raises the error of one that failed.
    """

    def __init__(
        self, futures: "Iterable[Future[Any]]" = (), timeout: float | None = None, *, with_results: bool = False
    ) -> None:
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        self._with_results = with_results
        self._added = self._given = 0
        #: futures that are done, in parts, as they were told of
        self._parts: SimpleQueue[Iterator[Future[Any]]] = SimpleQueue()
        self._part: Iterator[Future[Any]] = iter(())
        #: the coroutine that waits for the next part
        self._arrival: Arrival | None = None
        self.update(futures)

    # ---- what is in it

    def add(self, future: "Future[Any]") -> None:
        """Give this one too, once it is done."""
        self.update([future])

    def update(self, futures: "Iterable[Future[Any]]") -> None:
        """Give these too, each once however often it is among them."""
        if isinstance(futures, MapFuture):
            self._added += len(futures)
            futures.tell_finished(self._arrive)
            return
        found = list(dict.fromkeys(futures_of(futures, "as_completed")))
        self._added += len(found)
        for future in found:
            future.add_done_callback(self._arrive_one)

    def count(self) -> int:
        """How many have not been given yet."""
        return self._added - self._given

    def is_empty(self) -> bool:
        """Whether all have been given."""
        return not self.count()

    def _arrive_one(self, future: "Future[Any]") -> None:
        self._arrive(iter((future,)))

    def _arrive(self, part: "Iterator[Future[Any]]") -> None:
        self._parts.put(part)
        arrival = self._arrival  # read after the part was put, as its owner looks again after setting it
        if arrival is not None:
            arrival.tell()

    # ---- in a thread

    def __iter__(self) -> "Iterator[Any]":
        return self

    def __next__(self) -> Any:  # Any: a future, or a pair of it and its result
        while True:
            for future in self._part:
                return self._give(future)
            if self.is_empty():
                raise StopIteration
            self._part = self._wait()

    def _wait(self) -> "Iterator[Future[Any]]":
        try:
            return self._parts.get_nowait()
        except Empty:
            require_may_wait("as_completed")
        try:
            return taken_from(self._parts, self._left_s())
        except Empty:
            raise self._too_late() from None

    def _give(self, future: "Future[Any]") -> Any:
        self._given += 1
        if not self._with_results:
            return future
        try:
            return future, future.result()
        except (StopIteration, StopAsyncIteration) as error:
            raise not_an_end(error) from error

    def _left_s(self) -> float | None:
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def _too_late(self) -> TimeoutError:
        return TimeoutError(f"{self.count()} (of {self._added}) futures unfinished")

    # ---- in an event loop

    def __aiter__(self) -> "AsyncIterator[Any]":
        return self

    async def __anext__(self) -> Any:  # as above
        while True:
            for future in self._part:
                return self._give(future)
            if self.is_empty():
                raise StopAsyncIteration
            self._part = await self._wait_in_loop()

    async def _wait_in_loop(self) -> "Iterator[Future[Any]]":
        from scaler.client.awaiting import Arrival  # noqa: PLC0415  # asyncio takes its time; who awaits has it

        while True:
            self._arrival = Arrival()
            try:
                return self._parts.get_nowait()
            except Empty:
                if not await self._arrival.wait(self._left_s()):
                    raise self._too_late() from None
            finally:
                self._arrival = None
