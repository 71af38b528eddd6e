"""A scheduler, and a cluster, that may open few files: more connections come than fit, more workers are wanted."""

import contextlib
import socket
import sys
import time
from pathlib import Path

from benchmarks.chaos.scenario import VERIFIED, Figures, Scenario
from benchmarks.chaos.system import Chaos, GaveUpError, System, wait_until
from benchmarks.chaos.verified import Verified
from benchmarks.rows import Bar
from scaler import Client
from tests.integration.processes import Command, Place

LIMIT = 256
NAMED = "ulimit -n"
#: as `ulimit -n` in the shell that starts a command
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
CAME_BACK_S, TELLING_S = 60.0, 5.0


class Limited:
    """Starts commands that may have few files open."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def start(self, *words: str) -> Command:
        """Start one of ours by its name."""
        program = str(Path(sys.executable).with_name(words[0]))
        return self._place.start("python", "-c", LIMITED, str(LIMIT), program, *words[1:])


def crowd(address: str, count: int, stack: contextlib.ExitStack) -> int:
    """Connections that say nothing; how many were taken."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    taken = 0
    for _ in range(count):
        line = stack.enter_context(socket.socket())
        line.settimeout(1.0)
        taken += line.connect_ex((host, int(port))) == 0
    return taken


def of_scheduler(chaos: Chaos, tasks: int, seconds: float, strangers: int) -> Figures:
    """Work goes on while strangers take all that is left, and newcomers are let in when these are gone."""
    system = System(chaos, on=Limited(chaos.place))
    system.add_clusters(1, 2)
    with Client(system.address) as client, contextlib.ExitStack() as stack:
        work = Verified(chaos, client, "runs", tasks, seconds)
        wait_until(lambda: work.done > tasks // 10, "it is at work")
        chaos.tell(f"{crowd(system.address, strangers, stack)} strangers")
        wait_until(lambda: work.done > tasks // 2, "work goes on")
        with contextlib.suppress(GaveUpError):
            wait_until(lambda: NAMED in system.scheduler.out + system.scheduler.err, "its log names it", TELLING_S)
        log = system.scheduler.out + system.scheduler.err
        stack.close()
        came = time.monotonic()
        with Client(system.address, timeout_seconds=CAME_BACK_S) as newcomer:
            newcomer.submit(abs, -1).result(timeout=CAME_BACK_S)
        came_s = time.monotonic() - came
        work.wait(CAME_BACK_S)
        figures = work.figures()
    return figures | {
        "named": int(NAMED in log),
        "came_s": came_s,
        "alive": int(system.scheduler.process.poll() is None),
    }


def of_cluster(chaos: Chaos, tasks: int, seconds: float, workers: int) -> Figures:
    """A cluster of too many workers says why it does not start; one of few does its work."""
    system = System(chaos)
    limited = Limited(chaos.place)
    many = limited.start("scaler_worker", "-n", str(workers), system.address)
    wait_until(lambda: many.process.poll() is not None or "connected" in many.out, "it starts, or says why not")
    code = many.process.poll()
    system.add_clusters(1, 2, on=limited)
    with Client(system.address) as client:
        work = Verified(chaos, client, "runs", tasks, seconds)
        work.wait(CAME_BACK_S)
        figures = work.figures()
    return figures | {"named": int(NAMED in many.out + many.err), "code": -1 if code is None else code}


SCHEDULER = Scenario(
    "16",
    "ulimit -n 256: scheduler",
    of_scheduler,
    (
        Bar("named", "its log names the limit", at_least=1),
        Bar("alive", "it lives", at_least=1),
        *VERIFIED,
        Bar("re_runs", "re-runs", at_most=0),
        Bar("came_s", "s until a newcomer has a result", at_most=10.0),
    ),
    full={"tasks": 5_000, "seconds": 0.010, "strangers": 400},
    ci={"tasks": 2_000},
)
CLUSTER = Scenario(
    "16-cluster",
    "ulimit -n 256: cluster",
    of_cluster,
    (
        Bar("named", "its error names the limit", at_least=1),
        Bar("code", "its exit code", at_least=1),
        *VERIFIED,
        Bar("re_runs", "re-runs", at_most=0),
    ),
    full={"tasks": 2_000, "seconds": 0.010, "workers": 100},
    ci={"tasks": 500},
)
