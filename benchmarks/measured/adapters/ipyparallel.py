"""ipyparallel's load-balanced view on engines of this machine."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

from ._base import SCRATCH, Base

os.environ["IPYTHONDIR"] = str(SCRATCH / "ipython")

import ipyparallel  # it reads the environment when it is imported


class Peer(Base):
    """A controller and its engines, all processes of their own."""

    PACKAGE = "ipyparallel"
    MODULE = "ipyparallel"

    def start(self, n_workers: int) -> None:
        self.cluster = ipyparallel.Cluster(n=n_workers, log_level=logging.ERROR)
        self.client = self.cluster.start_and_connect_sync(activate=False)
        self.view = self.client.load_balanced_view()

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> Any:
        return self.view.map_sync(fn, iterable)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.view.apply_async(fn, *args)

    def result(self, future: Any) -> Any:
        return future.get()

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()
