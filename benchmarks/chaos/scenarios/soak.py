"""Everything at once for a long time: workers, clusters and the scheduler are killed, clusters stopped and cut off."""

import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from benchmarks.chaos.hosts import WAYS, Hosts, cut_off, hosts
from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.scenarios.pause import signal_all
from benchmarks.chaos.striking import strike
from benchmarks.chaos.system import Chaos, GaveUpError, tree
from benchmarks.chaos.verified import Verified
from benchmarks.measured.faults import Fault, faults
from benchmarks.measured.runs import Kill
from benchmarks.rows import Bar
from scaler import Client
from tests.integration.processes import Command

KINDS = ("worker", "cluster", "scheduler", "cut", "pause")
#: how long the scheduler is down, and a cluster cut off or stopped
DOWN_S, AWAY_S = 2.0, 4.0
SAMPLE_S = 0.5
#: what is left of the figures when the first part of them is left out, in which everything grows to its size
SETTLED = 0.5


@dataclass
class Disturbance:
    """What can happen to a system on hosts, and what has happened."""

    chaos: Chaos
    net: Hosts
    workers: int
    #: clusters by their hosts
    clusters: dict[str, Command] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def strike(self, fault: Fault) -> None:
        """Let one of its kinds happen."""
        self.done[fault.kind] += 1
        how: dict[str, Callable[[Fault], None]] = {
            "worker": self._worker,
            "cluster": self._cluster,
            "scheduler": self._scheduler,
            "cut": self._cut,
            "pause": self._pause,
        }
        how[fault.kind](fault)

    def _worker(self, fault: Fault) -> None:
        kill = self.net.system.kill_worker(fault)
        self.kills += [kill] if kill else []

    def _cluster(self, fault: Fault) -> None:
        name = fault.pick(sorted(self.clusters)[1:])  # one lives on, so that its memory can be watched
        self.kills.append(self.net.system.kill_cluster(self.clusters[name]))
        self.clusters[name] = self.net.add_cluster(name, self.workers)

    def _scheduler(self, _: Fault) -> None:
        self.net.system.kill_scheduler()
        time.sleep(DOWN_S)
        self.net.system.restart_scheduler()

    def _cut(self, fault: Fault) -> None:
        way = fault.pick(sorted(WAYS))
        with cut_off(self.net, fault.pick(sorted(self.clusters)), way):
            time.sleep(AWAY_S)

    def _pause(self, fault: Fault) -> None:
        pids = tree(self.clusters[fault.pick(sorted(self.clusters))].pid)
        self.chaos.tell(f"stop {pids}")
        signal_all(pids, signal.SIGSTOP)
        try:
            time.sleep(AWAY_S)
        finally:
            signal_all(pids, signal.SIGCONT)


class Watch:
    """How much memory and how many descriptors some processes have, over time."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.samples: dict[str, list[tuple[float, int, int]]] = {name: [] for name in pids}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._is_over.wait(SAMPLE_S):
            for name, process in self._processes.items():
                with process.oneshot():
                    sample = (time.monotonic(), process.memory_info().rss, process.num_fds())
                self.samples[name].append(sample)

    def close(self) -> dict[str, float]:
        """The slope of memory, and how many descriptors more there are at the end, each of the settled part.

        Descriptors come and go with every fault: the median of a while at the begin is compared with that at the end.
        """
        self._is_over.set()
        self._thread.join()
        found = {"memory_mb_per_h": 0.0, "descriptors": 0.0}
        for name, samples in self.samples.items():
            settled = samples[int(len(samples) * SETTLED) :]
            while_ = max(1, len(settled) // 3)
            first, last = ([files for *_, files in some] for some in (settled[:while_], settled[-while_:]))
            more = statistics.median_low(last) - statistics.median_low(first)
            per_h = slope([(at, rss) for at, rss, _ in settled]) * 3600 / 1e6
            found |= {f"{name}_descriptors": float(more), f"{name}_mb_per_h": per_h}
            found["memory_mb_per_h"] += per_h
            found["descriptors"] += max(0.0, float(more))
        return found


def slope(points: list[tuple[float, int]]) -> float:
    """Of the straight line that is nearest to the points."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    square = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / square if square else 0.0


def run(chaos: Chaos, lasts_s: float, every_s: float, tasks: int, seconds: float, workers: int) -> Figures:
    """Round after round of verified work on three clusters, while faults of all kinds come one after the other."""
    with hosts(chaos, 4) as net:
        names = ("h2", "h3", "h4")
        harm = Disturbance(chaos, net, workers, {name: net.add_cluster(name, workers) for name in names})
        with Client(net.system.address, key_file=net.client_key) as client:
            watch = Watch({"cluster": harm.clusters["h2"].pid, "client": psutil.Process().pid})
            over_s = time.monotonic() + lasts_s
            rounds = Rounds(chaos, lambda name: Verified(chaos, client, name, tasks, seconds), harm.kills, over_s)
            for fault in strike(faults(chaos.seed, every_s, KINDS), lambda: rounds.is_over, lasts_s):
                harm.strike(fault)
            rounds.join(lasts_s)
            slopes = watch.close()
    return dict(rounds.total) | slopes | {f"struck_{kind}": harm.done[kind] for kind in KINDS}


class Rounds:
    """Rounds of verified work, in a thread of their own, until it is time to end; no futures are kept for long."""

    def __init__(self, chaos: Chaos, start: Callable[[str], Verified], kills: list[Kill], over_s: float) -> None:
        self._chaos = chaos
        self._start = start
        self._kills = kills
        self._over_s = over_s
        self.total: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the last round is done."""
        return not self._thread.is_alive()

    def _work(self) -> None:
        before: Verified | None = None
        is_done = True
        while is_done and time.monotonic() < self._over_s:
            work = self._start(f"runs{self.total['rounds']}")
            work.wait(60.0)
            is_done = work.is_done
            self._enter(before)
            before = work
        time.sleep(SAMPLE_S)
        self._enter(before)

    def _enter(self, work: Verified | None) -> None:
        """Count what has come of a round, a while after it has ended: the last kill is known by then."""
        if work is not None:
            self.total.update(work.figures(self._kills))
        self.total["rounds"] += 1

    def join(self, within_s: float) -> None:
        """Wait for the last round."""
        self._thread.join(within_s)
        if self._thread.is_alive():
            raise GaveUpError("the last round does not end")


SCENARIO = Scenario(
    "21",
    "soak: all of it at once",
    run,
    (
        *VERIFIED,
        Bar("made_again", "results made again", at_most=0),
        Bar("re_runs", "re-runs"),
        Bar("innocent", "re-runs of what no kill struck", at_most=0),
        Bar("descriptors", "descriptors more", at_most=4),
        Bar("memory_mb_per_h", "MB/h, cluster and client"),
    ),
    full_bars=(Bar("memory_mb_per_h", "MB/h at most", at_most=1.0),),
    full={"lasts_s": 1200.0, "every_s": 6.0, "tasks": 3_000, "seconds": 0.020, "workers": 2},
    ci={"lasts_s": 120.0, "tasks": 1_000},
    needs_hosts=True,
    ci_timeout_s=300.0,
    full_timeout_s=1800.0,
)
