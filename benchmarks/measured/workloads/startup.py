"""From the start of a fresh Python process to its first result, imports included."""

import os

import procs
import tasks
from adapters._base import Base


def run(peer: Base, workers: int = 2) -> dict[str, float]:
    """The age of this process, which began with nothing, when its first result is there."""
    peer.start(workers)
    assert peer.result(peer.submit(tasks.noop, 1)) == 2, "wrong result"
    return {"seconds": procs.age(os.getpid())}
