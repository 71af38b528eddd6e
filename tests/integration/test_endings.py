"""Everything ends: programs by themselves and at once, commands at a signal at any time, and nothing is left."""

import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from scaler import Client
from tests.integration.processes import ELSEWHERE_S, EXIT_S, STOP_S, Command, Place, wait_until

MOMENTS = 4

MODULE_LEVEL_CLIENT = """
import sys, time
from scaler import Client

client = Client(address=sys.argv[1])
futures = [client.submit(time.sleep, 100) for _ in range(10)]
"""

MODULE_LEVEL_COMBO = """
import time
from scaler import Client, SchedulerClusterCombo

cluster = SchedulerClusterCombo(n_workers=2)
client = Client(address=cluster)
futures = [client.submit(time.sleep, 100) for _ in range(10)]
"""

AT_WORK = """
import sys, time
from scaler import Client, SchedulerClusterCombo

with SchedulerClusterCombo(n_workers=2) as cluster:
    print("cluster", flush=True)
    with Client(address=cluster) as client:
        print("client", flush=True)
        client.map(time.sleep, [0.01] * 100_000)
"""


@pytest.fixture
def address(place: Place) -> str:
    _, address = place.scheduler()
    place.cluster(address, 2)
    return address


def ends_in_time(script: Command, code: int) -> None:
    """The script has said `end`, and is gone soon after, without another word."""
    script.wait_for("end")
    assert script.wait(EXIT_S) == code


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        ("", 0, ""),
        ("raise ValueError('uncaught')", 1, "ValueError: uncaught\n"),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('a reason')", 1, "a reason\n"),
    ],
    ids=["at its end", "by an exception", "by sys.exit", "by sys.exit with a text"],
)
def test_a_script_with_a_client_at_module_level_exits(place: Place, address: str, last: str, code: int, said: str):
    text = MODULE_LEVEL_CLIENT + f"print('end', flush=True)\n{last}\n"
    script = place.script(text, address)
    ends_in_time(script, code)
    assert script.err.endswith(said)
    assert len(script.err.splitlines()) <= (0 if not said else 5 if "Error" in said else 1), script.err
    assert script.out == "end\n"


@pytest.mark.parametrize("last", ["", "raise ValueError('uncaught')", "sys.exit(7)"])
def test_a_script_with_a_cluster_at_module_level_takes_it_along(place: Place, last: str):
    script = place.script(f"{MODULE_LEVEL_COMBO}\nimport sys\nprint('end', flush=True)\n{last}\n")
    script.wait_for("end")
    assert script.wait(EXIT_S) == {"": 0, "raise": 1, "sys.e": 7}[last[:5]]
    assert [line for line in script.err.splitlines() if "uncaught" not in line] == [] or last.startswith("raise")
    assert place.processes() == []
    assert place.run_files() == []


def test_a_script_that_is_killed_takes_its_cluster_and_its_tasks_processes_along(place: Place):
    spawn = "import subprocess; client.submit(subprocess.run, ['setsid', 'sleep', '1000'])"
    script = place.script(f"{MODULE_LEVEL_COMBO}\n".replace("time.sleep, 100", "abs, 1") + spawn + "\ntime.sleep(100)")
    # the script, two commands, a zygote, two workers, and what a task has started
    wait_until(lambda: len(place.processes()) == 7, "the task runs")
    script.send(signal.SIGKILL)
    place.wait_empty(STOP_S)
    assert place.run_files() == []


