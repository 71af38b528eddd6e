"""What processes use, as the kernel counts it."""

import os
from collections.abc import Callable, Iterable

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: fields of /proc/PID/stat, counted from the one behind the name
_USER_TICKS, _SYSTEM_TICKS, _RSS_PAGES = 11, 12, 21


class Usage:
    """CPU and memory of processes; CPU is a share of the time since they were looked at before, 0 at first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: of each process that was looked at last: its CPU seconds, and when
        self._before: dict[int, tuple[float, float]] = {}

    def of(self, pids: Iterable[int]) -> dict[int, tuple[float, int]]:
        """CPU % and resident bytes of each process that exists."""
        before, self._before = self._before, {}
        found: dict[int, tuple[float, int]] = {}
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            now = self._clock()
            cpu_s = (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_S
            self._before[pid] = cpu_s, now
            cpu_before, then = before.get(pid, (cpu_s, now))
            percent = 100 * (cpu_s - cpu_before) / (now - then) if now > then else 0.0
            found[pid] = percent, int(fields[_RSS_PAGES]) * _PAGE_BYTES
        return found
