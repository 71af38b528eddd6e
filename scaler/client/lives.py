"""Clients and their processes: each leaves when its own ends, is none in a forked child, and is made anew elsewhere."""

import atexit
import os
import weakref
from typing import TYPE_CHECKING, TypeVar

from scaler.client import finding
from scaler.client.batches import Batches, batches_of
from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread, living
from scaler.client.near import io_to_scheduler
from scaler.ids import SECRET_BYTES, Incarnation, incarnation_of
from scaler.ledger.events import ShutdownAsked
from scaler.payload import nested
from scaler.payload.custom import Carrier, Serializer
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
    """The client again that was pickled elsewhere, or the one of the task that it was sent to.

    What a task submits ends with the task, whatever work that belongs to.
    """
    is_home = nested.is_home(config.address, epoch)
    return kind(
        None if is_home else config.address,
        profiling,
        config.timeout_s,
        config.heartbeat_interval_s,
        serializer,
        name=config.name,
        durable=None if is_home else config.durable or None,
        key_file=config.key_file,
        insecure=config.insecure,
        insecure_off_loopback=config.insecure_off_loopback,
        ship_code=config.ship_code,
        stream_output=config.stream_output,
    )


def connected(owner: "Client", config: ClientConfig, carrier: Carrier | None) -> tuple[Incarnation, IoThread, Batches]:
    """The name of a client, the thread that speaks for it, and its batches, once the scheduler has answered.

    It leaves when nobody holds the client any more; at the interpreter's end `_leave_all` has seen to it by then.
    """
    secret = os.urandom(SECRET_BYTES)
    incarnation = incarnation_of(secret)
    io = io_to_scheduler(config, secret)
    weakref.finalize(owner, io.abandon).atexit = False
    try:
        io.connect()
        return incarnation, io, batches_of(config, io, incarnation, carrier)
    except BaseException:
        io.leave(DISCONNECTED)
        raise


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
