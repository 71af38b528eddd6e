"""A cluster stands still, all of its processes, for longer than the scheduler waits for it, and then goes on."""

import contextlib
import os
import signal
import time

from benchmarks.chaos.absence import Absence, absence_figures
from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import Chaos, System, log_lines, tree, wait_until
from benchmarks.chaos.verified import Verified
from benchmarks.rows import Bar
from scaler import Client


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Signal each of them that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def run(
    chaos: Chaos, seconds: float, workers: int, timeout_s: float, pause_s: float, before_s: float, after_s: float
) -> Figures:
    """Two clusters at work; one of them is stopped and continued."""
    system = System(chaos, "--worker-timeout", f"{timeout_s:g}")
    paused, _ = system.add_clusters(2, workers)
    tasks = int((2 * before_s + pause_s + 2 * after_s) * workers / seconds)
    with Client(system.address) as client:
        work = Verified(chaos, client, "runs", tasks, seconds)
        wait_until(lambda: work.done >= 2 * before_s * workers / seconds, "both are at work")
        pids, stopped = frozenset(system.workers(paused)), tree(paused.pid)
        signal_all(stopped, signal.SIGSTOP)
        chaos.tell(f"stop {stopped}")
        away_s = time.monotonic()
        try:
            time.sleep(pause_s)
        finally:
            signal_all(stopped, signal.SIGCONT)
        back_s = time.monotonic()
        chaos.tell(f"continue {stopped}")
        work.wait(5 * (before_s + pause_s + after_s))
        figures = work.figures()
    gone = log_lines([system.scheduler], "a worker cluster is gone")
    return figures | absence_figures(chaos.runs("runs"), Absence(pids, away_s, back_s, timeout_s)) | {"gone": gone}


SCENARIO = Scenario(
    "8",
    "a cluster stands still and goes on",
    run,
    (
        *VERIFIED,
        Bar("gone", "times it was given up", at_least=1, at_most=1),
        Bar("elsewhere_s", "s after the timeout to elsewhere", at_most=3.0),
        Bar("ran_twice", "tasks that ended twice"),
        Bar("re_runs", "re-runs"),
        Bar("back_s", "s until it works again", at_most=5.0),
    ),
    full={"seconds": 0.050, "workers": 4, "timeout_s": 60.0, "pause_s": 90.0, "before_s": 5.0, "after_s": 20.0},
    ci={"workers": 2, "timeout_s": 5.0, "pause_s": 9.0, "before_s": 2.0, "after_s": 8.0},
)
