"""Tasks that count their own runs: a line in a file at the begin and at the end of each, and what these lines tell.

The system under test is not asked: the file knows how often a task began and ended, where and when. Which attempt a run
was is its place among the begins of its task. Times are those of the host's monotonic clock, which all processes share.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: what had ended no longer than this before a kill may not have been told, on a busy machine: to whom its results come
#: first, and to the scheduler
UNTOLD_S = 0.5
UNTOLD_BY_HOST_S = 0.05

# ---- in workers


def append(path: str, line: str) -> None:
    """Leave a line in a file that many write to."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def value_of(index: int) -> int:
    """What the run of this task returns, so that one result is not taken for another."""
    return index * 2_654_435_761 % (1 << 32)


def begin(path: str, index: int) -> str:
    """Say that a run begins; what its end is to be told with."""
    run = f"{index} {os.getpid()} {time.monotonic():.6f}"
    append(path, f"begin {run}")
    return run


def end(path: str, run: str) -> None:
    """Say that a run has ended."""
    append(path, f"end {run} {time.monotonic():.6f}")


def counted(path: str, index: int, seconds: float) -> int:
    """One run: a line, some time, a line, and the value of this task."""
    run = begin(path, index)
    time.sleep(seconds)
    end(path, run)
    return value_of(index)


# ---- what the lines tell


@dataclass(frozen=True)
class Run:
    """One run of one task; `ended_s` is None where it has not ended."""

    index: int
    pid: int
    begun_s: float
    ended_s: float | None = None


@dataclass(frozen=True)
class Kill:
    """Processes that were killed, and when.

    Nobody can have heard of the end of what they ran, nor, where a whole host was lost, of what had ended just before.
    Of a worker that is killed alone only the last run may be so.
    """

    at_s: float
    pids: frozenset[int]
    is_host: bool = False

    def was_under_way(self, run: Run) -> bool:
        """Whether it had begun and not ended."""
        return run.pid in self.pids and run.begun_s <= self.at_s and (run.ended_s is None or run.ended_s > self.at_s)

    def struck(self, runs: Sequence[Run]) -> list[Run]:
        """Those of the runs, in order, that this kill may have cost."""
        untold_s = self.at_s - (UNTOLD_BY_HOST_S if self.is_host else UNTOLD_S)
        found = []
        for pid in sorted(self.pids):
            theirs = [run for run in runs if run.pid == pid]
            lasts = theirs if self.is_host else theirs[-1:]
            found += [run for run in lasts if run.ended_s is None or run.ended_s >= untold_s]
        return found


def runs_of(lines: Iterable[str]) -> list[Run]:
    """All runs, in the order in which they began; a line that was torn by a kill counts for nothing."""
    begun: dict[tuple[str, ...], Run] = {}
    for line in lines:
        match line.split():
            case ["begin", index, pid, at] if "." in at:
                begun[index, pid, at] = Run(int(index), int(pid), float(at))
            case ["end", index, pid, at, ended] if (index, pid, at) in begun:
                begun[index, pid, at] = Run(int(index), int(pid), float(at), float(ended))
    return sorted(begun.values(), key=lambda run: run.begun_s)


def read_runs(path: Path) -> list[Run]:
    """The runs that a file tells of; none where no task has begun."""
    return runs_of(path.read_text(encoding="utf-8").splitlines()) if path.exists() else []


@dataclass(frozen=True)
class Counts:
    """How often tasks ran, and why."""

    begun: int
    never_ended: int
    re_runs: int
    #: runs that were under way at the kills
    running: int
    #: runs that began though no earlier run of their task was interrupted
    innocent: int
    #: runs that began after their task's future had its result
    made_again: int


def count(
    runs: Sequence[Run], tasks: int, kills: Sequence[Kill] = (), resolved: Mapping[int, float] | None = None
) -> Counts:
    """What the runs of tasks 0, 1 … say; `resolved` is when the futures of some had their result."""
    told = resolved or {}
    by_task: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.index].append(run)
    struck = {run for kill in kills for run in kill.struck(runs)}
    again = [(later, own[:place]) for own in by_task.values() for place, later in enumerate(own) if place]
    return Counts(
        begun=len(runs),
        never_ended=sum(all(run.ended_s is None for run in by_task[index]) for index in range(tasks)),
        re_runs=len(again),
        running=sum(kill.was_under_way(run) for kill in kills for run in runs),
        innocent=sum(struck.isdisjoint(earlier) for _, earlier in again),
        made_again=sum(later.begun_s > told.get(later.index, later.begun_s) for later, _ in again),
    )


def most_begins(runs: Iterable[Run]) -> int:
    """How often the task began that began most often."""
    return max(Counter(run.index for run in runs).values(), default=0)
