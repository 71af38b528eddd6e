"""A task that holds the GIL of its worker, so that nothing else in that process gets a turn; others work beside it."""

import ctypes

from benchmarks.chaos.latencies import round_trips_ms
from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import Chaos, System, log_lines, wait_until
from benchmarks.chaos.verified import Verified
from benchmarks.measured.runs import begin, end, value_of
from benchmarks.rows import Bar
from scaler import Client


def hold(path: str, seconds: int) -> int:
    """Sleep in C without giving up the GIL."""
    run = begin(path, 0)
    ctypes.PyDLL(None).sleep(seconds)
    end(path, run)
    return value_of(0)


def run(chaos: Chaos, hold_s: int, workers: int, tasks: int, seconds: float) -> Figures:
    """Round trips before and meanwhile, and work that is verified."""
    system = System(chaos, "--worker-timeout", f"{hold_s / 2:g}")
    system.add_clusters(1, workers)
    with Client(system.address) as client, Client(system.address) as other:
        round_trips_ms(other, 1.0)
        before_p50, before_p99 = round_trips_ms(other, hold_s / 2)
        pids = system.workers()
        held = client.submit(hold, chaos.path("held"), hold_s)
        wait_until(lambda: chaos.runs("held"), "it holds the GIL")
        meanwhile_p50, meanwhile_p99 = round_trips_ms(other, hold_s / 2)
        work = Verified(chaos, other, "runs", tasks, seconds)
        work.wait(hold_s)
        is_held = not held.done()
        result = held.result(timeout=2 * hold_s)
        figures = work.figures()
    return figures | {
        "held_meanwhile": int(is_held),
        "right": int(result == value_of(0) and len(chaos.runs("held")) == 1),
        "declared_lost": log_lines([system.scheduler], "is gone") + len(set(pids) - set(system.workers())),
        "x_p50": meanwhile_p50 / before_p50,
        "x_p99": meanwhile_p99 / before_p99,
        "p99_ms": meanwhile_p99,
    }


SCENARIO = Scenario(
    "9",
    "a task that holds the GIL",
    run,
    (
        *VERIFIED,
        Bar("right", "it runs once, and its result comes", at_least=1),
        Bar("held_meanwhile", "others' work done meanwhile", at_least=1),
        Bar("declared_lost", "declared lost", at_most=0),
        Bar("x_p99", "others' p99, x before", at_most=1.5),
        Bar("p99_ms", "ms, others' p99"),
    ),
    full={"hold_s": 120, "workers": 4, "tasks": 2_000, "seconds": 0.010},
    ci={"hold_s": 20, "tasks": 500},
)
