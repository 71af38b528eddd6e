"""A second worker cluster joins while a long queue of 50 ms tasks is worked off by the first.

Scheduler and clusters are commands, as on two machines. A cluster has joined when its connection stands. From the
results, which say who ran each task and when it was done, follows how long the newcomer waited for its fair share: the
beginning of the first whole second in which its completions are at least 90 % of half of all.
"""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import procs
import tasks
from adapters._base import Base, Unsupported
from schedules import WINDOW_S, Completion, fair_after

from scaler import Client

#: the first cluster works alone so long before the second is started
HEAD_START_S = 1.5
JOINING_S = 10.0
CLIENT_AND_ONE_CLUSTER = 2


def free_port() -> int:
    """A port of the loopback interface that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(name: str, *arguments: object) -> subprocess.Popen[bytes]:
    """One of the project's commands, from the environment this runs in."""
    return subprocess.Popen([str(Path(sys.executable).parent / name), *map(str, arguments)], stdout=subprocess.DEVNULL)


def joined_at(port: int) -> float:
    """Wait until one more connection than the client's and the first cluster's stands."""
    end = time.monotonic() + JOINING_S
    while procs.connections_to(port) <= CLIENT_AND_ONE_CLUSTER:
        assert time.monotonic() < end, "the second cluster did not connect"
        time.sleep(0.001)
    return time.monotonic()


def run(peer: Base, n: int = 600, workers: int = 2, sleep_s: float = 0.05) -> dict[str, float]:
    """How long the newcomer waits for its first result and for its share, and its share of all the rest."""
    if peer.PACKAGE != "scaler":
        raise Unsupported("the commands are this project's")
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    outcome: list[Completion] = []
    with contextlib.ExitStack() as stack:
        for process in (command("scaler_scheduler", address), command("scaler_worker", "-n", workers, address)):
            stack.callback(process.kill)
        client = stack.enter_context(Client(address=address))
        veterans = {pid for pid, _ in client.map(tasks.sleep_and_tell, [sleep_s] * 4 * workers)}
        work = threading.Thread(target=lambda: outcome.extend(client.map(tasks.sleep_and_tell, [sleep_s] * n)))
        started = time.monotonic()
        work.start()
        time.sleep(HEAD_START_S)
        late = command("scaler_worker", "-n", workers, address)
        stack.callback(late.kill)
        joined = joined_at(port)
        work.join()
    done = sorted(outcome, key=lambda completion: completion[1])
    newcomers = {pid for pid, _ in done} - veterans
    assert newcomers, "the second cluster ran nothing"
    settled = [pid in newcomers for pid, moment in done if moment >= joined + WINDOW_S]
    return {
        "fair_after_s": fair_after(done, newcomers, joined),
        "first_result_s": min(moment for pid, moment in done if pid in newcomers) - joined,
        "share_after_1s": sum(settled) / max(1, len(settled)),
        "tail_gap_s": abs(max(m for p, m in done if p in newcomers) - max(m for p, m in done if p in veterans)),
        "seconds": done[-1][1] - started,
    }
