"""From resolved settings to the one frozen record each process gets; what does not fit together is refused here."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from scaler.cli import settings
from scaler.cli.logs import LogConfig
from scaler.cli.resolve import Resolved
from scaler.cli.settings import Setting
from scaler.errors import AddressError, ConfigurationError
from scaler.net.addresses import Address, TcpAddress, parse_address
from scaler.net.connection_file import monitor_address
from scaler.scheduler.config import SchedulerConfig
from scaler.worker.config import TOLD_LATER, WorkerClusterConfig, visible_devices
from scaler.worker.tidying import Tidying

FIRST_PORT, LAST_PORT = 8516, 8545


def scheduler_config(found: Resolved, environment: Mapping[str, str], parent_fd: int | None) -> SchedulerConfig:
    """The record of a scheduler."""
    listen = found[settings.LISTEN_ADDRESS]
    if listen is None:
        ports = (*range(FIRST_PORT, LAST_PORT + 1), 0)
        addresses: tuple[Address, ...] = tuple(TcpAddress("127.0.0.1", port) for port in ports)
    else:
        addresses = (_address(found, settings.LISTEN_ADDRESS, listen, environment),)
    monitor = found[settings.MONITOR_ADDRESS] or monitor_address(os.getpid())
    return SchedulerConfig(
        addresses=addresses,
        monitor_address=_address(found, settings.MONITOR_ADDRESS, monitor, environment),
        environment=environment,
        key_directory=found[settings.KEY_FILE],
        is_insecure=found[settings.INSECURE],
        is_insecure_off_loopback=found[settings.INSECURE_OFF_LOOPBACK],
        is_protected=found[settings.PROTECTED],
        is_private=found[settings.PRIVATE],
        client_timeout_s=found[settings.CLIENT_TIMEOUT],
        worker_timeout_s=found[settings.WORKER_TIMEOUT],
        event_loop=found[settings.EVENT_LOOP],
        max_queued_tasks=found[settings.MAX_QUEUED_TASKS],
        memory_limit_bytes=found[settings.SCHEDULER_MEMORY_LIMIT],
        state_directory=found[settings.STATE_DIR],
        parent_fd=parent_fd,
    )


def worker_config(
    found: Resolved,
    environment: Mapping[str, str],
    find_scheduler: Callable[[], str | None],
    parent_fd: int | None,
) -> WorkerClusterConfig:
    """The record of a worker cluster; `find_scheduler` tells of one on this machine if no address was given."""
    return WorkerClusterConfig(
        address=_scheduler_address(found, environment, find_scheduler, is_told_later=parent_fd is not None),
        workers=_workers(found),
        threads=found[settings.THREADS],
        max_parked=found[settings.MAX_PARKED],
        name=found[settings.NAME] or "",
        worker_names=found[settings.WORKER_NAMES],
        tags=found[settings.TAGS],
        resources=found[settings.RESOURCES],
        devices=_devices(found, environment),
        heartbeat_interval_s=found[settings.HEARTBEAT_INTERVAL],
        death_timeout_s=found[settings.DEATH_TIMEOUT],
        grace_s=found[settings.GRACE],
        ends_at_unix_s=found[settings.END_TIME],
        key_file=found[settings.KEY_FILE],
        insecure=found[settings.INSECURE],
        insecure_off_loopback=found[settings.INSECURE_OFF_LOOPBACK],
        python_path=found[settings.PYTHON_PATH],
        preload=found[settings.PRELOAD] or "",
        max_tasks_per_worker=found[settings.MAX_TASKS_PER_WORKER],
        memory_limit_bytes=found[settings.MEMORY_LIMIT],
        object_store_limit_bytes=found[settings.OBJECT_STORE_LIMIT],
        spill_folder=found[settings.SPILL_DIR],
        inline_bytes=found[settings.INLINE_LIMIT],
        peer_port=found[settings.PEER_PORT],
        parent_fd=parent_fd,
        environment=environment,
        echo=found[settings.ECHO],
        log_format=found[settings.LOG_FORMAT],
        task_timeout_s=found[settings.TASK_TIMEOUT] or None,
        tidying=_tidying(found),
    )


def missing_folders(found: Resolved) -> list[str]:
    """A line for each place where tasks are to look for modules and nothing is: most often it is misspelt."""
    where = found.where(settings.PYTHON_PATH)
    missing = [path for path in found[settings.PYTHON_PATH] if not Path(path).exists()]
    return [f"{where}: there is no {path}; no task finds a module there" for path in missing]


def _tidying(found: Resolved) -> Tidying | None:
    after_s = found[settings.GARBAGE_COLLECT_INTERVAL]
    return Tidying(after_s, found[settings.TRIM_MEMORY_THRESHOLD]) if after_s else None


def log_config(found: Resolved) -> LogConfig:
    """How a process logs."""
    return LogConfig(
        level=found.given(settings.LOGGING_LEVEL),
        paths=found.given(settings.LOGGING_PATHS),
        format=found.given(settings.LOG_FORMAT),
        config_file=found[settings.LOGGING_CONFIG_FILE],
    )


def _address(found: Resolved, setting: Setting[str | None], text: str, environment: Mapping[str, str]) -> Address:
    try:
        return parse_address(text, environment)
    except AddressError as error:
        raise AddressError(f"{found.where(setting)}: {error}") from None


def _scheduler_address(
    found: Resolved, environment: Mapping[str, str], find_scheduler: Callable[[], str | None], *, is_told_later: bool
) -> str:
    text = found[settings.ADDRESS] or find_scheduler()
    if text == TOLD_LATER and is_told_later:
        return ""
    if text is None:
        raise ConfigurationError(
            "no scheduler address: give one, as in 'scaler_worker tcp://host:8516', or set SCALER_ADDRESS; "
            "no scheduler of yours runs on this machine"
        )
    address = _address(found, settings.ADDRESS, text, environment)
    if isinstance(address, TcpAddress) and not address.port:
        where = found.where(settings.ADDRESS)
        raise AddressError(f"{where}: {address} is where nobody listens: give the port the scheduler has printed")
    return str(address)


def _devices(found: Resolved, environment: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return visible_devices(found[settings.RESOURCES], environment)
    except ConfigurationError as error:
        raise ConfigurationError(f"{found.where(settings.RESOURCES)}: {error}") from None


def _workers(found: Resolved) -> int:
    """As many as were asked for, or as there are names."""
    names, asked = found[settings.WORKER_NAMES], found.given(settings.WORKERS)
    if not names:
        return found[settings.WORKERS]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{found.where(settings.WORKER_NAMES)}: each worker needs a name of its own")
    if asked is not None and asked != len(names):
        where = found.where(settings.WORKER_NAMES)
        raise ConfigurationError(f"{where}: {len(names)} names for {asked} workers: give one name for each")
    return len(names)
