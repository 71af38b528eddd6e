"""mpire, a faster multiprocessing pool."""

from collections.abc import Callable, Iterable
from typing import Any

from mpire import WorkerPool

from ._base import Base


class Peer(Base):
    """One pool that is kept between calls."""

    PACKAGE = "mpire"
    MODULE = "mpire"

    def start(self, n_workers: int) -> None:
        self.pool = WorkerPool(n_jobs=n_workers, keep_alive=True)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> Any:
        arguments = [(item,) for item in iterable]  # a tuple each: mpire would unpack other iterables
        return self.pool.map(fn, arguments, chunk_size=1)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply_async(fn, args)

    def result(self, future: Any) -> Any:
        return future.get()

    def stop(self) -> None:
        self.pool.terminate()
