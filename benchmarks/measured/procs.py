"""Facts about processes, read from /proc: who descends from whom, memory, processor time, connections."""

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36
TCP_ESTABLISHED = "01"


def become_subreaper() -> None:
    """From now on orphaned descendants become our children, so that daemons of a peer stay in `descendants()`."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _read(pid: int, name: str) -> str | None:
    """A file of /proc/PID, or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on, or None when the process is gone."""
    text = _read(pid, "stat")
    return text.rpartition(")")[2].split() if text else None


def descendants(root: int) -> list[int]:
    """The pids of all living children, grandchildren ... of root."""
    children = defaultdict(list)
    for entry in os.listdir("/proc"):
        stat = _stat(int(entry)) if entry.isdigit() else None
        if stat:
            children[int(stat[1])].append((int(entry), stat[0]))
    found, queue = [], [root]
    while queue:
        for pid, state in children[queue.pop()]:
            queue.append(pid)
            if state != "Z":
                found.append(pid)
    return found


def command(pid: int) -> list[str]:
    """The words of a process's command line; none when it is gone."""
    return (_read(pid, "cmdline") or "").split("\0")[:-1]


def kill_descendants(root: int, seconds: float = 10) -> list[int]:
    """Kill what root started, by pid, until nothing is left; returns the pids that would not die."""
    end = time.monotonic() + seconds
    while (pids := descendants(root)) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return pids


def reap_children() -> None:
    """Forget the children that have ended, adopted ones too; not for a process that still waits for one."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def pss(pids: Iterable[int]) -> int:
    """Bytes of memory of these processes, with shared pages split among those that map them."""
    rollups = (_read(pid, "smaps_rollup") or "" for pid in pids)
    return sum(int(line.split()[1]) * 1024 for text in rollups for line in text.splitlines() if line.startswith("Pss:"))


def memory(pids: Iterable[int]) -> int:
    """Bytes of memory of these processes, and all that lies in files in memory, whoever has mapped it."""
    total = 0
    for text in (_read(pid, "smaps_rollup") or "" for pid in pids):
        sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
        total += sizes.get("Pss:", 0) - sizes.get("Pss_Shmem:", 0)
    with open("/proc/meminfo", encoding="ascii") as file:
        return total + sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Shmem:"))


class PeakMemory:
    """Within it, how far the memory of some processes grows, looked at every few milliseconds in a thread."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.growth_bytes = 0

    def __enter__(self) -> Self:
        self._before = memory(self._pids())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        known = self._pids()
        while not self._ended.wait(0.01):
            self.growth_bytes = max(self.growth_bytes, memory(known) - self._before)


def written_bytes(pids: Iterable[int]) -> int:
    """Bytes that these processes have had written to disks."""
    files = (_read(pid, "io") or "" for pid in pids)
    return sum(int(line.split()[1]) for text in files for line in text.splitlines() if line.startswith("write_bytes:"))


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of these processes and of their children that have ended."""
    stats = filter(None, map(_stat, pids))
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / TICKS_PER_SECOND


def age(pid: int) -> float:
    """Seconds since the process started, to 10 ms; NaN when it is gone."""
    stat = _stat(pid)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / TICKS_PER_SECOND if stat else float("nan")


def connections_to(port: int) -> int:
    """How many TCP connections the process that listens on this IPv4 port of this machine has now."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return sum(row[3] == TCP_ESTABLISHED and int(row[1].rpartition(":")[2], 16) == port for row in rows)
