"""The project itself, through its public API, over TCP with its default security."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import procs

from scaler import Client, SchedulerClusterCombo

from ._base import Base


class Peer(Base):
    """A scheduler and a worker cluster as commands of their own, and a client here."""

    PACKAGE = "scaler"
    MODULE = "scaler"
    TAKES_FUTURES = True
    ADDRESS: ClassVar[str | None] = None

    def start(self, n_workers: int) -> None:
        self.cluster = SchedulerClusterCombo(n_workers=n_workers, address=self.ADDRESS)
        self.client = Client(address=self.cluster.get_address())

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        return self.client.map(fn, iterable)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(fn, *args)

    def put(self, value: Any) -> Any:
        return self.client.send_object(value)

    def another(self) -> "Peer":
        other = Peer()
        other.client = Client(address=self.cluster.get_address())
        return other

    def results(self, futures: list[Any]) -> list[Any]:
        return self.client.gather(futures)

    def scheduler_pids(self) -> list[int]:
        return [pid for pid in self.pids() if "scheduler" in procs.command(pid)]

    def stop(self) -> None:
        self.client.disconnect()
        self.cluster.shutdown()
