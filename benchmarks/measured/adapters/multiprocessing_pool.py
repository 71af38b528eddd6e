"""`multiprocessing.Pool` of the standard library."""

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from ._base import Base


class Peer(Base):
    """Its map sends chunks, about four a worker, and tracks no task: a limit rather than a rival."""

    MODULE = "multiprocessing"

    def start(self, n_workers: int) -> None:
        self.pool = multiprocessing.Pool(n_workers)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        return self.pool.map(fn, iterable)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply_async(fn, args)

    def result(self, future: Any) -> Any:
        return future.get()

    def stop(self) -> None:
        self.pool.terminate()
