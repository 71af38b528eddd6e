"""What the runs tell of workers that were away for a while: stopped, or cut off. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measured.runs import Run

#: a rate is that of a window so long, and full if it is so large a share of the one before
WINDOW_S = 0.5
FULL = 0.8


@dataclass(frozen=True)
class Absence:
    """These workers were away from one moment to another; the scheduler gives them up after `timeout_s`."""

    pids: frozenset[int]
    away_s: float
    back_s: float
    timeout_s: float


def absence_figures(runs: Sequence[Run], absence: Absence) -> dict[str, float]:
    """When their tasks ran elsewhere, and when they had work again. A figure is absent where that never was."""
    figures: dict[str, float] = {}
    theirs = {
        run.index
        for run in runs
        if run.pid in absence.pids
        and run.begun_s < absence.away_s
        and (run.ended_s is None or run.ended_s > absence.away_s)
    }
    elsewhere = [
        run.begun_s
        for run in runs
        if run.index in theirs and run.begun_s > absence.away_s and run.pid not in absence.pids
    ]
    if elsewhere:
        figures["elsewhere_s"] = max(0.0, min(elsewhere) - absence.away_s - absence.timeout_s)
    back = [run.begun_s for run in runs if run.pid in absence.pids and run.begun_s > absence.back_s]
    if back:
        figures["back_s"] = min(back) - absence.back_s
    ended = Counter(run.index for run in runs if run.ended_s is not None)
    return figures | {"ran_twice": float(sum(times > 1 for times in ended.values()))}


def full_speed_after(runs: Sequence[Run], away_s: float, back_s: float) -> float | None:
    """Seconds after `back_s` until tasks end as quickly as before `away_s`; None if they never do."""
    ends = sorted(run.ended_s for run in runs if run.ended_s is not None)
    before = [end for end in ends if away_s - 4 * WINDOW_S <= end < away_s]
    wanted = FULL * len(before) / 4
    after = [end for end in ends if end >= back_s]
    for place, start in enumerate([back_s, *after]):
        found = sum(start <= end < start + WINDOW_S for end in after[max(0, place - 1) :])
        if found >= wanted:
            return start - back_s
    return None
