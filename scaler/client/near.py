"""Schedulers that are in this very process, see `scaler.testing`: found by address before any connection is made."""

import weakref
from typing import Protocol

from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread
from scaler.client.way import way_to_scheduler


class Near(Protocol):
    """A scheduler of this process."""

    def io(self, config: ClientConfig, secret: bytes) -> IoThread:
        """What a client speaks to it by; `secret` names the client."""
        ...


#: by address, as long as somebody holds them
here: "weakref.WeakValueDictionary[str, Near]" = weakref.WeakValueDictionary()


def io_to_scheduler(config: ClientConfig, secret: bytes) -> IoThread:
    """The thread of a client of the scheduler at the configured address, not started yet; `secret` names the client."""
    near = here.get(config.address)
    return IoThread(config, way_to_scheduler(config, secret)) if near is None else near.io(config, secret)
