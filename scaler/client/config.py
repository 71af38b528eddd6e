"""The client's one configuration record, built from the caller's arguments, the environment and the run directory."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.client.finding import find
from scaler.client.options import label_of
from scaler.errors import ConfigurationError
from scaler.protocol.connection import LONGEST_LABEL
from scaler.resources import LEAST_INLINE_BYTES, MOST_INLINE_BYTES, bytes_of
from scaler.storage.places import require_takes_files

STORE_LIMIT, SPILL_DIR, INLINE_LIMIT = "SCALER_OBJECT_STORE_LIMIT", "SCALER_SPILL_DIR", "SCALER_INLINE_LIMIT"
_NONE_FOR_DURABLE = (
    "durable work needs a scheduler that outlives this process, and there is none: start one, as in 'scaler_scheduler "
    "tcp://127.0.0.1:8516', and pass its address or set SCALER_ADDRESS"
)
#: a scheduler would take a client that is silent for longer for dead
_LONGEST_HEARTBEAT_S = 3600.0


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client needs to reach its scheduler; times in seconds, `timeout_s` inf for ever."""

    address: str
    name: str
    timeout_s: float
    heartbeat_interval_s: float
    key_file: Path | None
    insecure: bool
    insecure_off_loopback: bool
    environment: Mapping[str, str]
    stream_output: bool = True
    ship_code: bool = True
    #: where large values lie, and how much of them in memory; None for what is usual
    store_limit_bytes: int | None = None
    spill_folder: Path | None = None
    #: what is larger does; None for what holds in this process
    inline_bytes: int | None = None
    #: the durable work that the client opens; "" for none
    durable: str = ""

    def elsewhere(self) -> "ClientConfig":
        """The same in another process, whose environment is its own."""
        return dataclasses.replace(self, environment={}, inline_bytes=None)


def client_config(
    address: object,
    *,
    name: object,
    timeout_s: object,
    heartbeat_interval_s: object,
    key_file: str | os.PathLike[str] | None,
    insecure: bool = False,
    insecure_off_loopback: bool = False,
    ship_code: bool = True,
    stream_output: bool = True,
    durable: object = None,
    none_there: str = "",
) -> ClientConfig:
    """The record for a `Client(...)` call; `address` is text, or anything with `get_address()`, or None.

    A scheduler is looked for, or started, once all else is known to be right; with `none_there`, which is told then,
    or for durable work none is started.
    """
    environment = dict(os.environ)
    label = _name(name)
    timeout_s = _seconds("timeout_seconds", timeout_s, math.inf)
    heartbeat_interval_s = _seconds("heartbeat_interval_seconds", heartbeat_interval_s, _LONGEST_HEARTBEAT_S)
    named_key = _key_file(key_file)
    store_limit_bytes = _store_limit(environment)
    spill_folder = _spill_folder(environment)
    inline_bytes = _inline_limit(environment)
    work = label_of("durable", durable) or ""
    where = find(address, environment, _NONE_FOR_DURABLE if work else none_there)
    return ClientConfig(
        address=where.address,
        name=label,
        timeout_s=timeout_s,
        heartbeat_interval_s=heartbeat_interval_s,
        key_file=named_key or where.key_file,
        insecure=insecure,
        insecure_off_loopback=insecure_off_loopback,
        ship_code=ship_code,
        environment=environment,
        stream_output=stream_output,
        store_limit_bytes=store_limit_bytes,
        spill_folder=spill_folder,
        inline_bytes=inline_bytes,
        durable=work,
    )


def _store_limit(environment: Mapping[str, str]) -> int | None:
    text = environment.get(STORE_LIMIT, "").strip()
    if text in {"", "0"}:
        return 0 if text else None
    try:
        return bytes_of(text)
    except ValueError:
        raise ConfigurationError(
            f"{STORE_LIMIT} must be 0 or a size such as 500M or 2Gi, but is {text!r:.50}"
        ) from None


def _inline_limit(environment: Mapping[str, str]) -> int | None:
    text = environment.get(INLINE_LIMIT, "").strip()
    if not text:
        return None
    with contextlib.suppress(ValueError):
        if LEAST_INLINE_BYTES <= (size_bytes := bytes_of(text)) <= MOST_INLINE_BYTES:
            return size_bytes
    raise ConfigurationError(f"{INLINE_LIMIT} must be a size from 1Ki to 64Mi such as 64Ki, but is {text!r:.50}")


def _spill_folder(environment: Mapping[str, str]) -> Path | None:
    text = environment.get(SPILL_DIR, "")
    if not text:
        return None
    if not Path(text).is_dir():
        raise ConfigurationError(f"{SPILL_DIR} must name a folder, but is {text!r:.200}")
    try:
        require_takes_files(Path(text))
    except ConfigurationError as error:
        raise ConfigurationError(f"{SPILL_DIR}: {error}") from None
    return Path(text)


def _seconds(argument: str, value: object, most: float) -> float:
    if not isinstance(value, int | float) or not 0 < value <= most:
        limit = "float('inf') for ever" if most == math.inf else f"at most {most:g}"
        raise ConfigurationError(f"{argument} must be a number of seconds above 0, {limit}, but is {value!r:.50}")
    return value


def _name(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_LABEL or not value.isprintable():
        raise ConfigurationError(
            f"name must be printable text of at most {LONGEST_LABEL} characters, but is {value!r:.50}"
        )
    return value


def _key_file(value: str | os.PathLike[str] | None) -> Path | None:
    if value == "":  # which would be the working directory
        raise ConfigurationError("key_file must name a file or a key directory, but is ''")
    return None if value is None else Path(value)
