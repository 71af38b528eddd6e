"""What the monitor stream tells of the scheduler: its core's state as tables of plain values."""

import os
import time
from typing import Any

import msgspec

from scaler.core.scheduler import SchedulerCore
from scaler.core.workers import Cluster
from scaler.scheduler.stream import Tables

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def core_tables(core: SchedulerCore) -> Tables:
    """Every table, row by row; computed only when somebody reads it."""
    managers = core.managers
    tasks = managers.tasks
    return {
        "scheduler": {"self": _process()},
        "tasks": {state.value: count for state, count in tasks.tasks_in.items()},
        "moves": {f"{state.value} {trigger.value}": count for (state, trigger), count in tasks.moved.items()},
        "clusters": {f"{peer:016x}": _cluster(cluster) for peer, cluster in managers.workers.clusters.items()},
        "clients": {
            f"{peer:016x}": {
                "name": client.name,
                "role": client.role,
                "batches": len(client.batches),
                "tasks": sum(tasks.batches[name].appended - tasks.batches[name].gone for name in client.batches),
            }
            for peer, client in managers.clients.clients.items()
        },
        "sizes": {
            "functions": len(managers.functions),
            "objects": len(managers.objects),
            "batches": len(tasks.batches),
            "runs": len(tasks.runs),
        },
    }


def _process() -> dict[str, Any]:
    with open("/proc/self/statm", encoding="ascii") as file:
        rss_pages = int(file.read().split()[1])
    return {"pid": os.getpid(), "cpu_s": time.process_time(), "rss_bytes": rss_pages * _PAGE_BYTES}


def _cluster(cluster: Cluster) -> dict[str, Any]:
    statistics = cluster.statistics
    return {
        "name": cluster.name,
        "host": cluster.host,
        "workers": cluster.workers,
        "slots": cluster.slots,
        "tags": cluster.tags,
        "resources": cluster.resources,
        "unfinished": cluster.load.unfinished,
        "running": len(cluster.running),
        "free": max(0, cluster.free),
        "statistics": None if statistics is None else msgspec.structs.asdict(statistics),
    }
