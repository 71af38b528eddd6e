"""What one worker-cluster process is told about how to behave, built once by the command line."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import ConfigurationError
from scaler.resources import GPU, INLINE_BYTES, NO_RESOURCES, Resources
from scaler.worker.tidying import Tidying

#: as an address on the command line: whoever starts this process says it on its line, once there is one
TOLD_LATER = "-"
#: tasks that may wait for others, if nobody says how many
_MAX_PARKED = 64
_MAX_PARKED_A_SLOT = 4
#: of one cluster; there may be any number of those
MOST_WORKERS = 10_000
#: of one worker
MOST_THREADS = 1024
MOST_PARKED = 100_000


@dataclass(frozen=True, slots=True)
class WorkerClusterConfig:
    """Where the scheduler is, what is offered to it, and how long to wait for what; times in seconds.

    `devices` are the GPUs that tasks can ask for, as CUDA names them. `ends_at_unix_s` is the end of the allocation, if
    it has one; `parent_fd` a descriptor whose end of file means that whoever started this process is gone; an empty
    `address` is said on it later, in one line. At `peer_port` (0: any, None: none) clusters of other hosts fetch
    values. With `echo` what tasks print is written to this process's own output, too, in lines that look as
    `log_format` says.
    """

    address: str
    workers: int
    threads: int = 1
    name: str = ""
    worker_names: tuple[str, ...] = ()
    max_parked: int | None = None
    tags: tuple[str, ...] = ()
    resources: Resources = NO_RESOURCES
    heartbeat_interval_s: float = 2.0
    death_timeout_s: float = 300.0
    grace_s: float = 0.0
    ends_at_unix_s: float | None = None
    key_file: Path | None = None
    insecure: bool = False
    insecure_off_loopback: bool = False
    python_path: tuple[str, ...] = ()
    preload: str = ""
    max_tasks_per_worker: int | None = None
    memory_limit_bytes: int | None = None
    object_store_limit_bytes: int | None = None
    spill_folder: Path | None = None
    inline_bytes: int = INLINE_BYTES
    peer_port: int | None = 0
    devices: tuple[str, ...] = ()
    parent_fd: int | None = None
    environment: Mapping[str, str] | None = None
    echo: bool = True
    log_format: str = "text"
    task_timeout_s: float | None = None
    tidying: Tidying | None = None

    @property
    def parked_at_most(self) -> int:
        """How many tasks may wait for others: some for each that can run, for tasks nest."""
        return self.max_parked or max(_MAX_PARKED, _MAX_PARKED_A_SLOT * self.workers * self.threads)


def visible_devices(resources: Resources, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The devices behind a number of GPUs: those that CUDA is to see here, else as many as there are to be.

    `ConfigurationError` if fewer are seen here.
    """
    count = math.ceil(dict(resources).get(GPU, 0.0))
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if not count or named is None:
        return tuple(map(str, range(count)))
    seen = [name.strip() for name in named.split(",")]
    seen = [name for name in seen[: seen.index("-1") if "-1" in seen else None] if name]
    if len(seen) < count:
        raise ConfigurationError(f"there are not {count} GPUs here: CUDA_VISIBLE_DEVICES is {named!r}")
    return tuple(seen[:count])


def default_workers() -> int:
    """As many as CPUs this process may use: by its affinity, and by its control group's quota."""
    cpus = len(os.sched_getaffinity(0))
    quota = _cgroup_cpus()
    return max(1, min(cpus, math.ceil(quota)) if quota else cpus)


def _cgroup_cpus() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None
