"""Threads that move large values: they give way to whatever else wants to run on this host."""

import contextlib
import os
from collections.abc import Iterator

#: a tenth of the share of others where all processors are busy, and all there is where they are not
NICENESS = 10


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """What threads begin in this block, of C libraries too, give way to others; the threads there are do not change."""
    before = _threads()
    yield
    for thread in _threads() - before:
        with contextlib.suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, thread, NICENESS)


def _threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}
