"""Waiting for several futures at once, with the standard library's meaning."""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

from scaler.client.futures import ScalerFuture


def _checked(futures: Iterable[ScalerFuture], caller: str) -> list[ScalerFuture]:
    found = list(futures)
    for future in found:
        if not isinstance(future, concurrent.futures.Future):
            raise TypeError(
                f"{caller} takes the futures that submit returns, not {type(future).__name__}; "
                "map returns plain results"
            )
    return found


def gather(futures: Iterable[ScalerFuture], *, return_exceptions: bool = False) -> list[Any]:
    """The results of the futures, in their order; the first failure in that order is raised.

    With `return_exceptions` each failure stands in the place of its result instead.
    """
    found = _checked(futures, "gather")
    if not return_exceptions:
        return [future.result() for future in found]
    return [future.exception() or future.result() for future in found]


def as_completed(futures: Iterable[ScalerFuture], timeout: float | None = None) -> Iterator[ScalerFuture]:
    """The futures as they finish; `TimeoutError` if some are not done `timeout` seconds from now."""
    return concurrent.futures.as_completed(_checked(futures, "as_completed"), timeout)  # type: ignore[return-value]  # it gives back what it was given


def wait(
    futures: Iterable[ScalerFuture],
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> "concurrent.futures._base.DoneAndNotDoneFutures[Any]":
    """`(done, not_done)` when `return_when` holds or after `timeout` seconds, as `concurrent.futures.wait`."""
    return concurrent.futures.wait(_checked(futures, "wait"), timeout, return_when)
