"""Scheduler, workers and client on three hosts without a shared home, and a cable between them that fails."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler.cli.endings import ExitCode
from tests.integration.processes import wait_until
from tests.integration.security_hosts import Cable, cable_between
from tests.integration.security_root import needs_hosts

pytestmark = needs_hosts

ADDRESS = "tcp://h1:8516"
#: how long packets are dropped, and in how many seconds after that work must go on
DROPPED_S = 3.0
BACK_S = 2.0
TASKS = 400

QUICKSTART = """
import sys, time
from scaler import Client

def calculate(seconds):
    time.sleep(seconds / 1000)
    return seconds

tasks = list(range(20))
with Client(address="tcp://h1:8516", key_file=sys.argv[1] if sys.argv[1:] else None, timeout_seconds=20) as client:
    results = client.map(calculate, [(i,) for i in tasks])
print(results == tasks)
"""

APPENDS = """
import sys, time
from scaler import Client

def run(index, path):
    with open(path, "a") as file:
        file.write(f"{index}\\n")
    time.sleep(0.02)
    return index

with Client(address="tcp://h1:8516", key_file=sys.argv[1]) as client:
    print(client.map(run, [(index, sys.argv[2]) for index in range(int(sys.argv[3]))]) == list(range(int(sys.argv[3]))))
"""


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with cable_between(3) as cable:
        yield cable


@pytest.fixture
def keys(cable: Cable) -> Iterator[Path]:
    """The key directory of the scheduler on the first host, as its log names it."""
    with cable.scheduler() as keys:
        yield keys


def test_copied_key_files_are_all_that_three_hosts_need(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    second.worker(second.copy(keys / "worker.key"))
    client = third.script(QUICKSTART, str(third.copy(keys / "client.key")))
    assert (client.wait(), client.out, client.err) == (0, "True\n", "")


def test_without_its_key_a_client_is_told_which_file_to_copy_and_how_to_name_it(cable: Cable, keys: Path):
    third = cable.hosts[2]
    client = third.script(QUICKSTART)
    assert client.wait() == 1
    own = third.folder / ".config" / "scaler" / "keys" / "client.key"
    last = client.err.splitlines()[-1]
    assert last.startswith(
        f"scaler.errors.AuthenticationError: {ADDRESS}: the scheduler does not accept the key {own}:"
    )
    assert "copy its own client.key here" in last
    assert "key_file=" in last
    assert keys.is_dir()


def test_without_its_key_a_worker_cluster_is_told_which_file_to_copy_and_the_option(cable: Cable, keys: Path):
    second = cable.hosts[1]
    cluster = second.start("scaler_worker", "-n", "1", ADDRESS)
    assert cluster.wait() == ExitCode.NOT_AUTHORIZED
    own = second.folder / ".config" / "scaler" / "keys" / "worker.key"
    assert len(cluster.err.splitlines()) == 1
    assert f"does not accept the key {own}: copy its own worker.key here" in cluster.err
    assert "--key-file" in cluster.err
    assert keys.is_dir()


def test_packets_dropped_for_seconds_cost_no_task_and_work_goes_on_soon_after(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    second.worker(second.copy(keys / "worker.key"))
    client = third.script(APPENDS, str(third.copy(keys / "client.key")), str(second.folder / "ran"), str(TASKS))
    wait_until(lambda: len(second.lines("ran")) > 20, "tasks run")
    cable.ask("drop", "h1", "h2")
    wait_for_seconds(DROPPED_S)
    assert client.process.poll() is None
    before = len(second.lines("ran"))
    cable.ask("undrop", "h1", "h2")
    back_s = wait_until(lambda: len(second.lines("ran")) > before, "work goes on")
    assert (client.wait(), client.out, client.err) == (0, "True\n", "")
    assert sorted(map(int, second.lines("ran"))) == list(range(TASKS))
    assert back_s <= BACK_S


def wait_for_seconds(seconds: float) -> None:
    by = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= by, "time passes")
