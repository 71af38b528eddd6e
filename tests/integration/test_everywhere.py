"""`run_on_workers` on real processes: once on every worker, whatever else they have to do."""

import functools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scaler import Client
from scaler.errors import ClientQuitException, UnknownTagError, WorkerDiedError
from tests.integration.processes import SLOT_BACK_S, Place, wait_until
from tests.integration.workloads import append, call_once, mark, stay


def workers_of(client: Client, count: int, place: Place) -> set[str]:
    """The processes of so many workers, once all are there."""
    name = place.path("all")

    def found() -> set[str]:
        client.map(call_once, [(name, 0.02)] * 3 * count)
        return set(place.lines("all"))

    wait_until(lambda: len(found()) >= count, "all workers are there")
    return set(place.lines("all"))


def test_run_on_workers_calls_once_on_each_of_several_clusters(place: Place, address: str, client: Client):
    place.cluster(address, 3)
    place.cluster(address, 2, "--threads", "4")
    workers = workers_of(client, 5, place)
    for number in range(3):
        assert client.run_on_workers(functools.partial(call_once, place.path(f"calls{number}"))) is None  # type: ignore[func-returns-value]  # the promise
        assert sorted(place.lines(f"calls{number}")) == sorted(workers)
    assert client.map(abs, range(100)) == list(range(100))


def set_here() -> object:
    os.environ["SET_ON_EVERY_WORKER"] = "yes"
    return threading.Lock()  # what it returns is dropped, and need not be picklable


def test_run_on_workers_prepares_them_for_what_comes(place: Place, address: str, client: Client):
    place.cluster(address, 4)
    workers_of(client, 4, place)
    client.run_on_workers(set_here)
    found = client.map(lambda seconds: (time.sleep(seconds), os.environ.get("SET_ON_EVERY_WORKER"))[1], [0.05] * 16)
    assert set(found) == {"yes"}


def test_run_on_workers_with_a_tag_calls_on_those_with_it(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--tag", "gpu")
    wait_until(lambda: client._io.news.known_tags == ("gpu",), "the tag is known")
    tagged = {str(pid) for pid in client.map(call_once, [(place.path("tagged"), 0.05)] * 8, tag="gpu")}
    place.cluster(address, 2)
    workers_of(client, 4, place)
    client.run_on_workers(functools.partial(call_once, place.path("calls")), tag="gpu")
    assert sorted(place.lines("calls")) == sorted(tagged)
    with pytest.raises(UnknownTagError, match="'gpu'"):
        client.run_on_workers(set_here, tag="none")
    with pytest.raises(TypeError, match="missing a required argument"):
        client.run_on_workers(mark)


def raise_in_one(path: str) -> None:
    append(path, os.getpid())
    if len(Path(path).read_text(encoding="utf-8").splitlines()) == 2:
        raise LookupError("in one of them")


def test_run_on_workers_raises_the_first_failure_once_all_are_done(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    place.cluster(address, 2)
    workers = workers_of(client, 4, place)
    with pytest.raises(LookupError, match="in one of them") as caught:
        client.run_on_workers(functools.partial(raise_in_one, place.path("calls")))
    assert sorted(place.lines("calls")) == sorted(workers)
    assert ", worker " in caught.value.__notes__[-1]


def die_in_one(path: str) -> None:
    append(path, os.getpid())
    if len(Path(path).read_text(encoding="utf-8").splitlines()) == 1:
        os._exit(9)


def test_run_on_workers_tells_of_a_worker_that_the_call_took_down(place: Place, address: str, client: Client):
    place.cluster(address, 3)
    workers_of(client, 3, place)
    with pytest.raises(WorkerDiedError, match="exited with code 9"):
        client.run_on_workers(functools.partial(die_in_one, place.path("calls")))
    assert len(place.lines("calls")) == 3
    assert client.map(abs, range(10)) == list(range(10))


def test_run_on_workers_waits_for_what_runs_and_goes_before_what_waits(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    workers_of(client, 2, place)
    futures = [client.submit(stay, place.path("stay"), number) for number in range(2)]
    wait_until(lambda: len(place.lines("stay")) == 2, "both are busy")
    queued = [client.submit(call_once, place.path("queued"), 0.01) for _ in range(100)]
    with ThreadPoolExecutor(1) as beside:
        called = beside.submit(client.run_on_workers, functools.partial(call_once, place.path("calls")))
        client.cancel(futures[0])
        wait_until(lambda: len(place.lines("calls")) == 1, "the one that is free has called")
        assert not called.done()
        client.cancel(futures[1])
        called.result(30)
    assert len(place.lines("queued")) < 90
    client.gather(queued)


def test_run_on_workers_waits_for_the_first_worker(place: Place, address: str, client: Client):
    with ThreadPoolExecutor(1) as beside:
        called = beside.submit(client.run_on_workers, functools.partial(call_once, place.path("calls")))
        wait_until(called.running, "it waits")
        place.cluster(address, 2)
        called.result(30)
    assert len(set(place.lines("calls"))) == len(place.lines("calls")) >= 1


def test_run_on_workers_does_not_wait_for_workers_that_die_before_they_begin(
    place: Place, address: str, client: Client
):
    place.cluster(address, 2)
    other = place.cluster(address, 1)
    workers_of(client, 3, place)
    futures = [client.submit(stay, place.path("stay"), number, retries=0) for number in range(3)]
    wait_until(lambda: len(place.lines("stay")) == 3, "all are busy")
    pids = {int(line.split()[0]): int(line.split()[2]) for line in place.lines("stay")}
    with ThreadPoolExecutor(1) as beside:
        called = beside.submit(client.run_on_workers, functools.partial(call_once, place.path("calls")))
        client.cancel(futures[0])
        wait_until(lambda: len(place.lines("calls")) >= 1, "the one that is free has called")
        for number in (1, 2):
            os.kill(pids[number], signal.SIGKILL)
        other.kill()
        assert called.result(30) is None
    assert place.lines("calls") == [str(pids[0])]


def test_run_on_workers_that_nobody_waits_for_ends_on_every_worker(place: Place, address: str, client: Client):
    place.cluster(address, 3)
    workers_of(client, 3, place)
    with ThreadPoolExecutor(1) as beside:
        called = beside.submit(client.run_on_workers, functools.partial(stay, place.path("stay"), 0, "heedless"))
        wait_until(lambda: len(place.lines("stay")) == 3, "it runs everywhere")
        client.clear()
        assert isinstance(called.exception(), ClientQuitException)
    futures = [client.submit(stay, place.path("next"), number) for number in range(3)]
    wait_until(lambda: len(place.lines("next")) == 3, "every slot is back", SLOT_BACK_S)
    client.cancel(futures)


def test_run_on_workers_begins_anew_after_a_restart_of_the_scheduler(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    with Client(address=address) as client, ThreadPoolExecutor(1) as beside:
        workers_of(client, 2, place)
        blocker = client.submit(stay, place.path("stay"), 0)
        wait_until(lambda: place.lines("stay"), "one is busy")
        called = beside.submit(client.run_on_workers, functools.partial(call_once, place.path("calls")))
        wait_until(lambda: place.lines("calls"), "the other has called")
        scheduler.kill()
        place.scheduler(address)
        wait_until(lambda: len(place.lines("calls")) >= 2, "it has begun anew")
        assert not called.done()
        client.cancel(blocker)
        assert called.result(30) is None
    assert len(set(place.lines("calls"))) == 2
