"""What one worker-cluster process is told about how to behave, built once by the command line."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.resources import NO_RESOURCES, Resources

#: as an address on the command line: whoever starts this process says it on its line, once there is one
TOLD_LATER = "-"
#: tasks that may wait for others, if nobody says how many
_MAX_PARKED = 64
_MAX_PARKED_A_SLOT = 4


@dataclass(frozen=True, slots=True)
class WorkerClusterConfig:
    """Where the scheduler is, what is offered to it, and how long to wait for what; times in seconds.

    `ends_at_unix_s` is the end of the allocation, if it has one; `parent_fd` a descriptor whose end of file means that
    whoever started this process is gone; an empty `address` is said on it later, in one line.
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
    parent_fd: int | None = None
    environment: Mapping[str, str] | None = None

    @property
    def parked_at_most(self) -> int:
        """How many tasks may wait for others: some for each that can run, for tasks nest."""
        return self.max_parked or max(_MAX_PARKED, _MAX_PARKED_A_SLOT * self.workers * self.threads)


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
