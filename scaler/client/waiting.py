"""Waiting for several futures at once, with the standard library's meaning."""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.client.waits import require_may_wait


def _checked(futures: Iterable[ScalerFuture], caller: str) -> list[ScalerFuture]:
    found = list(futures)
    for future in found:
        if not isinstance(future, concurrent.futures.Future):
            raise TypeError(
                f"{caller} takes the futures that submit returns, not {type(future).__name__}; "
                "map returns plain results"
            )
    return found


def ours(futures: ScalerFuture | Iterable[ScalerFuture], caller: str) -> list[ScalerFuture]:
    """One future or several as a list; anything else than futures of ours is a `TypeError` that names the caller."""
    found = [futures] if isinstance(futures, ScalerFuture) else _checked(futures, caller)
    for future in found:
        if not isinstance(future, ScalerFuture):
            raise TypeError(f"{caller} takes futures of scaler, not {type(future).__name__}")
    return found


def _require_may_wait(futures: list[ScalerFuture], caller: str) -> None:
    if not all(future.done() for future in futures):
        require_may_wait(caller)


def gather(futures: Iterable[ScalerFuture], *, return_exceptions: bool = False) -> list[Any]:
    """The results of the futures, in their order; the first failure in that order is raised.

    With `return_exceptions` each failure stands in the place of its result instead.
    """
    found = _checked(futures, "gather")
    _require_may_wait(found, "gather")
    if not return_exceptions:
        return [future.result() for future in found]
    return [future.exception() or future.result() for future in found]


def as_completed(futures: Iterable[ScalerFuture], timeout: float | None = None) -> Iterator[ScalerFuture]:
    """The futures as they finish; `TimeoutError` if some are not done `timeout` seconds from now."""
    found = _checked(futures, "as_completed")
    _require_may_wait(found, "as_completed")
    return concurrent.futures.as_completed(found, timeout)  # type: ignore[return-value]  # it gives back what it was given


def wait(
    futures: Iterable[ScalerFuture],
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> "concurrent.futures._base.DoneAndNotDoneFutures[Any]":
    """`(done, not_done)` when `return_when` holds or after `timeout` seconds, as `concurrent.futures.wait`."""
    found = _checked(futures, "wait")
    if timeout is None or timeout > 0:
        _require_may_wait(found, "wait")
    return concurrent.futures.wait(found, timeout, return_when)
