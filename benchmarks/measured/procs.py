"""Facts about processes, read from /proc: who descends from whom, memory, processor time, connections."""

import contextlib
import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable

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
