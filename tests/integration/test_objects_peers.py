"""Objects that hosts give each other: the scheduler sends each once, and everything where they cannot."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import Command, wait_until
from tests.integration.security_hosts import Cable, Host, cable_between
from tests.integration.security_root import needs_hosts

pytestmark = needs_hosts

SIZE = 30_000_000
#: what the scheduler sends beside it all
FEW_BYTES = 3_000_000

BEGIN = """
import os, sys, time
import numpy as np
from scaler import Client

SIZE = int(sys.argv[2])

def total(values, *more):
    return int(values.sum()), os.uname().nodename

def ones(number):
    return np.full(SIZE, number, dtype="u1")

client = Client(address="tcp://h1:8516", key_file=sys.argv[1], timeout_seconds=30)
"""

SPREADS = """
values = np.ones(SIZE, dtype="u1")
reference = client.send_object(values)
futures = [client.submit(total, reference, tag=tag) for tag in ("h2", "h3", "h4")]
print([future.result()[0] == SIZE for future in futures], flush=True)
again = [client.submit(total, reference, tag=tag) for tag in ("h2", "h3", "h4")]
print([future.result()[0] == SIZE for future in again], flush=True)
"""

PASSES_ON = """
made = client.submit(ones, 2, tag="h2")
print([client.submit(total, made, tag=tag).result()[0] == 2 * SIZE for tag in ("h3", "h4")], flush=True)
"""


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with cable_between(5) as cable:
        yield cable


@pytest.fixture
def keys(cable: Cable) -> Iterator[Path]:
    """The key directory of the scheduler on the first host, as its log names it."""
    with cable.scheduler() as keys:
        yield keys
    assert [path for host in cable.hosts for path in (host.folder / "shm").iterdir()] == []


def workers(cable: Cable, keys: Path, *options: str) -> list[Command]:
    """A cluster on each of three hosts, for tasks with its name as their tag."""
    return [host.worker(host.copy(keys / "worker.key"), "--tag", host.name, *options) for host in cable.hosts[1:4]]


def program(cable: Cable, keys: Path, text: str, size: int = SIZE) -> Command:
    host = cable.hosts[4]
    return host.script(BEGIN + text, str(host.copy(keys / "client.key")), str(size))


def sent_bytes(host: Host) -> int:
    """What a host has put on the cable so far."""
    return int(host.told("cat", "/sys/class/net/eth0/statistics/tx_bytes"))


def copies(host: Host) -> list[Path]:
    return [path for path in (host.folder / "shm").glob("*/*") if path.name != "token"]


def ends_well(client: Command, lines: int) -> None:
    assert (client.wait(60), client.out.splitlines()) == (0, ["[True, True, True]"] * lines), client.err


def test_the_scheduler_sends_an_object_once_and_hosts_give_it_to_each_other(cable: Cable, keys: Path):
    workers(cable, keys)
    before = sent_bytes(cable.hosts[0])
    ends_well(program(cable, keys, SPREADS), 2)
    assert SIZE < sent_bytes(cable.hosts[0]) - before < SIZE + FEW_BYTES
    for host in cable.hosts[1:4]:
        wait_until(lambda host=host: not copies(host), "the copies are gone")


def test_what_a_host_has_made_goes_past_the_scheduler(cable: Cable, keys: Path):
    workers(cable, keys)
    before = sent_bytes(cable.hosts[0])
    client = program(cable, keys, PASSES_ON)
    assert (client.wait(60), client.out) == (0, "[True, True]\n")
    assert sent_bytes(cable.hosts[0]) - before < FEW_BYTES


def test_hosts_that_cannot_reach_each_other_are_served_by_the_scheduler(cable: Cable, keys: Path):
    _, second, third, *_ = cable.hosts
    workers(cable, keys)
    before = sent_bytes(cable.hosts[0])
    # of two isolated ports neither hears the other: the scheduler and the client are heard by both
    cable.ask("drop", second.name, third.name)
    try:
        ends_well(program(cable, keys, SPREADS), 2)
        client = program(cable, keys, PASSES_ON)
        assert (client.wait(60), client.out) == (0, "[True, True]\n")
    finally:
        cable.ask("undrop", second.name, third.name)
    assert sent_bytes(cable.hosts[0]) - before > 2 * SIZE


@pytest.mark.parametrize("options", [("--peer-port", "-1"), ("--peer-port", "4711")], ids=["none", "one"])
def test_the_port_is_one_that_was_asked_for_or_none(cable: Cable, keys: Path, options: tuple[str, ...]):
    workers(cable, keys, *options)
    listening = cable.hosts[1].told("ss", "-ltnH")
    before = sent_bytes(cable.hosts[0])
    ends_well(program(cable, keys, SPREADS), 2)
    goes_through_the_scheduler = options[1] == "-1"
    sent = sent_bytes(cable.hosts[0]) - before
    assert (sent > 3 * SIZE) is goes_through_the_scheduler, sent
    assert (":4711 " in listening) is not goes_through_the_scheduler


def test_a_host_that_dies_while_others_fetch_from_it_costs_them_nothing(cable: Cable, keys: Path):
    clusters = workers(cable, keys)
    client = program(cable, keys, SPREADS.replace('("h2", "h3", "h4")', '("h3", "h4", "h4")'), 300_000_000)
    wait_until(lambda: copies(cable.hosts[2]) and copies(cable.hosts[3]), "both fetch it")
    clusters[1].process.send_signal(signal.SIGKILL)
    cable.hosts[2].worker(cable.hosts[2].folder / "worker.key", "--tag", "h3")
    ends_well(client, 2)


def test_a_host_that_stands_still_while_others_fetch_from_it_is_left(cable: Cable, keys: Path):
    clusters = workers(cable, keys)
    client = program(cable, keys, SPREADS, 200_000_000)
    wait_until(lambda: all(copies(host) for host in cable.hosts[1:4]), "all fetch it")
    stopped = clusters[0].process
    stopped.send_signal(signal.SIGSTOP)
    try:
        coming = [path for host in cable.hosts[2:4] for path in copies(host) if path.suffix == ".coming"]
        wait_until(lambda: not any(path.exists() for path in coming), "the others have all of it")
    finally:
        stopped.send_signal(signal.SIGCONT)
    ends_well(client, 2)
