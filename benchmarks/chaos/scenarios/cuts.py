"""Packets between hosts are dropped: for a while, each way; some, and late; for longer than is waited for."""

import time

from benchmarks.chaos.absence import Absence, absence_figures, full_speed_after
from benchmarks.chaos.hosts import HERE, cut_off, hosts
from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import Chaos, GaveUpError, log_lines
from benchmarks.chaos.verified import Verified
from benchmarks.measured.runs import counted
from benchmarks.rows import Bar
from scaler import Client

#: who is cut off from the scheduler, and which way
SHORT = (("h2", "both"), ("h2", "there"), ("h2", "back"), (HERE, "both"), (HERE, "there"), (HERE, "back"))
LOSS, DELAY_S = 0.05, 0.2


def run(chaos: Chaos, seconds: float, workers: int, cut_s: float, gap_s: float, lossy_s: float) -> Figures:
    """Cuts that are over before anybody is given up, and then a bad line."""
    with hosts(chaos, 2) as net:
        net.add_cluster("h2", workers)
        tasks = int((gap_s * (len(SHORT) + 1) + 3 * cut_s + lossy_s / 2) * workers / seconds)
        moments = []
        with Client(net.system.address, key_file=net.client_key) as client:
            client.map(counted, [(chaos.path("warm"), n, 0.01) for n in range(50)])
            pids = set(net.system.workers())
            work = Verified(chaos, client, "runs", tasks, seconds)
            for name, way in SHORT:
                time.sleep(gap_s)
                away_s = time.monotonic()
                with cut_off(net, name, way):
                    time.sleep(cut_s)
                moments.append((name, way, away_s, time.monotonic(), work.done))
            time.sleep(gap_s)
            with net.lossy("h2", LOSS, DELAY_S):
                time.sleep(lossy_s)
            work.wait(gap_s + tasks * seconds / workers + 2 * cut_s)
            figures = work.figures()
            restarted = len(set(net.system.workers()) - pids)
    resolved = sorted(work.resolved_s.values())
    for name, way, away_s, back_s, done in moments:
        runs = chaos.runs("runs")
        speed_s = full_speed_after(runs, away_s, back_s) if name != HERE else None
        told = next((at for at in resolved if at >= back_s), None)
        speed_s = speed_s if name != HERE else told and told - back_s
        figures["back_s"] = max(figures.get("back_s", 0.0), cut_s if speed_s is None else speed_s)
        chaos.tell(f"{name} {way}: {done} done when mended, full speed after {speed_s} s")
    return figures | {"restarted": restarted}


def run_long(chaos: Chaos, seconds: float, workers: int, timeout_s: float, cut_s: float, gap_s: float) -> Figures:
    """A cut that is longer than the scheduler waits; another cluster is there to do the work."""
    with hosts(chaos, 3, "--worker-timeout", f"{timeout_s:g}") as net:
        cluster = net.add_cluster("h2", workers)
        net.add_cluster("h3", workers)
        tasks = int((3 * gap_s + cut_s) * workers / seconds)
        with Client(net.system.address, key_file=net.client_key) as client:
            client.map(counted, [(chaos.path("warm"), n, 0.01) for n in range(100)])
            work = Verified(chaos, client, "runs", tasks, seconds)
            time.sleep(gap_s)
            pids = frozenset(net.system.workers(cluster))
            away_s = time.monotonic()
            with cut_off(net, "h2", "both"):
                time.sleep(cut_s)
            back_s = time.monotonic()
            work.wait(2 * tasks * seconds / workers)
            if not work.is_done:
                raise GaveUpError(f"{tasks - work.done} tasks are not done")
            figures = work.figures()
        gone = log_lines([net.system.scheduler], "a worker cluster is gone")
    return figures | absence_figures(chaos.runs("runs"), Absence(pids, away_s, back_s, timeout_s)) | {"gone": gone}


SHORT_SCENARIO = Scenario(
    "7",
    "partitions, each way; loss and delay",
    run,
    (
        *VERIFIED,
        Bar("re_runs", "re-runs", at_most=0),
        Bar("restarted", "workers restarted", at_most=0),
        Bar("back_s", "s to full speed, worst", at_most=2.0),
    ),
    full={"seconds": 0.020, "workers": 4, "cut_s": 30.0, "gap_s": 6.0, "lossy_s": 60.0},
    ci={"cut_s": 6.0, "gap_s": 4.0, "lossy_s": 10.0},
    needs_hosts=True,
    ci_timeout_s=240.0,
)
LONG_SCENARIO = Scenario(
    "7-long",
    "a partition beyond the timeout",
    run_long,
    (
        *VERIFIED,
        Bar("gone", "times it was given up", at_least=1, at_most=1),
        Bar("elsewhere_s", "s after the timeout to elsewhere", at_most=3.0),
        Bar("ran_twice", "tasks that ended twice"),
        Bar("back_s", "s until it works again", at_most=5.0),
    ),
    full={"seconds": 0.050, "workers": 4, "timeout_s": 60.0, "cut_s": 300.0, "gap_s": 10.0},
    ci={"workers": 2, "timeout_s": 5.0, "cut_s": 12.0, "gap_s": 4.0},
    needs_hosts=True,
)
