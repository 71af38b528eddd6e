"""dask.distributed on this machine, one thread a worker."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from distributed import Client, LocalCluster

from ._base import Base


class Peer(Base):
    """The scheduler is a thread of the client's process, the workers are processes under nannies."""

    PACKAGE = "distributed"
    MODULE = "distributed"
    TAKES_FUTURES = True

    def start(self, n_workers: int) -> None:
        self.cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        )
        self.client = Client(self.cluster)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> Any:
        return self.client.gather(self.client.map(fn, list(iterable), pure=False))

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(fn, *args, pure=False)

    def put(self, value: Any) -> Any:
        return self.client.scatter(value)

    def results(self, futures: list[Any]) -> Any:
        return self.client.gather(futures)

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
