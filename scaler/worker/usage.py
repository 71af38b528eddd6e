"""What processes use, as the system counts it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


class Usage:
    """CPU and memory of processes; CPU is a share of the time since they were looked at before, 0 at first."""

    def __init__(self) -> None:
        #: all and only those that were looked at last
        self._known: dict[int, psutil.Process] = {}

    def of(self, pids: Iterable[int]) -> dict[int, tuple[float, int]]:
        """CPU % and resident bytes of each process that exists."""
        import psutil  # noqa: PLC0415  # most clusters are never watched

        known, self._known = self._known, {}
        found: dict[int, tuple[float, int]] = {}
        for pid in pids:
            try:
                process = known.get(pid) or psutil.Process(pid)
                found[pid] = process.cpu_percent(), process.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
            self._known[pid] = process
        return found
