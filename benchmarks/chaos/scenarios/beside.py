"""How the peers do under the same kills: their workers' and, where that is a process of its own, their scheduler's."""

import sys

from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos
from benchmarks.measured import procs
from benchmarks.measuring import measure
from benchmarks.peers import PEERS
from benchmarks.rows import Bar

#: what is shown of them; nothing of it is a bar
SHOWN = (
    Bar("lost", "futures lost"),
    Bar("errors", "errors"),
    Bar("re_runs", "re-runs"),
    Bar("running", "running at the kills"),
    Bar("x_calm", "x undisturbed"),
)


def run(
    chaos: Chaos, peer: str, tasks: int, workers: int, seconds: float, every_s: float, kills: int, patience_s: float
) -> Figures:
    """The same workload through an adapter of the peer's, under its own Python."""
    if not PEERS[peer].is_installed:
        return {"skipped": "not installed: make bench-peers"}
    procs.become_subreaper()
    flags = {
        "n": tasks,
        "workers": workers,
        "seconds": seconds,
        "every_s": every_s,
        "kills": kills,
        "seed": chaos.seed,
        "patience_s": patience_s,
    }
    line = measure("storm", PEERS[peer], flags, 3 * patience_s, sys.stderr.buffer)
    return {"skipped": line["unsupported"]} if "unsupported" in line else line


def beside(ours: Scenario, peer: str) -> Scenario:
    """A scenario of ours as a peer does it, in the same sizes."""

    def sizes(is_ci: bool) -> Figures:  # noqa: FBT001  # as the scenario has it
        own = ours.sizes(is_ci)
        taken = {name: own[name] for name in ("tasks", "seconds", "patience_s")}
        workers = own["workers"] * own.get("clusters", 1)
        return taken | {
            "peer": peer,
            "workers": workers,
            "every_s": own.get("every_s", 1.0),
            "kills": own.get("kills", 0),
        }

    return Scenario(
        f"{ours.number}-{peer}",
        f"{PEERS[peer].label}: {ours.title}",
        run,
        SHOWN,
        full=sizes(False),
        ci=sizes(True),
        ci_timeout_s=3 * ours.ci_timeout_s,
        full_timeout_s=3 * ours.full_timeout_s,
        is_peer=True,
    )
