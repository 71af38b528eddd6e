"""Durable work on real processes and a real disk, whatever dies or fills up: nothing that was acknowledged is lost.

The constants are those of every run; what a full one has, by hand, is beside them.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler import Client
from scaler.errors import DurableError, KeyFileError
from scaler.net.keys import make_key_directory
from tests.integration.disks import cut_power, flip, only_work, traced_scheduler
from tests.integration.processes import Command, Place, wait_until
from tests.integration.security_peers import own_key
from tests.integration.security_root import needs_hosts, needs_strace
from tests.integration.workloads import timed

#: tasks of each test; 100,000 in full
TASKS = 300
#: power cuts; 100 in full
POWER_CUTS = 3
WAIT_S = 20.0
NAME = "nightly"
SUBMITTING = """
import sys
from scaler import Client
from tests.integration.workloads import timed
client = Client(sys.argv[1], durable="nightly")
futures = []
for number in range(int(sys.argv[3])):
    futures.append(client.submit(timed, sys.argv[2], number, 0.01))
    if number % 10 == 9:
        client.flush()
        print("acknowledged", number + 1, flush=True)
futures[-1].result()
"""


def scheduler(place: Place, address: str = "tcp://127.0.0.1:0", *options: str) -> tuple[Command, str]:
    return place.scheduler(address, "--state-dir", place.path("state"), *options)


def test_a_killed_client_and_a_killed_scheduler_lose_nothing_that_was_acknowledged(place: Place):
    first, address = scheduler(place)
    place.cluster(address, 2)
    submitting = place.script(SUBMITTING, address, place.path("runs"), str(TASKS))
    submitting.wait_for("acknowledged", TASKS // 20)
    submitting.kill()
    acknowledged = int(submitting.out.split()[-1])
    first.kill()
    scheduler(place, address)
    with Client(address, durable=NAME) as client:
        futures = client.futures()
        assert acknowledged <= len(futures) <= TASKS
        assert client.gather(futures) == list(range(len(futures)))


@needs_strace
@pytest.mark.parametrize("tasks", range(1, 1 + POWER_CUTS))
def test_a_power_cut_right_after_an_acknowledgement_loses_nothing(place: Place, tasks: int):
    """Files are as of their last fsync: whatever was written later, to log or database, is zeros when all begins anew.

    This shows that each acknowledgement comes behind an fsync of all that it stands for. That an fsync reaches the
    platters is for the disk to show.
    """
    options = ("--state-dir", place.path("state"))
    traced, address, trace = traced_scheduler(place, "trace", *options)
    client = Client(address, durable=NAME)
    for number in range(tasks):
        before = trace.syncs()
        assert client.submit(abs, -number).acknowledged(WAIT_S)
        wait_until(lambda before=before: trace.syncs() > before, "strace has written what was synced before")
    assert trace.syncs() >= tasks
    [pid] = place.children(traced.pid)
    subprocess.run(["kill", "-9", str(pid)], check=True)  # noqa: S607  # the system's
    traced.wait()
    cut_power(trace)
    _, address = scheduler(place)
    place.cluster(address, 1)
    with Client(address, durable=NAME) as again:
        assert again.gather(again.futures()) == list(range(tasks))
    client.disconnect()


def finished_work(place: Place, *, is_killed: bool) -> str:
    """A work of some tasks that have ended, whose scheduler has too; where that was."""
    first, address = scheduler(place)
    cluster = place.cluster(address, 2)
    with Client(address, durable=NAME) as client:
        assert client.map(marked, range(20)) == [marked(number) for number in range(20)]
        client.flush()
    cluster.end()
    first.end(signal.SIGKILL if is_killed else signal.SIGTERM)
    return address


def marked(number: int) -> str:
    return f"the result of {number} that nobody may change"


def test_a_torn_end_of_the_log_loses_nothing(place: Place):
    address = finished_work(place, is_killed=True)
    wal = only_work(Path(place.path("state")), "-wal")
    with wal.open("ab") as file:
        file.write(wal.read_bytes()[-2000:])
    scheduler(place, address)
    with Client(address, durable=NAME) as client:
        assert client.gather(client.futures()) == [marked(number) for number in range(20)]


@pytest.mark.parametrize("damage", ["header", "middle", "cut"])
def test_a_damaged_database_is_set_aside_by_name_and_all_others_are_served(place: Place, damage: str):
    address = finished_work(place, is_killed=False)
    path = only_work(Path(place.path("state")))
    if damage == "cut":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    else:
        flip(path, 20 if damage == "header" else 4096 + 1)
    again, _ = scheduler(place, address)
    line = again.wait_for("damaged durable work")
    assert "nightly" in line
    assert ".damaged-" in line
    place.cluster(address, 1)
    with Client(address, durable="other") as client:
        assert client.submit(abs, -1).result() == 1
    with Client(address, durable=NAME) as client:
        assert client.futures() == []
        assert client.submit(abs, -1).result() == 1
    assert len(list((path.parent).glob("*.damaged-*.sqlite"))) == 1


def test_a_damaged_row_is_never_a_result(place: Place):
    address = finished_work(place, is_killed=False)
    path = only_work(Path(place.path("state")))
    flip(path, path.read_bytes().rindex(b"of 7 that nobody") + 8)
    again, _ = scheduler(place, address)
    again.wait_for("damaged rows")
    place.cluster(address, 1)
    with Client(address, durable=NAME) as client:
        assert client.gather(client.futures()) == [marked(number) for number in range(20)]


@pytest.fixture
def small(place: Place) -> Iterator[Path]:
    """A disk of 4 MB for the state of a scheduler."""
    disk = Path(place.path("state"))
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(disk)], check=True)  # noqa: S607  # root's
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)  # noqa: S607  # root's


@needs_hosts
def test_a_full_disk_takes_nothing_new_and_says_so_and_with_room_all_goes_on(place: Place, small: Path):
    first, address = scheduler(place)
    place.cluster(address, 2)
    ballast = small / "ballast"
    with Client(address, durable=NAME) as client:
        running = [client.submit(timed, place.path("runs"), number, 0.2) for number in range(10)]
        client.flush(WAIT_S)
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(4 << 20))
        first.wait_for("cannot be written, and takes nothing: database or disk is full")
        refused = client.submit(abs, -1)
        with pytest.raises(TimeoutError):
            refused.acknowledged(1.0)
        assert "full" in refused.explain()
        wait_until(lambda: len(place.lines("runs")) == 10, "what runs goes on")
        ballast.unlink()
        assert client.gather([*running, refused]) == [*range(10), 1]
        first.wait_for("is written again")
    first.kill()
    scheduler(place, address)
    with Client(address, durable=NAME) as client:
        assert sorted(client.gather(client.futures())) == sorted([*range(10), 1])


def test_another_key_is_refused_in_one_line_and_a_worker_key_cannot_ask(place: Place):
    keys = place.folder / "c" / "scaler" / "keys"
    make_key_directory(keys)
    ann, rented = own_key(keys, "client", "ann"), own_key(keys, "worker", "rented")
    _, address = scheduler(place)
    with Client(address, durable=NAME) as client:
        client.submit(abs, -1)
        client.flush(WAIT_S)
    with pytest.raises(DurableError) as refused:
        Client(address, durable=NAME, key_file=ann)
    assert str(refused.value) == "the durable work 'nightly' belongs to another key"
    with pytest.raises(KeyFileError):
        Client(address, durable=NAME, key_file=rented)
    with Client(address, durable="ann", key_file=ann) as other:
        assert other.futures() == []
