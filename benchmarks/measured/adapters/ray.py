"""Ray on this machine, without its dashboard."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import procs
import ray  # it reads the environment when it is imported

from ._base import SCRATCH, Base


class Peer(Base):
    """One processor is declared for each worker."""

    PACKAGE = "ray"
    MODULE = "ray"
    TAKES_FUTURES = True

    def start(self, n_workers: int) -> None:
        ray.init(
            num_cpus=n_workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
            _temp_dir=str(SCRATCH / "ray"),
        )
        self.remote = functools.cache(ray.remote)

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> Any:
        remote = self.remote(fn)
        return ray.get([remote.remote(item) for item in iterable])

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.remote(fn).remote(*args)

    def put(self, value: Any) -> Any:
        return ray.put(value)

    def result(self, future: Any) -> Any:
        return ray.get(future)

    def result_within(self, future: Any, seconds: float) -> Any:
        return ray.get(future, timeout=seconds)

    def scheduler_pids(self) -> list[int]:
        return [pid for pid in self.pids() if procs.command(pid)[:1] and "gcs_server" in procs.command(pid)[0]]

    def results(self, futures: list[Any]) -> Any:
        return ray.get(futures)

    def stop(self) -> None:
        ray.shutdown()
