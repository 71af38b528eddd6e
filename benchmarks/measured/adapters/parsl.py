"""Parsl's high-throughput executor on this machine."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from ._base import SCRATCH, Base


class Peer(Base):
    """One block of workers; its data flow kernel is a thread of the client's process."""

    PACKAGE = "parsl"
    MODULE = "parsl"
    TAKES_FUTURES = True

    def start(self, n_workers: int) -> None:
        executor = HighThroughputExecutor(
            address="127.0.0.1",
            max_workers_per_node=n_workers,
            cores_per_worker=(os.cpu_count() or 1) / n_workers,
            prefetch_capacity=n_workers,
            encrypted=False,
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
        )
        config = Config(executors=[executor], strategy="none", initialize_logging=False, run_dir=str(SCRATCH / "parsl"))
        self.kernel = parsl.load(config)
        self.app = functools.cache(parsl.python_app)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        app = self.app(fn)
        return [future.result() for future in [app(item) for item in iterable]]

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.app(fn)(*args)

    def stop(self) -> None:
        self.kernel.cleanup()
