"""One client floods the scheduler with tasks; another wants little, and at once."""

import os
import statistics
import time

import psutil

from benchmarks.chaos.latencies import percentile_99
from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos, System
from benchmarks.rows import Bar
from scaler import Client

#: rounds of so many tasks, each when somebody has sent a line; in a process of its own, which has other things to do
FLOOD = """
import sys
from benchmarks.measured.tasks import noop
from scaler import Client

tasks, rounds = int(sys.argv[2]), int(sys.argv[3])
with Client(sys.argv[1]) as client:
    for number in range(rounds):
        results = client.map(noop, range(tasks))
        print("round", number, results == list(range(1, tasks + 1)), flush=True)
        del results
print("over", flush=True)
"""
#: how long a pause the small tasks of the other client have between them, and the scheduler after a round
PAUSE_S = 0.02
SETTLING_S = 1.0
#: so many are measured without a flood, and beside processes that only keep every processor busy, as a flood does
CALM = 200
HOG = "while True: pass"


def now() -> float:
    """When it began."""
    return time.monotonic()


def started_after_ms(client: Client, patience_s: float) -> float:
    """How long after it was submitted a task began; and a pause."""
    submitted = time.monotonic()
    began = client.submit(now).result(timeout=patience_s)
    time.sleep(PAUSE_S)
    return 1000 * (float(began) - submitted)


def run(chaos: Chaos, tasks: int, rounds: int, workers: int, patience_s: float) -> Figures:
    """Small tasks of one client while the other's rounds go on; memory of the scheduler at the end of each."""
    system = System(chaos)
    system.add_clusters(1, workers)
    memory: list[int] = []
    late_ms: list[float] = []
    with Client(system.address) as client:
        calm_ms = [started_after_ms(client, patience_s) for _ in range(2 * CALM)][CALM:]
        hogs = [chaos.place.start("python", "-c", HOG) for _ in range(os.cpu_count() or 1)]
        busy_ms = [started_after_ms(client, patience_s) for _ in range(CALM)]
        for hog in hogs:
            hog.kill()
        for number in range(rounds):
            script = chaos.place.script(FLOOD, system.address, str(tasks), "1")
            chaos.tell(f"round {number}")
            started = time.monotonic()
            while "over" not in script.out and script.process.poll() is None:
                late_ms.append(started_after_ms(client, patience_s))
                if time.monotonic() - started > patience_s:
                    break
            script.wait_for("round 0 True")
            script.wait(patience_s)
            time.sleep(SETTLING_S)
            memory.append(psutil.Process(system.scheduler.pid).memory_info().rss)
    chaos.tell("ms to the start, in order: " + " ".join(f"{ms:.0f}" for ms in late_ms))
    return {
        "rounds": len(memory),
        "samples": len(late_ms),
        "calm_ms": percentile_99(calm_ms),
        "busy_ms": percentile_99(busy_ms),
        "median_ms": statistics.median(late_ms),
        "p99_ms": percentile_99(late_ms),
        "worst_ms": max(late_ms),
        "growth_percent": 100 * (memory[-1] / memory[0] - 1),
        "rss_mb": memory[-1] / 1e6,
    }


SCENARIO = Scenario(
    "10",
    "a flood of tasks by one client",
    run,
    (
        Bar("p99_ms", "ms to another's start, p99", at_most=100.0),
        Bar("median_ms", "ms, median"),
        Bar("worst_ms", "ms, the worst"),
        Bar("calm_ms", "ms, p99 without a flood"),
        Bar("busy_ms", "ms, p99 beside busy processors"),
        Bar("growth_percent", "% memory after the rounds", at_most=10.0),
        Bar("rss_mb", "MB"),
    ),
    full={"tasks": 1_000_000, "rounds": 10, "workers": 4, "patience_s": 120.0},
    ci={"tasks": 400_000, "rounds": 3, "workers": 2, "patience_s": 60.0},
)
