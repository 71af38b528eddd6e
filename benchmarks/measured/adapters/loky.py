"""loky, joblib's process pool."""

from collections.abc import Callable, Iterable
from typing import Any

from loky import ProcessPoolExecutor

from ._base import Base


class Peer(Base):
    """Its map is told to make every element a task of its own."""

    PACKAGE = "loky"
    MODULE = "loky"

    def start(self, n_workers: int) -> None:
        self.executor = ProcessPoolExecutor(max_workers=n_workers)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        return list(self.executor.map(fn, iterable, chunksize=1))

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(fn, *args)

    def stop(self) -> None:
        self.executor.shutdown(kill_workers=True)
