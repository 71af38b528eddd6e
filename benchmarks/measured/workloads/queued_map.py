"""What n small tasks cost that one `map`, in a thread, has queued behind long ones: memory and time.

All workers sleep meanwhile, so nothing moves but the tasks on their way into the queue. Everything is accepted when
client and scheduler have come to rest: from then on nobody uses the processor. Memory is the growth of the
proportional set size until then; from it the bytes of the pickled calls are subtracted, once in each process.
"""

import gc
import os
import pickle
import threading
import time

import procs
import settling
import tasks
from adapters._base import Base

BLOCKED_S = 600.0
REST_TIMEOUT_S = 60.0


def run(peer: Base, n: int = 1_000_000, workers: int = 2) -> dict[str, float]:
    """Bytes for each task beyond its own, in scheduler and client, and the seconds until all are accepted."""
    peer.start(workers)
    peer.warm_up(workers)
    scheduler = peer.scheduler_pids()
    blocking = [peer.submit(tasks.sleep, BLOCKED_S) for _ in range(workers)]
    both = [os.getpid(), *scheduler]
    settling.last_busy(lambda: both, REST_TIMEOUT_S)
    gc.collect()
    client_before, scheduler_before = procs.pss([os.getpid()]), procs.pss(scheduler)
    written_before = procs.written_bytes(scheduler)
    queueing = threading.Thread(target=peer.map, args=(tasks.noop, range(n)), daemon=True)
    started = time.monotonic()
    queueing.start()
    rest = settling.last_busy(lambda: both, REST_TIMEOUT_S)
    assert rest is not None, "scheduler and client did not come to rest"
    assert not any(getattr(future, "done", bool)() for future in blocking), "the workers were not blocked"
    own_bytes = sum(len(pickle.dumps((x,), pickle.HIGHEST_PROTOCOL)) for x in range(n))
    gc.collect()
    client_growth = procs.pss([os.getpid()]) - client_before
    scheduler_growth = procs.pss(scheduler) - scheduler_before
    assert scheduler_growth >= own_bytes, "the scheduler does not hold all calls"
    return {
        "accepted_s": rest - started,
        "scheduler_bytes": (scheduler_growth - own_bytes) / n,
        "client_bytes": (client_growth - own_bytes) / n,
        "own_bytes": own_bytes / n,
        "spilled_mb": (procs.written_bytes(scheduler) - written_before) / 1e6,
    }
