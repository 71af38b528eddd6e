"""`concurrent.futures.ProcessPoolExecutor` of the standard library."""

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any

from ._base import Base


class Peer(Base):
    """Its map is told to make every element a task of its own."""

    MODULE = "concurrent.futures"

    def start(self, n_workers: int) -> None:
        self.executor = concurrent.futures.ProcessPoolExecutor(max_workers=n_workers)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        return list(self.executor.map(fn, iterable, chunksize=1))

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(fn, *args)

    def stop(self) -> None:
        self.executor.shutdown(cancel_futures=True)
