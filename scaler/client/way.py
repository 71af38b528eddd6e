"""How a client's I/O thread reaches its scheduler: by a connection of its own, or through the task it is inside of."""

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from scaler.client import waker
from scaler.client.config import ClientConfig
from scaler.client.waits import require_may_wait
from scaler.link.dialled import DialledConfig, DialledLink
from scaler.link.events import DialledEvent, DialledOutput
from scaler.net.descriptors import require_descriptors
from scaler.net.transport import Dialer


class Dials(Protocol):
    """Makes connections."""

    def dial(self) -> Dialer:
        """A new connection, not established yet."""
        ...

    def close(self) -> None:
        """Give back what they share."""
        ...


class LinkCore(Protocol):
    """The dialling end of a link; see `DialledLink`."""

    @property
    def room_bytes(self) -> int:
        """How much may be said now."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """What was said and has not arrived."""
        ...

    def handle(self, events: Iterable[DialledEvent], now: float) -> list[DialledOutput]:
        """Events in, outputs out."""
        ...

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """Connections, what is said on them, and the direction from which the decoder reads."""

    dialing: Dials
    link: LinkCore
    direction: str


def way_to_scheduler(config: ClientConfig, secret: bytes) -> Way:
    """Connections to the scheduler at the configured address, with the user's key; `secret` names the client."""
    # A client inside a task needs none of these, and is made where every millisecond of loading counts.
    from scaler.net.addresses import Address, needs_no_key, parse_address  # noqa: PLC0415  # see above
    from scaler.net.keys import load_key  # noqa: PLC0415  # see above
    from scaler.net.versions import our_versions  # noqa: PLC0415  # see above
    from scaler.net.zmq_dialer import Dialing  # noqa: PLC0415  # see above

    require_may_wait("Client")
    require_descriptors(waker.DESCRIPTORS)

    def is_open(address: Address) -> bool:
        return needs_no_key(
            address,
            insecure=config.insecure,
            insecure_off_loopback=config.insecure_off_loopback,
            danger=(
                f"whoever can pretend to be {address} could run code here: leave insecure=True away, or add "
                "insecure_off_loopback=True if you trust every machine on the way there"
            ),
        )

    address = parse_address(config.address, config.environment)
    key = None if is_open(address) else load_key("client", config.key_file, config.environment)
    dialled = DialledConfig(
        role="client",
        name=config.name,
        secret=secret,
        versions=our_versions(),
        heartbeat_interval_s=config.heartbeat_interval_s,
        give_up_s=None if config.timeout_s == math.inf else config.timeout_s,
        address=str(address),
        refusal_help=_refusal_help(None if key is None else str(key.path)),
    )
    return Way(Dialing(address, key), DialledLink(dialled, random.random), "to-client")


def _refusal_help(key_path: str | None) -> str:
    if key_path is None:
        return "the scheduler wants a key and this client shows none: leave insecure=True away"
    return (
        f"the scheduler does not accept the key {key_path}: copy its own client.key here (from the directory it "
        "printed at its start) and name it with key_file= or SCALER_KEY_FILE"
    )