def hold(seconds: float) -> None:
    """Work that does not want to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1_000_000))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_workers_end_in_time_whatever_their_tasks_do(place: Place, number: signal.Signals):
    _, address = place.scheduler()
    before = set(place.processes())
    with Client(address=address) as client:
        workers = place.cluster(address, 2)
        futures = [client.submit(time.sleep, 1000), client.submit(hold, 1000)]
        wait_until(lambda: all(future.running() for future in futures), "both run")
        assert workers.end(number, STOP_S) == 0
        assert set(place.processes()) == before
        assert not any(future.done() for future in futures)
        assert workers.err == ""


def test_work_of_clients_that_leave_or_die_makes_room_for_others(place: Place, address: str):
    text = f"{MODULE_LEVEL_CLIENT}while not futures[0].running(): time.sleep(0.01)\nprint('runs', flush=True)\n"
    with Client(address=address) as client:
        assert client.submit(abs, -1).result() == 1
        for last in ("", "time.sleep(1000)"):
            script = place.script(text + last, address)
            script.wait_for("runs")
            if last:
                script.kill()
            future = client.submit(abs, -1)
            wait_until(future.done, "there is room", ELSEWHERE_S)


def random_delays(seed: str) -> list[float]:
    """Moments between a program's first steps and its being at work."""
    chance = random.Random(seed)
    return sorted(chance.uniform(0.05, 2.0) for _ in range(MOMENTS))


@pytest.mark.parametrize("moment_s", [0.0, 0.5])
def test_many_workers_are_stopped_while_they_start(place: Place, moment_s: float):
    workers = place.start("scaler_worker", "-n", "1000", "ipc://nobody")
    workers.wait_for("starting 1000 workers")
    stop_at(workers, moment_s, signal.SIGTERM)
    assert "could not be started" not in workers.out


def test_nothing_stays_defunct_of_a_zygote_that_was_killed_and_its_workers(place: Place):
    _, address = place.scheduler()
    workers = place.cluster(address, 2)
    workers.wait_for("started pid", 2)
    (zygote,) = place.children(workers.pid)
    os.kill(zygote, signal.SIGKILL)
    workers.wait_for("started pid", 4)
    assert [one.pid for one in psutil.Process(workers.pid).children()] == place.children(workers.pid)


@pytest.mark.parametrize(("limit", "workers"), [(128, 200), (1024, 2_000)])
def test_more_workers_than_descriptors_allow_are_refused_in_one_line(place: Place, limit: int, workers: int):
    command = place.script(
        "import os, resource, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n",
        *(str(limit), str(Path(sys.executable).with_name("scaler_worker")), "-n", str(workers), "ipc://here"),
    )
    assert command.wait(STOP_S) == 2
    assert command.err.startswith(f"scaler_worker: {workers} workers are too many: each takes 11 descriptors and ")
    assert f"'ulimit -n' allows {limit}, enough for {(limit - 64) // 11}" in command.err
    assert len(command.err.splitlines()) == 1


def stop_at(command: Command, delay_s: float, number: signal.Signals) -> None:
    """Signal it after the delay, and see it end in time."""
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun >= delay_s, "its time has come")
    command.send(number)
    code, told = command.wait(STOP_S), command.err
    # by KeyboardInterrupt wherever it was: all scripts know that, and Python itself while it starts
    assert code in {0, -number} or "KeyboardInterrupt" in told, (told, command.out)
    assert "Exception ignored" not in told, told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("kind", ["scheduler", "worker", "script"])
def test_a_signal_at_any_time_leaves_nothing(place: Place, kind: str, number: signal.Signals):
    _, address = place.scheduler()
    before = set(place.processes())
    files = set(place.run_files())
    start = {
        "scheduler": lambda: place.start("scaler_scheduler", "tcp://127.0.0.1:0"),
        "worker": lambda: place.start("scaler_worker", "-n", "2", address),
        "script": lambda: place.script(AT_WORK),
    }[kind]
    delays = random_delays(f"{kind} {number.name}")
    for together in (delays[::2], delays[1::2]):
        commands = [start() for _ in together]
        with ThreadPoolExecutor() as threads:
            list(threads.map(stop_at, commands, together, [number] * len(together)))
        wait_until(lambda: set(place.processes()) <= before, place.described, STOP_S)
        assert set(place.run_files()) <= files
