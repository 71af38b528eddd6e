"""A task that needs longer than any allocation lasts, on clusters that end one after the other."""

import re
import time
from collections.abc import Callable
from concurrent.futures import Future

from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos, System, wait_until
from benchmarks.measured.runs import counted, most_begins
from benchmarks.rows import Bar
from scaler import Client
from scaler.errors import WalltimeError
from tests.integration.processes import Command

#: so many allocations follow one another before the task must have failed
ALLOCATIONS = 3
_BOTH_FIGURES = re.compile(r"ran for (\d+\.\d) s.*?more than (\d+\.\d) s")


def _either(future: Future[int], cluster: Command) -> Callable[[], bool]:
    return lambda: future.done() or cluster.process.poll() is not None


def run(chaos: Chaos, task_s: float, allocation_s: float, minimum_s: float) -> Figures:
    """Allocations of some length, one after the other, until the task fails; short work of others beside it."""
    system = System(chaos)
    with Client(system.address) as client:
        future = client.submit(counted, chaos.path("runs"), 0, task_s)
        small: list[Future[int]] = []
        used = 0
        started = time.monotonic()
        while not future.done() and used < ALLOCATIONS:
            used += 1
            (cluster,) = system.add_clusters(1, 2, "--end-time", str(time.time() + allocation_s))
            chaos.tell(f"allocation {used} of {allocation_s:g} s")
            small += [client.submit(counted, chaos.path("others"), len(small) + n, 0.05) for n in range(20)]
            wait_until(_either(future, cluster), "it ends", task_s * 2)
        failed_s = time.monotonic() - started
        (last,) = system.add_clusters(1, 1)
        is_unharmed = sum(one.exception(minimum_s) is None for one in small) == len(small)
        error = future.exception(timeout=task_s + minimum_s)
        told = _BOTH_FIGURES.search(str(error))
        chaos.tell(f"the task: {error!r}; beside it {last.pid}")
    return {
        "named": int(isinstance(error, WalltimeError)),
        "figures": len(told.groups()) if told else 0,
        "allocations": used,
        "failed_s": failed_s,
        "unharmed": int(is_unharmed),
        "begins": most_begins(chaos.runs("runs")),
    }


SCENARIO = Scenario(
    "1b-wall",
    "a task longer than any allocation",
    run,
    (
        Bar("named", "fails with WalltimeError", at_least=1),
        Bar("figures", "figures it names", at_least=2),
        Bar("unharmed", "others' work unharmed", at_least=1),
        Bar("begins", "times it began"),
        Bar("failed_s", "s until it failed"),
    ),
    full={"task_s": 600.0, "allocation_s": 300.0, "minimum_s": 60.0},
    ci={"task_s": 60.0, "allocation_s": 30.0},
    ci_timeout_s=240.0,
    full_timeout_s=2400.0,
)
