"""Keeps workers below their memory limit: looks at what they and their processes use, and tells of those that pass it.

How often goes by what is left: a worker is looked at again before it could have filled that, however fast it is. What
it uses is first the resident memory of its processes, which is quickly read and counts what they share more than once.
A worker that seems to have passed the limit is stopped, so that it cannot go on to its next task meanwhile, and
measured by its share of every page; if it is below the limit after all, it goes on.
"""

import contextlib
import math
import mmap
from collections.abc import Callable, Iterable
from pathlib import Path

from scaler.worker.agent_events import MemoryPassed
from scaler.worker.descendants import families
from scaler.worker.handle import WorkerHandle

#: no process fills memory faster, in bytes a second
FASTEST = 4e9
SHORTEST_S = 0.005
LONGEST_S = 0.2
#: how often processes are looked for that tasks have started, at most
FAMILY_S = 0.25
#: what takes long is done so much later again, measured by what it took
_TIMES_LATER = 20


class MemoryWatch:
    """The limit of every worker of a cluster, and when they are to be looked at."""

    def __init__(self, limit_bytes: int, clock: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._clock = clock
        #: when a worker is to be looked at; it may be too early, never too late
        self.due = math.inf
        #: the processes of workers at work, by that of the worker, and when to look for them again
        self._families: dict[int, list[int]] = {}
        self._families_due = 0.0

    def given(self, handle: WorkerHandle) -> None:
        """A worker has something to do."""
        self.due = min(self.due, max(self._clock() + SHORTEST_S, handle.memory_due))

    def look(self, handles: Iterable[WorkerHandle]) -> list[MemoryPassed]:
        """Look at the workers whose time has come; those that have passed the limit stand still."""
        now = self._clock()
        if now < self.due:
            return []
        passed: list[MemoryPassed] = []
        at_work = [handle for handle in handles if handle.is_at_work]
        if at_work and now >= self._families_due:
            self._find_families(at_work)
        for handle in at_work:
            if now >= handle.memory_due:
                passed += self._measure(handle, now)
        self.due = min((handle.memory_due for handle in at_work), default=math.inf)
        return passed

    def _find_families(self, handles: Iterable[WorkerHandle]) -> None:
        begun = self._clock()
        self._families = families([handle.pid for handle in handles])
        ended = self._clock()
        self._families_due = ended + max(FAMILY_S, _TIMES_LATER * (ended - begun))

    def _measure(self, handle: WorkerHandle, now: float) -> list[MemoryPassed]:
        used_bytes = sum(map(_resident_bytes, self._families.get(handle.pid, [handle.pid])))
        pause_s = 0.0
        if used_bytes > self._limit_bytes:
            handle.stop()
            used_bytes = sum(map(_shared_bytes, families([handle.pid])[handle.pid]))
            if used_bytes > self._limit_bytes:
                handle.excess_bytes = used_bytes
                handle.memory_due = math.inf
                return [MemoryPassed(handle.worker, used_bytes)]
            handle.go_on()
            pause_s = _TIMES_LATER * (self._clock() - now)
        left_s = (self._limit_bytes - used_bytes) / FASTEST
        handle.memory_due = now + max(pause_s, min(LONGEST_S, max(SHORTEST_S, left_s)))
        return []


def _resident_bytes(pid: int) -> int:
    """What a process has in memory, as far as it exists."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * mmap.PAGESIZE
    return 0


def _shared_bytes(pid: int) -> int:
    """What a process has in memory and swapped out, where what it shares with n others counts one n-th."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:  # it is gone, or the kernel does not tell
        return _resident_bytes(pid)
    fields = (line.split() for line in rollup.splitlines())
    return sum(int(field[1]) for field in fields if field[0] in (b"Pss:", b"SwapPss:")) << 10
