"""A task that takes its whole cluster down each time, beside the work of others; the cluster is started each time."""

import os
import signal
import time
from concurrent.futures import Future
from typing import Any

import psutil

from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import Chaos, System, wait_until
from benchmarks.chaos.verified import Verified
from benchmarks.measured.runs import Kill, begin, read_runs
from benchmarks.rows import Bar
from scaler import Client
from scaler.errors import WorkerDiedError
from tests.integration.processes import Command

#: hosts that one task may take down
HOSTS = 3
#: how long the task stays at it, so that the scheduler has heard that it runs
LINGER_S = 0.5


def take_down(path: str) -> None:
    """Kill the cluster of this worker: the parent of its zygote."""
    begin(path, 0)
    time.sleep(LINGER_S)
    zygote = psutil.Process(os.getppid())
    os.kill(zygote.ppid(), signal.SIGKILL)
    time.sleep(1000)


def run(chaos: Chaos, tasks: int, seconds: float, workers: int, patience_s: float) -> Figures:
    """One client has the poison, another has good work; both may run on the cluster that dies."""
    system = System(chaos)
    system.add_clusters(2, workers)
    kills: list[Kill] = []
    with Client(system.address) as client, Client(system.address) as other:
        work = Verified(chaos, other, "runs", tasks, seconds)
        poison: Future[Any] = client.submit(take_down, chaos.path("poison"), priority=1, name="poison")

        pids: dict[Command, frozenset[int]] = {}

        def has_struck() -> bool:
            for cluster in system.clusters:  # each time: the workers of a new one are not all there at once
                pids[cluster] = pids.get(cluster, frozenset()).union(system.workers(cluster))
            return poison.done() or any(cluster.process.poll() is not None for cluster in system.clusters)

        while not poison.done():
            wait_until(has_struck, "the poison strikes, or is given up")
            for cluster in [one for one in system.clusters if one.process.poll() is not None]:
                chaos.tell(f"cluster {cluster.pid} was taken down")
                kills.append(Kill(time.monotonic(), pids[cluster], is_host=True))
                system.clusters.remove(cluster)
                system.add_clusters(1, workers)
        error = poison.exception()
        chaos.tell(f"the poison: {error!r}")
        work.wait(patience_s)
        figures = work.figures(kills)
    return figures | {
        "hosts": len(kills),
        "poison_runs": len(read_runs(chaos.place.folder / "poison")),
        "named": int(isinstance(error, WorkerDiedError)),
    }


SCENARIO = Scenario(
    "1b",
    "a task that kills its cluster",
    run,
    (
        Bar("hosts", "hosts it took down", at_least=HOSTS, at_most=HOSTS),
        Bar("named", "fails with WorkerDiedError", at_least=1),
        *VERIFIED,
        Bar("made_again", "others' results made again", at_most=0),
        Bar("innocent", "others' re-runs without a kill", at_most=0),
    ),
    full={"tasks": 20_000, "seconds": 0.010, "workers": 4, "patience_s": 300.0},
    ci={"tasks": 2_000, "workers": 2, "patience_s": 60.0},
)
