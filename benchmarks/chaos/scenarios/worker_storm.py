"""Worker processes are killed, one after the other, without a pause."""

from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.striking import strike
from benchmarks.chaos.system import Chaos, System
from benchmarks.chaos.verified import Verified, undisturbed
from benchmarks.measured.faults import faults
from benchmarks.measured.runs import Kill
from benchmarks.rows import Bar
from scaler import Client


def run(chaos: Chaos, tasks: int, seconds: float, workers: int, every_s: float, patience_s: float) -> Figures:
    """The same work twice, the second time under kills."""
    system = System(chaos)
    system.add_clusters(1, workers)
    calm_s = undisturbed(chaos, system, tasks, seconds, patience_s)
    kills: list[Kill] = []
    with Client(system.address) as client:
        work = Verified(chaos, client, "runs", tasks, seconds)
        for fault in strike(faults(chaos.seed, every_s), lambda: work.is_done, patience_s):
            kill = system.kill_worker(fault)
            kills += [kill] if kill else []
        storm_s = work.wait(patience_s)
        figures = work.figures(kills)
    return figures | {"kills": len(kills), "calm_s": calm_s, "storm_s": storm_s, "x_calm": storm_s / calm_s}


SCENARIO = Scenario(
    "1",
    "kill -9 of workers",
    run,
    (
        *VERIFIED,
        Bar("re_runs", "re-runs"),
        Bar("running", "running at the kills"),
        Bar("innocent", "re-runs of what no kill struck", at_most=0),
        Bar("x_calm", "x undisturbed", at_most=1.5),
    ),
    full={"tasks": 100_000, "seconds": 0.010, "workers": 16, "every_s": 0.5, "patience_s": 600.0},
    ci={"tasks": 10_000, "seconds": 0.005, "workers": 4, "every_s": 1.0, "patience_s": 90.0},
    ci_timeout_s=240.0,
    full_timeout_s=1500.0,
)
