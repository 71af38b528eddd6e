"""Waiting for several futures at once, with the meaning of `concurrent.futures` and of dask."""

import concurrent.futures
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import DoneAndNotDoneFutures
from typing import Any

from scaler.client.completions import Completions
from scaler.client.futures import ScalerFuture, futures_of
from scaler.client.map_future import MapFuture
from scaler.client.waits import require_may_wait

#: what `gather` looks into
_NESTS = frozenset((dict, list, tuple, set, frozenset))


def ours(futures: "ScalerFuture | Iterable[Future[Any]]", caller: str) -> list[ScalerFuture]:
    """One future or several as a list; anything else than futures of ours is a `TypeError` that names the caller."""
    found = []
    for future in [futures] if isinstance(futures, ScalerFuture) else futures_of(futures, caller):
        if not isinstance(future, ScalerFuture):
            raise TypeError(f"{caller} takes futures of scaler, not {type(future).__name__}")
        found.append(future)
    return found


def give_up(futures: "ScalerFuture | Iterable[ScalerFuture]") -> None:
    """Give up what is not done of these, also what runs."""
    if isinstance(futures, MapFuture):
        futures.cancel()
        return
    for future in ours(futures, "cancel"):
        future.give_up()


def gather(futures: Any, *, return_exceptions: bool = False) -> Any:  # Any: one, some, or some in containers
    """The results of the futures, in their order; the first failure in that order is raised.

    With `return_exceptions` each failure stands in the place of its result instead. Lists, tuples, sets and dicts keep
    their shape, to any depth; any other iterable gives a list, and a single future its result.
    """
    if type(futures) not in _NESTS and not isinstance(futures, Future | MapFuture):
        futures = list(futures)
    nested = _rebuilt(futures, _checked)

    def outcome(future: "Future[Any] | MapFuture") -> Any:
        if isinstance(future, MapFuture):
            return future.gathered(return_exceptions=return_exceptions)
        if not future.done():
            require_may_wait("gather")
        if return_exceptions:
            try:
                error = future.exception()
            except CancelledError as cancelled:
                error = cancelled
            if error is not None:
                return error
        return future.result()

    return _rebuilt(nested, outcome)


def _rebuilt(nested: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same containers, with something else for each leaf."""
    if type(nested) is dict:
        return {key: _rebuilt(value, leaf) for key, value in nested.items()}
    if type(nested) in _NESTS:
        return type(nested)([_rebuilt(element, leaf) for element in nested])
    return leaf(nested)


def _checked(leaf: Any) -> Any:
    return leaf if isinstance(leaf, MapFuture) else futures_of([leaf], "gather")[0]


def as_completed(
    futures: "Iterable[Future[Any]]", timeout: float | None = None, *, with_results: bool = False
) -> Completions:
    """The futures as they finish, for `for` and `async for`; `TimeoutError` if some are not `timeout` seconds from now.

    With `with_results` pairs of a future and its result; the error of one that failed is raised then.
    """
    return Completions(futures, timeout, with_results=with_results)


def wait(
    futures: "Iterable[Future[Any]]",
    timeout: float | None = None,
    return_when: str = concurrent.futures.ALL_COMPLETED,
) -> "DoneAndNotDoneFutures[Any]":
    """`(done, not_done)` when `return_when` holds or after `timeout` seconds, as `concurrent.futures.wait`."""
    if isinstance(futures, MapFuture) and return_when == concurrent.futures.ALL_COMPLETED:
        futures.wait(timeout)
        found: set[Future[Any]] = set(futures)
        done = {future for future in found if future.done()}
        return DoneAndNotDoneFutures(done, found - done)
    given = futures_of(futures, "wait")
    if (timeout is None or timeout > 0) and not all(future.done() for future in given):
        require_may_wait("wait")
    return concurrent.futures.wait(given, timeout, return_when)
