"""Where a client connects: where it is told to, or, if nobody says, to what is there."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scaler.client.news import tell
from scaler.errors import ConfigurationError
from scaler.net.connection_file import find_scheduler


class Where(NamedTuple):
    """An address, and the keys that reach it if they are not the usual ones."""

    address: str
    key_file: Path | None = None


def find(address: object, environment: Mapping[str, str], none_there: str = "") -> Where:
    """Where to connect: `address` is text, or has `get_address()`, or is None.

    Without one it is `SCALER_ADDRESS`, else the scheduler of this user that runs here, else one of this process's own,
    unless `none_there` says what is to be told instead.
    """
    if isinstance(address, str):
        return Where(address)
    if address is not None:
        get_address = getattr(address, "get_address", None)
        if get_address is None:
            raise ConfigurationError(f"address is text or has get_address(), but {type(address).__name__} was given")
        return Where(str(get_address()))
    if named := environment.get("SCALER_ADDRESS"):
        return Where(named)
    facts = find_scheduler(environment)
    if facts is not None:
        return Where(facts.address, Path(facts.key_directory) if facts.key_directory else None)
    if none_there:
        raise ConfigurationError(none_there)
    return Where(_start_own())


def ended(address: str) -> None:
    """The scheduler there was asked to stop: if it is one of this process's own, it is gone when this returns."""
    own = sys.modules.get("scaler.cluster.own")
    if own is not None:
        own.end_own_cluster(address)


def _start_own() -> str:
    if sys.platform != "linux":
        raise ConfigurationError(
            "no scheduler address: pass Client('tcp://host:port') or set SCALER_ADDRESS; schedulers run on Linux"
        )
    from scaler.cluster.own import own_cluster  # noqa: PLC0415  # who has a scheduler needs nothing of it

    address, started = own_cluster()
    if started:
        workers = f"{started} worker" + ("s" if started > 1 else "")
        tell(f"no scheduler was found: started one with {workers} at {address}, which end with this process")
    return address
