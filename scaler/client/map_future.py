"""What `map_async` returns: a sequence of futures that costs little more than the outcomes it stands for."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, overload

from scaler.client.futures import ScalerFuture, teller
from scaler.client.kept import KeptResults
from scaler.client.waits import require_may_wait, within
from scaler.ids import Range
from scaler.payload import inputs


class Progress(NamedTuple):
    """How many tasks have ended, how many of those failed or were cancelled, and how many there are."""

    done: int
    failed: int
    total: int


def raise_first(results: list[Any], failed: list[int]) -> None:
    """Raise the first failure, if there is one, with every outcome on its `results`."""
    if failed:
        error = results[failed[0]]
        vars(error)["results"] = results  # its class may let nobody set anything, as a frozen dataclass
        raise error


class MapFuture(Sequence[ScalerFuture]):
    """The results of a `map_async`, now or later: a sequence of one `ScalerFuture` for each element.

    Futures are made when they are asked for, and are the same again as long as somebody holds them. `gather`, `wait`
    and `as_completed` take it as it is. Awaited, it gives what `get` gives; a coroutine that is cancelled meanwhile
    cancels it too.
    """

    def __init__(self, kept: KeptResults, *, return_exceptions: bool = False) -> None:
        self._kept = kept
        self._return_exceptions = return_exceptions

    # ---- a sequence of futures

    def __len__(self) -> int:
        return self._kept.size

    @overload
    def __getitem__(self, index: int) -> ScalerFuture: ...

    @overload
    def __getitem__(self, index: slice) -> list[ScalerFuture]: ...

    def __getitem__(self, index: int | slice) -> ScalerFuture | list[ScalerFuture]:
        wanted = range(self._kept.size)[index]
        return self._kept.future(wanted) if isinstance(wanted, int) else list(map(self._kept.future, wanted))

    def __iter__(self) -> Iterator[ScalerFuture]:
        return map(self._kept.future, range(self._kept.size))

    # ---- all of them

    def get(self, timeout: float | None = None) -> list[Any]:
        """The results in order; `TimeoutError` if they are not all there after `timeout` seconds.

        When elements failed, the first one's exception is raised once all are done, with every outcome on its
        `results`; where `map_async` was told `return_exceptions`, the exceptions stand in the list instead.
        """
        with within(timeout):
            if not self.wait(timeout):
                done = self.progress()
                raise TimeoutError(f"{done.total - done.done} (of {done.total}) tasks are not done after {timeout} s")
            return self.gathered()

    def gathered(self, *, return_exceptions: bool = False) -> list[Any]:
        """As `get`, for `gather`: it may ask for the exceptions though `map_async` did not."""
        self.wait()
        results, failed = self._kept.load()
        if not return_exceptions and not self._return_exceptions:
            raise_first(results, failed)
        return results

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all are done, `timeout` seconds at most; whether they are."""
        if not self.ready() and (timeout is None or timeout > 0):
            require_may_wait("waiting for a map")
        return self._kept.wait(timeout)

    def ready(self) -> bool:
        """Whether all are done: finished, failed or cancelled."""
        return self._kept.is_over()

    def successful(self) -> bool:
        """Whether all finished without an error; `ValueError` while they are not all done."""
        if not self.ready():
            raise ValueError(f"{self!r} is not ready")
        return not self._kept.failed

    def progress(self) -> Progress:
        """How many are done, failed, and there."""
        return Progress(self._kept.done, self._kept.failed, self._kept.size)

    def acknowledged(self, timeout: float | None = None) -> bool:
        """Wait until all tasks are on disk, as `ScalerFuture.acknowledged` does; one that was cancelled need not be."""
        if self._kept.size:
            self._kept.acknowledged(self._kept.size - 1, timeout)
        return True

    def cancel(self) -> bool:
        """Give up all that are not done; those that run are interrupted. Whether there were any."""
        return self._kept.cancel()

    def call_back(
        self, callback: Callable[[list[Any]], object] | None, error_callback: Callable[[BaseException], object] | None
    ) -> None:
        """Once all are done, call the one with what `get` gives, or the other with what it raises."""
        if (tell := teller(self.gathered, callback, error_callback)) is not None:
            self._kept.tell_over(tell)

    def tell_finished(self, listener: "Callable[[Iterator[Future[Any]]], object]") -> None:
        """Hand over the futures of what is done, now and later, each once; the I/O thread calls."""

        def tell(ranges: Iterable[Range]) -> None:
            listener(self._kept.future(index) for lo, hi in ranges for index in range(lo, hi))

        self._kept.tell_finished(tell)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._outcome().__await__()

    async def _outcome(self) -> list[Any]:
        from scaler.client.awaiting import Arrival, in_thread  # noqa: PLC0415  # asyncio takes its time; who awaits has it

        arrival = Arrival()
        self._kept.tell_over(arrival.tell)
        await arrival.wait(give_up=self.cancel)
        return await in_thread(self.gathered) if self._kept.is_far else self.gathered()

    # ---- for people

    def __repr__(self) -> str:
        done, failed, total = self.progress()
        return f"<MapFuture {done} of {total} done{f', {failed} failed' if failed else ''}>"

    def _repr_html_(self) -> str:
        done, failed, total = self.progress()
        text = f"{done:,} of {total:,} done" + (f", {failed:,} failed" if failed else "")
        return f'<progress value="{done}" max="{max(total, 1)}"></progress> {text}'

    def __reduce__(self) -> str | tuple[Any, ...]:  # Any: as the base class declares it
        """Among the arguments of a call it stands for the list of its results; elsewhere it cannot be pickled."""
        return inputs.stand_in_for_value(list(self))
