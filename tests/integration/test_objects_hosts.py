"""Objects between hosts that share no memory: fetched once by each host that needs them, also after a cut."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Command, wait_until
from tests.integration.security_hosts import Cable, Host, cable_between
from tests.integration.security_root import needs_hosts

pytestmark = needs_hosts

ADDRESS = "tcp://h1:8516"

SENDS = """
import sys, numpy as np
from scaler import Client

def total(values, number):
    return int(values.sum()) + number

size, text = int(sys.argv[2]), "t" * 1_000_000
values = np.ones(size, dtype="u1")
with Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30) as client:
    reference = client.send_object(values)
    print(client.map(total, [(reference, n) for n in range(40)]) == [size + n for n in range(40)], flush=True)
    print(client.map(total, [(values, n) for n in range(40)]) == [size + n for n in range(40)])
    print(client.map(len, [(text,), (bytes(70_000),), ([values],)]) == [1_000_000, 70_000, 1])
    print("done", flush=True)
    sys.stdin.readline()
    del reference
    print(client.submit(abs, -1).result(), flush=True)
"""

LOSES = """
import os, sys, time
from scaler import Client

with Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30) as client:
    future = client.submit(len, bytes(50_000_000))
    client.disconnect()
with Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30) as client:
    print(client.map(abs, range(3)))
"""

LOOKS = """
import sys, time
from pathlib import Path
import numpy as np
from scaler import Client

SIZE = 20_000_000

def copies():
    found = Path("/dev/shm").glob("scaler-store-*/*")
    return [path for path in found if path.name != "token" and path.suffix != ".coming"]

def total(values, number):
    until = time.monotonic() + 20
    while number == 0 and len(copies()) < 2:
        if time.monotonic() > until:
            raise TimeoutError(f"what the next task needs has not come: {copies()}")
        time.sleep(0.01)
    return int(values.sum()), len(copies()) if number == 0 else None

with Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30) as client:
    found = client.map(total, [(np.full(SIZE, number + 1, dtype="u1"), number) for number in range(3)])
    print(found == [(SIZE, 2), (2 * SIZE, None), (3 * SIZE, None)], flush=True)
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
    assert [path for host in cable.hosts for path in (host.folder / "shm").iterdir()] == []


def worker(host: Host, keys: Path, *options: str) -> Command:
    return host.worker(host.copy(keys / "worker.key"), *options)


def copies(host: Host) -> list[Path]:
    return [path for path in (host.folder / "shm").glob("*/*") if path.name != "token"]


def test_each_host_fetches_what_its_tasks_need_once_and_frees_it_with_its_owner(cable: Cable, keys: Path):
    first, second, third = cable.hosts
    worker(second, keys)
    worker(first, keys)
    client = third.script(SENDS, str(third.copy(keys / "client.key")), str(30_000_000))
    assert (client.wait(), client.out.split(), client.err) == (0, ["True", "True", "True", "done", "1"], "")
    for host in (first, second):
        wait_until(lambda host=host: not copies(host), "the copies are gone")


def test_what_the_next_task_needs_comes_while_the_first_still_runs(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    # of the options that are given twice the last one counts: there is one slot
    worker(second, keys, "-n", "1")
    client = third.script(LOOKS, str(third.copy(keys / "client.key")))
    assert (client.wait(60), client.out, client.err) == (0, "True\n", "")
    wait_until(lambda: not copies(second), "the copies are gone")


def test_a_cut_cable_delays_a_copy_and_loses_nothing(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    worker(second, keys)
    client = third.script(SENDS, str(third.copy(keys / "client.key")), str(60_000_000))
    wait_until(lambda: copies(second), "a copy comes")
    cable.ask("drop", "h1", "h2")
    cable.ask("undrop", "h1", "h2")
    assert (client.wait(60), client.out.split(), client.err) == (0, ["True", "True", "True", "done", "1"], "")


def test_a_client_that_leaves_in_the_middle_costs_nobody_else_anything(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    worker(second, keys)
    client = third.script(LOSES, str(third.copy(keys / "client.key")))
    assert (client.wait(), client.out) == (0, "[0, 1, 2]\n")


def test_where_a_copy_has_no_room_its_tasks_are_told_and_others_go_on(cable: Cable, keys: Path):
    _, second, third = cable.hosts
    spill = second.folder / "spill"
    spill.mkdir()
    worker(second, keys, "--object-store-limit", "1M", "--spill-dir", str(spill))
    client = third.script(SENDS, str(third.copy(keys / "client.key")), str(30_000_000))
    assert (client.wait(), client.out.split(), client.err) == (0, ["True", "True", "True", "done", "1"], "")
    wait_until(lambda: not list(spill.glob("*/*-*")), "the spilled copies are gone")
