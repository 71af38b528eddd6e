"""The private cluster of this process: started when it is first asked for, stopped with the process."""

import itertools
import os
import threading

from scaler.cluster.combo import SchedulerClusterCombo
from scaler.worker.config import default_workers

_lock = threading.Lock()
_numbers = itertools.count(1)
#: the present one and those that have ended
_started: list[SchedulerClusterCombo] = []


def own_cluster() -> tuple[str, int]:
    """Where the scheduler of this process's own cluster listens, and how many workers were started with it, or 0.

    It has a worker for each CPU that may be used. If a part of it has ended, it is started anew.
    """
    with _lock:
        if _started and _started[-1].is_running:
            return _started[-1].get_address(), 0
        workers = default_workers()
        while _started:
            _started.pop().shutdown()
        # a socket in a folder of ours needs neither a port nor keys
        address = f"ipc://own-{os.getpid()}-{next(_numbers)}"
        _started.append(SchedulerClusterCombo(workers, address, protected=False, private=True))
        return _started[-1].get_address(), workers


def end_own_cluster(address: str) -> None:
    """If this is where it listens: stop all of it, and return when nothing of it is left."""
    with _lock:
        for combo in [combo for combo in _started if combo.get_address() == address]:
            _started.remove(combo)
            combo.shutdown()


def _disown() -> None:
    """In a forked child it is the parent's."""
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.Lock()
    _started.clear()


os.register_at_fork(after_in_child=_disown)
