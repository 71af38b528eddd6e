"""Many knock at the scheduler who may not come in: without a key, with a wrong one, with one that was taken back.

What that costs others is told from what the same knocking costs them at the door of another scheduler, since those who
knock take processors too. Where fewer could knock than wanted, processor time is that of the number wanted.
"""

import json
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos.latencies import round_trips_ms
from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos, GaveUpError, System, wait_until
from benchmarks.measured.runs import value_of
from benchmarks.rows import Bar
from scaler import Client
from tests.integration.processes import Command
from tests.integration.security_peers import own_key, stray_key

ROUND = list(range(1000))
#: until what was held back in the log is told, and of what was before
TOLD_S, QUIET_S = 5.0, 1.5
#: turns of knocking elsewhere and here, while others work
TURNS = 3
#: until a key that is new, or was taken back, is known to be so
KNOWN_S = 1.5


@dataclass(frozen=True)
class Knock:
    """A way of knocking: what it is called here, how it is spoken, and with which key."""

    name: str
    how: str
    keys: tuple[str, ...] = ()


def knocks(chaos: Chaos) -> list[Knock]:
    """All ways; the revoked key was good before."""
    keys = chaos.place.folder / "c" / "scaler" / "keys"
    client = keys / "client.key"
    server = next(line.split()[1] for line in client.read_text().splitlines() if line.startswith("server"))
    stray = stray_key(Path(chaos.path("stray.key")), "client", server.encode())
    revoked = own_key(keys, "client", "revoked")
    time.sleep(KNOWN_S)
    (keys / "authorized" / "revoked.pub").unlink()
    time.sleep(KNOWN_S)
    return [
        Knock("null", "NULL"),
        Knock("plain", "PLAIN"),
        Knock("garbage", "garbage"),
        Knock("wrong", "CURVE", (str(client), stray.public.decode())),
        Knock("revoked", "CURVE", (str(revoked),)),
    ]


def refusals(scheduler: Command) -> int:
    """How many its log tells of, one by one or in numbers."""
    held_back = re.findall(r"refused (\d+) more, not shown one by one", scheduler.out)
    return scheduler.out.count(": refused address=") + sum(map(int, held_back))


def start(chaos: Chaos, address: str, knock: Knock, a_second: float, seconds: float) -> Command:
    """Somebody who knocks, and has begun."""
    words = ("-m", "benchmarks.chaos.knocking", address, knock.how, f"{a_second:g}", f"{seconds:g}", *knock.keys)
    command = chaos.place.start("python", *words)
    command.wait_for("begin")
    return command


def told(command: Command) -> dict[str, Any]:
    """What came of the knocking."""
    wait_until(lambda: command.process.poll() is not None, "the knocking ends")
    found: dict[str, Any] = json.loads(command.out.splitlines()[-1])
    return found


def cost(chaos: Chaos, system: System, knock: Knock, a_second: float, seconds: float) -> Figures:
    """Processor time of the scheduler while somebody knocks and nobody else wants anything; and what it tells of it."""
    time.sleep(QUIET_S)
    before, scheduler = refusals(system.scheduler), psutil.Process(system.scheduler.pid)
    started, used = time.monotonic(), sum(scheduler.cpu_times()[:2])
    found = told(start(chaos, system.address, knock, a_second, seconds))
    used, passed = sum(scheduler.cpu_times()[:2]) - used, time.monotonic() - started
    try:
        wait_until(lambda: refusals(system.scheduler) - before >= found["knocked"], "all are counted", TOLD_S)
    except GaveUpError:
        chaos.tell(f"{knock.name}: {refusals(system.scheduler) - before} of {found['knocked']} counted")
    return {
        f"{knock.name}_per_s": found["knocked"] / seconds,
        f"{knock.name}_cpu": 100 * used / passed * a_second / (found["knocked"] / seconds),
        "counted": (refusals(system.scheduler) - before) / found["knocked"],
        "not_ended": found["knocked"] - found["ended"],
        "let_in": found["let_in"],
        "slowest_s": found["slowest_s"],
    }


def work_beside(client: Client, command: Command, seconds: float) -> tuple[float, float]:
    """Tasks a second and the 99th percentile of round trips, in ms, while somebody knocks."""
    done, started = 0, time.monotonic()
    while time.monotonic() - started < seconds / 2:
        assert client.map(value_of, ROUND) == list(map(value_of, ROUND))
        done += len(ROUND)
    per_s = done / (time.monotonic() - started)
    _, p99_ms = round_trips_ms(client, seconds / 2)
    told(command)
    return per_s, p99_ms


def run(chaos: Chaos, a_second: float, seconds: float) -> Figures:
    """Each way of knocking: its cost, and work beside it with the knocking elsewhere and here."""
    system, decoy = System(chaos), System(chaos)
    system.add_clusters(1, 2)
    figures: Figures = {}
    with Client(system.address) as client:
        client.map(value_of, ROUND)
        for knock in knocks(chaos):
            found = cost(chaos, system, knock, a_second, seconds)
            there: list[tuple[float, float]] = []
            here: list[tuple[float, float]] = []
            for _ in range(TURNS):
                for address, beside in ((decoy.address, there), (system.address, here)):
                    beside.append(work_beside(client, start(chaos, address, knock, a_second, seconds / 2), seconds / 2))
            chaos.tell(f"{knock.name}: {found}, beside it elsewhere {there}, here {here}")
            found |= {"x_dispatch": _median(here, 0) / _median(there, 0), "x_p99": _median(here, 1) / _median(there, 1)}
            for name, value in found.items():
                figures[name] = _worse(name, figures[name], value) if name in figures else value
    figures["bare_cpu"] = max(figures[f"{name}_cpu"] for name in ("null", "plain", "garbage"))
    return figures


def _median(measured: list[tuple[float, float]], place: int) -> float:
    return statistics.median(pair[place] for pair in measured)


def _worse(name: str, one: float, other: float) -> float:
    return min(one, other) if name in {"x_dispatch", "counted"} else max(one, other)


SCENARIO = Scenario(
    "17",
    "who may not come in",
    run,
    (
        Bar("let_in", "let in", at_most=0),
        Bar("not_ended", "not refused", at_most=0),
        Bar("slowest_s", "s to be refused, slowest", at_most=1.0),
        Bar("counted", "of them in the log", at_least=0.99),
        Bar("bare_cpu", "% of a core: NULL, PLAIN, garbage", at_most=10.0),
        Bar("wrong_cpu", "% of a core: wrong key", at_most=30.0),
        Bar("revoked_cpu", "% of a core: revoked key", at_most=80.0),
        Bar("revoked_per_s", "revoked, a second"),
        Bar("x_dispatch", "others' dispatch, of before", at_least=0.8),
        Bar("x_p99", "others' p99, x before", at_most=2.0),
    ),
    full={"a_second": 1000.0, "seconds": 10.0},
    ci={"seconds": 4.0},
    ci_timeout_s=240.0,
)
