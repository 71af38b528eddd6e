"""The scheduler is killed while tasks run, and another one starts at its address."""

import time
from dataclasses import dataclass

from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import PATIENCE_S, Chaos, GaveUpError, System, log_lines, wait_until
from benchmarks.chaos.verified import Verified
from benchmarks.measured.faults import points
from benchmarks.measured.runs import Run, count
from benchmarks.rows import Bar
from scaler import Client


@dataclass(frozen=True)
class Killed:
    """One death of the scheduler."""

    at_s: float
    #: seconds after the next one listened until every cluster was connected and the client had a new result
    reattached_s: float


def kill(system: System, work: Verified, down_s: float) -> Killed:
    """Kill the scheduler, leave everybody alone for a while, and start it again."""
    connected = log_lines(system.clusters, "connected to scheduler")
    at_s = system.kill_scheduler()
    time.sleep(down_s)
    done = work.done
    back_s = system.restart_scheduler()
    wanted = connected + len(system.clusters)
    wait_until(lambda: log_lines(system.clusters, "connected to scheduler") >= wanted, "clusters reattach")
    wait_until(lambda: work.done > done or work.is_done, "the client has results again")
    return Killed(at_s, time.monotonic() - back_s)


def broken_off(runs: list[Run], killed: list[Killed]) -> int:
    """How many of the tasks that ran when the scheduler died did not end in that run, or had another one."""
    found = 0
    for death in killed:
        running = [r for r in runs if r.begun_s < death.at_s and (r.ended_s is None or r.ended_s > death.at_s)]
        for run in running:
            later = any(other.index == run.index and other.begun_s > run.begun_s for other in runs)
            found += run.ended_s is None or later
    return found


def run(
    chaos: Chaos, tasks: int, seconds: float, clusters: int, workers: int, kills: int, down_s: float, patience_s: float
) -> Figures:
    """Kill it whenever so many tasks are done."""
    system = System(chaos)
    system.add_clusters(clusters, workers)
    killed: list[Killed] = []
    with Client(system.address) as client:
        work = Verified(chaos, client, "runs", tasks, seconds)
        for point in points(chaos.seed, kills, tasks):
            try:
                work.wait_for(point, patience_s)
                killed.append(kill(system, work, down_s))
            except GaveUpError as error:
                chaos.tell(str(error))
                killed.append(Killed(time.monotonic(), PATIENCE_S))
                break
        wall_s = work.wait(patience_s)
        figures = work.figures()
    runs = chaos.runs("runs")
    return figures | {
        "kills": len(killed),
        "wall_s": wall_s,
        "broken_off": broken_off(runs, killed),
        "percent_again": 100 * count(runs, tasks).re_runs / tasks / max(1, len(killed)),
        "reattached_s": max(death.reattached_s for death in killed),
    }


SCENARIO = Scenario(
    "3",
    "kill -9 of the scheduler, restarted",
    run,
    (
        *VERIFIED,
        Bar("broken_off", "running tasks broken off", at_most=0),
        Bar("percent_again", "% re-runs a kill", at_most=0.1),
        Bar("made_again", "results made again", at_most=0),
        Bar("reattached_s", "s until all are back", at_most=5.0),
    ),
    full={
        "tasks": 100_000,
        "seconds": 0.010,
        "clusters": 4,
        "workers": 4,
        "kills": 10,
        "down_s": 2.0,
        "patience_s": 300.0,
    },
    ci={"tasks": 10_000, "clusters": 2, "workers": 2, "kills": 3, "patience_s": 60.0},
    ci_timeout_s=300.0,
    full_timeout_s=1500.0,
)
