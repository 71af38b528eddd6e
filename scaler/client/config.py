"""The client's one configuration record, built from the caller's arguments, the environment and the run directory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client needs to reach its scheduler; times in seconds."""

    address: str
    name: str
    timeout_s: float
    heartbeat_interval_s: float
    key_file: Path | None
    insecure: bool
    insecure_off_loopback: bool
    environment: Mapping[str, str]


def client_config(
    address: object,
    *,
    name: str | None,
    timeout_s: float,
    heartbeat_interval_s: float,
    key_file: str | os.PathLike[str] | None,
    insecure: bool = False,
    insecure_off_loopback: bool = False,
) -> ClientConfig:
    """The record for a `Client(...)` call; `address` is text, or anything with `get_address()`, or None."""
    if timeout_s <= 0 or heartbeat_interval_s <= 0:
        raise ConfigurationError("timeout_seconds and heartbeat_interval_seconds must be above 0")
    return ClientConfig(
        address=_address_text(address),
        name=name or "",
        timeout_s=timeout_s,
        heartbeat_interval_s=heartbeat_interval_s,
        key_file=Path(key_file) if key_file is not None else None,
        insecure=insecure,
        insecure_off_loopback=insecure_off_loopback,
        environment=dict(os.environ),
    )


def _address_text(address: object) -> str:
    if address is None:
        found = os.environ.get("SCALER_ADDRESS")
        if not found:
            raise ConfigurationError(
                "no scheduler address: pass Client('tcp://host:port') or set SCALER_ADDRESS; "
                "SchedulerClusterCombo(n_workers=…) starts a scheduler and workers here"
            )
        return found
    if isinstance(address, str):
        return address
    get_address = getattr(address, "get_address", None)
    if get_address is None:
        raise ConfigurationError(f"address is text or has get_address(), but {type(address).__name__} was given")
    return str(get_address())
