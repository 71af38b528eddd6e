"""Clients and their processes: each leaves when its own ends, is none in a forked child, and is made anew elsewhere."""

import atexit
import os
from typing import TYPE_CHECKING, TypeVar

from scaler.client import finding
from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread, living
from scaler.ledger.events import ShutdownAsked
from scaler.payload import nested
from scaler.payload.custom import Serializer
from scaler.protocol import ShutdownAnswer

if TYPE_CHECKING:
    from scaler.client.client import Client

C = TypeVar("C", bound="Client")
DISCONNECTED = "the client has been disconnected"


def reconnect(
    kind: type[C],
    profiling: bool,  # noqa: FBT001  # pickled by position
    config: ClientConfig,
    epoch: int,
    serializer: Serializer | None,
) -> C:
    """The client again that was pickled elsewhere, or the one of the task that it was sent to."""
    return kind(
        None if nested.is_home(config.address, epoch) else config.address,
        profiling,
        config.timeout_s,
        config.heartbeat_interval_s,
        serializer,
        name=config.name,
        key_file=config.key_file,
        insecure=config.insecure,
        insecure_off_loopback=config.insecure_off_loopback,
        ship_code=config.ship_code,
        stream_output=config.stream_output,
    )


def shut_down(io: IoThread, address: str) -> None:
    """Have the scheduler stop, and leave; `ValueError` if it refuses."""
    answer = io.ask(ShutdownAsked())
    if isinstance(answer, ShutdownAnswer) and answer.refused:
        raise ValueError(f"the scheduler at {address} goes on: {answer.refused}")
    io.leave("the client has had its scheduler stopped")
    finding.ended(address)


@atexit.register
def _leave_all() -> None:
    """At the interpreter's end every client leaves, so that nothing hangs and the scheduler knows."""
    for io in list(living):
        io.stored.keeps = False  # nobody reads any more
        io.leave(DISCONNECTED)


def _disown() -> None:
    """In a forked child the sockets belong to the parent: every client says so when used."""
    for io in list(living):
        io.disown("this client belongs to the parent of this forked process")
    living.clear()


os.register_at_fork(after_in_child=_disown)
