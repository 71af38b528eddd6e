"""OpenGRIS Scaler, whose users this project wants to welcome."""

from collections.abc import Callable, Iterable
from typing import Any

from scaler import Client, SchedulerClusterCombo

from ._base import Base


class Peer(Base):
    """Its own combo and client; its package has the name of ours, so it lives in another environment."""

    PACKAGE = "opengris-scaler"
    MODULE = "scaler"

    def start(self, n_workers: int) -> None:
        self.cluster = SchedulerClusterCombo(n_workers=n_workers, logging_level="WARNING")
        self.client = Client(address=self.cluster.get_address())

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        return self.client.map(fn, iterable)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(fn, *args)

    def put(self, value: Any) -> Any:
        return self.client.send_object(value)

    def stop(self) -> None:
        self.client.disconnect()
        self.cluster.shutdown()
