"""What scheduler, workers and client use together while there is nothing to do."""

import os
import time

import procs
from adapters._base import Base


def run(peer: Base, seconds: float = 20.0, workers: int = 2) -> dict[str, float]:
    """Percent of one core over so many seconds, and memory."""
    peer.start(workers)
    peer.warm_up(workers)
    time.sleep(2)
    pids = [os.getpid(), *peer.pids()]
    cpu_s = procs.cpu_seconds(pids)
    time.sleep(seconds)
    cpu_s = procs.cpu_seconds(pids) - cpu_s
    return {"cpu_percent": 100 * cpu_s / seconds, "pss_mb": procs.pss(pids) / 1e6, "processes": len(pids)}
