"""Clients that do not read what is sent to them: their results wait at the clusters, and nobody else is the worse."""

import signal
import time
from typing import Any

import psutil

from scaler import Client
from tests.integration.processes import Command, Place, wait_until
from tests.integration.test_monitor_stream import changed, monitor_of, reading
from tests.integration.workloads import timed

COUNT = 600
#: all together less than the 256 MiB after which nothing more is placed of a client that takes nothing
SIZE_BYTES = 400_000
#: the window of one link, what is just arriving, and what the allocator keeps
MOST_BYTES = 64 << 20
#: so long twenty tasks of others take at most, amid large results on a busy machine
OTHERS_S = 5.0
#: for all results to arrive
ARRIVAL_S = 60.0

#: each task leaves its number in a file
SCRIPT = f"""
import sys

from scaler import Client


def large(path, number):
    with open(path, "a") as file:
        file.write(f"{{number}}\\n")
    return number.to_bytes(4, "little") * ({SIZE_BYTES} // 4)


with Client(address=sys.argv[1]) as client:
    futures = [client.submit(large, sys.argv[2], number) for number in range({COUNT})]
    for number, future in enumerate(futures):
        assert future.result() == number.to_bytes(4, "little") * ({SIZE_BYTES} // 4), number
    print("all is right", flush=True)
"""


def standing_client(place: Place, scheduler: Command, address: str) -> Command:
    """A client that stands still, with all its tasks queued."""
    client = place.script(SCRIPT, address, place.path("large"))
    with reading(monitor_of(scheduler), "state") as reader:
        tables: dict[str, Any] = {}
        while tables.get("tasks", {}).get("queued") != COUNT:
            _, _, _, _, changes = reader.next()
            tables = changed(tables, changes)
    psutil.Process(client.pid).suspend()
    wait_until(lambda: psutil.Process(client.pid).status() == psutil.STATUS_STOPPED, "it stands still")
    return client


def have_run(place: Place) -> int:
    """How many of its tasks have run."""
    return len(set(place.lines("large")))


def goes_on(client: Command) -> None:
    """It reads on, and everything arrives."""
    client.send(signal.SIGCONT)
    assert client.wait(ARRIVAL_S) == 0, client.err
    assert "all is right" in client.out


def test_large_results_for_a_client_that_stands_still_do_not_fill_the_scheduler(place: Place):
    scheduler, address = place.scheduler()
    client = standing_client(place, scheduler, address)
    memory = psutil.Process(scheduler.pid)
    before = memory.memory_info().rss
    grown = [0]
    place.cluster(address, 2)
    with Client(address=address) as other:
        while have_run(place) < COUNT:
            begin = time.monotonic()
            assert other.map(timed, [(place.path("small"), number, 0.0) for number in range(20)]) == list(range(20))
            assert time.monotonic() - begin < OTHERS_S
            grown.append(memory.memory_info().rss - before)
    assert max(grown) < MOST_BYTES
    goes_on(client)
    assert len(place.lines("large")) == COUNT


def test_results_that_wait_at_a_cluster_that_is_killed_are_made_again(place: Place):
    scheduler, address = place.scheduler()
    client = standing_client(place, scheduler, address)
    doomed = place.cluster(address, 2)
    wait_until(lambda: have_run(place) == COUNT, "all have run")
    place.cluster(address, 2)
    doomed.kill()
    goes_on(client)
    # each once more: the values lay with the cluster
    assert COUNT < len(place.lines("large")) <= 2 * COUNT
