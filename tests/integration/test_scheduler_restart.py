"""Schedulers that are killed: with a new one at the address all goes on, without one it ends with a clear error."""

from collections import Counter

import pytest

from scaler import Client
from scaler.errors import ClientQuitException, DisconnectedError
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import append, timed

#: a scheduler that meets a defect of ours as soon as a file is there
DEFECTIVE = """
import os, sys
from scaler.cli.main import scheduler_main
from scaler.core.scheduler import SchedulerCore

file = sys.argv.pop()
handle = SchedulerCore.handle

def broken(core, events, now):
    if os.path.exists(file):
        raise ZeroDivisionError("a defect")
    return handle(core, events, now)

SchedulerCore.handle = broken
scheduler_main()
"""


def runs(place: Place) -> Counter[int]:
    return Counter(int(line.split()[0]) for line in place.lines("runs"))


def test_no_future_fails_and_nothing_runs_twice_when_a_new_scheduler_takes_the_place_of_a_killed_one(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    place.cluster(address, 2)
    with Client(address=address) as client:
        early = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(100)]
        wait_until(lambda: len(place.lines("runs")) > 50, "all are at work")
        scheduler.kill()
        late = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(100, 200)]
        place.scheduler(address)
        assert client.gather(early + late) == list(range(200))
        assert client.map(abs, [-1]) == [1]
    assert runs(place) == Counter(range(200))


@pytest.mark.parametrize("event_loop", ["builtin", "uvloop"])
def test_a_defect_ends_the_scheduler_and_all_goes_on_with_the_next(place: Place, event_loop: str):
    address = f"ipc://{place.folder}/address"
    scheduler = place.script(DEFECTIVE, address, "--event-loop", event_loop, place.path("defect"))
    scheduler.wait_for("listening on ")
    place.cluster(address, 2)
    with Client(address=address) as client:
        futures = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(100)]
        wait_until(lambda: len(place.lines("runs")) > 20, "all are at work")
        append(place.path("defect"), "now")
        assert scheduler.wait() == 1
        place.scheduler(address)
        assert client.gather(futures) == list(range(100))
    assert scheduler.err.startswith("Traceback")
    assert scheduler.err.endswith("\nZeroDivisionError: a defect\n")
    assert runs(place) == Counter(range(100))


def test_a_map_outlives_two_schedulers(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    with Client(address=address) as client:
        future = client.submit(timed, place.path("runs"), 0, 4.0)
        wait_until(lambda: runs(place), "it runs")
        scheduler.kill()
        scheduler, _ = place.scheduler(address)
        scheduler.kill()
        place.scheduler(address)
        assert future.result() == 0
    assert runs(place) == Counter([0])


def test_work_is_done_when_a_cluster_went_with_its_scheduler(place: Place):
    scheduler, address = place.scheduler()
    cluster = place.cluster(address, 2)
    place.cluster(address, 2)
    with Client(address=address) as client:
        futures = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(200)]
        wait_until(lambda: len(place.lines("runs")) > 50, "all are at work")
        scheduler.kill()
        cluster.kill()
        place.scheduler(address)
        assert client.gather(futures) == list(range(200))
    # what the dead cluster had finished or begun and could not tell
    assert max(runs(place).values()) <= 2


def test_without_a_scheduler_futures_fail_when_the_clients_patience_ends(place: Place):
    scheduler, address = place.scheduler()
    client = Client(address=address, timeout_seconds=1)
    future = client.submit(abs, -1)
    scheduler.kill()
    with pytest.raises(DisconnectedError, match=address):
        future.result()
    for later in (lambda: client.submit(abs, -1), lambda: client.map(abs, [-1])):
        with pytest.raises(DisconnectedError, match=address):
            later()
    client.disconnect()
    with pytest.raises(ClientQuitException):
        client.submit(abs, -1)


def test_a_cluster_without_a_scheduler_ends_itself_in_time(place: Place):
    scheduler, address = place.scheduler()
    cluster = place.cluster(address, 2, "--death-timeout", "1")
    scheduler.kill()
    assert cluster.wait() == 1
    assert place.processes() == []
