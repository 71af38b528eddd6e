"""Large results between hosts that share no memory: fetched when they are read, made anew if their host is lost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Command, wait_until
from tests.integration.security_hosts import Cable, Host, cable_between
from tests.integration.security_root import needs_hosts

pytestmark = needs_hosts

BEGIN = """
import os, sys, time
from concurrent.futures import wait
import numpy as np
from scaler import Client

LOG = sys.argv[2]

def ones(count, number=1):
    with open(LOG, "a") as file:
        print(os.uname().nodename, file=file)
    return np.full(count, number, dtype="u1")

def grown(values):
    return values + 1

def total(*values):
    return sum(int(one.sum()) for one in values)

client = Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30)
"""

READS = """
sizes = (10, 70_000, 1_048_576, 30_000_000)
print([total(one) for one in client.map(ones, sizes)] == list(sizes))
futures = [client.submit(ones, size) for size in sizes]
first = futures[1].result()
first[0] = 7
print([total(future.result()) for future in futures] == [10, 70_006, 1_048_576, 30_000_000])
print(client.submit(total, *[client.submit(grown, future) for future in futures]).result() == 2 * sum(sizes) + 6)
told = []
client.submit(ones, 1_000_000).add_done_callback(lambda future: told.append(total(future.result())))
client.map_async(ones, [1_000_000] * 3, callback=lambda found: told.append(sum(map(total, found))))
while len(told) < 2:
    time.sleep(0.01)
print(sorted(told) == [1_000_000, 3_000_000])
print("done", flush=True)
sys.stdin.readline()
"""

WAITS = """
future = client.submit(ones, 5_000_000)
behind = client.submit(grown, future)
wait([future, behind])
print("done", flush=True)
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
print(total(behind.result()), client.submit(total, future, behind).result(), total(future.result()), flush=True)
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
    for host in cable.hosts:
        (host.folder / "go").unlink(missing_ok=True)


def worker(host: Host, keys: Path, *options: str) -> Command:
    return host.worker(host.copy(keys / "worker.key"), *options)


def values(host: Host) -> list[Path]:
    return [path for path in (host.folder / "shm").glob("*/*") if path.name != "token"]


def runs(cable: Cable, tmp_path: Path) -> str:
    """A file that all hosts see."""
    assert cable.hosts
    return str(tmp_path / "runs")


def test_they_are_fetched_when_they_are_read_and_gone_then(cable: Cable, keys: Path, tmp_path: Path):
    _, second, third = cable.hosts
    worker(second, keys)
    client = third.script(BEGIN + READS, str(third.copy(keys / "client.key")), runs(cable, tmp_path))
    assert (client.wait(60), client.out.split(), client.err) == (0, ["True"] * 4 + ["done"], "")
    wait_until(lambda: not values(second), "the files are gone")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_what_is_not_read_when_its_cluster_ends(cable: Cable, keys: Path, tmp_path: Path, number: signal.Signals):
    """Killed, it is made anew by another; told to end, the cluster sends it first."""
    first, second, third = cable.hosts
    cluster = worker(second, keys)
    log = runs(cable, tmp_path)
    client = third.script(BEGIN + WAITS, str(third.copy(keys / "client.key")), log, str(third.folder / "go"))
    client.wait_for("done")
    if number is signal.SIGKILL:
        cluster.send(number)
        cluster.wait()
    else:
        assert cluster.end(number) == 0
    worker(first, keys)
    (third.folder / "go").touch()
    assert (client.wait(60), client.err) == (0, "")
    assert client.out.split()[1:] == ["10000000", "15000000", "5000000"]
    assert len(Path(log).read_text(encoding="utf-8").splitlines()) == (2 if number is signal.SIGKILL else 1)
