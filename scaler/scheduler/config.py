"""The scheduler's one configuration record, built by the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.net.addresses import Address


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """What a scheduler process is told at its start; times in seconds.

    `addresses` are tried in turn, and the first that is free is taken. Durable works lie in `state_directory`, or, if
    it is None, in one that goes by the address. `parent_fd` is the line of whoever started this process as a child: it
    is told the address, and its closing ends us.
    """

    addresses: tuple[Address, ...]
    monitor_address: Address
    environment: Mapping[str, str]
    state_directory: Path | None = None
    key_directory: Path | None = None
    is_insecure: bool = False
    is_insecure_off_loopback: bool = False
    is_protected: bool = True
    is_private: bool = False
    client_timeout_s: float = 60.0
    worker_timeout_s: float = 60.0
    event_loop: str = "builtin"
    max_queued_tasks: int | None = None
    memory_limit_bytes: int | None = None
    parent_fd: int | None = None
