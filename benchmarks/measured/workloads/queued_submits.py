"""How client and scheduler grow while n single submits, made at once or at a steady rate, wait behind long tasks."""

import gc
import os
import time

import procs
import settling
import tasks
from adapters._base import Base, Unsupported

BLOCKED_S = 600.0
#: then as many tasks as were submitted have to do
SUBMITTING_S = 40.0
REST_TIMEOUT_S = 30.0


def run(peer: Base, n: int = 100_000, workers: int = 2, per_s: float = 0.0) -> dict[str, float]:
    """Bytes for each task, its own bytes included; of peers whose scheduler is in the client, both together."""
    peer.start(workers)
    peer.warm_up(workers)
    try:
        scheduler = peer.scheduler_pids()
    except Unsupported:
        scheduler = []
    futures = [peer.submit(tasks.sleep, BLOCKED_S) for _ in range(workers)]
    watched = [os.getpid(), *peer.pids()]
    settling.last_busy(lambda: watched, REST_TIMEOUT_S)
    gc.collect()
    client_before, scheduler_before = procs.pss([os.getpid()]), procs.pss(scheduler)
    started = time.monotonic()
    for x in range(n):
        futures.append(peer.submit(tasks.noop, x))
        if per_s:
            time.sleep(max(0.0, started + (x + 1) / per_s - time.monotonic()))
        if time.monotonic() > started + SUBMITTING_S:
            break
    submitted = len(futures) - workers
    settling.last_busy(lambda: watched, REST_TIMEOUT_S)
    gc.collect()
    figures: dict[str, float] = {
        "client_bytes": (procs.pss([os.getpid()]) - client_before) / submitted,
        "submitted": submitted,
    }
    if scheduler:
        figures["scheduler_bytes"] = (procs.pss(scheduler) - scheduler_before) / submitted
    return figures
