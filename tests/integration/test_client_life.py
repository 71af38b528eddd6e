"""How clients end, and what they say where they would wait for ever or cannot go on."""

import errno
import gc
import itertools
import math
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from scaler import Client, ScalerFuture, SchedulerClusterCombo, as_completed, wait
from tests.integration.processes import Place, own_place, wait_until
from tests.integration.workloads import wait_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    with own_place(), SchedulerClusterCombo(n_workers=1) as combo:
        yield combo


@contextmanager
def room_for_descriptors(count: int) -> Iterator[None]:
    """No more than so many can be opened meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}
    free = (number for number in itertools.count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, count, None)), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def io_threads() -> int:
    return sum(thread.name == "scaler-client" for thread in threading.enumerate())


# ---- callbacks


def waits(client: Client) -> list[Callable[[ScalerFuture], Any]]:
    """Everything that waits, for a task that is not done."""
    return [
        lambda future: future.result(),
        lambda future: future.exception(5),
        lambda _: client.map(abs, [-1]),
        lambda _: client.starmap(abs, [(-1,)]),
        lambda future: client.gather([future]),
        lambda future: client.wait([future], 5),
        lambda future: list(as_completed([future])),
        lambda future: wait([future]),
        lambda _: Client(address="tcp://127.0.0.1:1"),
    ]


def test_whatever_would_wait_in_a_callback_says_so_and_the_client_goes_on(cluster: SchedulerClusterCombo):
    with Client(address=cluster) as client:
        told: list[str] = []

        def call_back(_: ScalerFuture) -> None:
            pending = client.submit(time.sleep, 0.3)
            for call in waits(client):
                try:
                    call(pending)
                except RuntimeError as error:
                    told.append(str(error))

        client.submit(abs, -1).add_done_callback(call_back)
        wait_until(lambda: len(told) == len(waits(client)), lambda: told)
        assert all("would wait for itself: it was called from a done callback" in text for text in told)
        assert client.map(abs, [-1]) == [1]


def exit_later(code: int) -> None:
    time.sleep(0.5)  # until then whoever waits for it is there
    sys.exit(code)


def test_a_callback_that_exits_leaves_the_client_usable(
    cluster: SchedulerClusterCombo, caplog: pytest.LogCaptureFixture
):
    with Client(address=cluster) as client:
        future = client.submit(exit_later, 3)
        future.add_done_callback(lambda done: done.result())
        with suppress(SystemExit):
            future.result()
        assert client.submit(abs, -1).result(10) == 1
        assert "SystemExit: 3" in caplog.text


# ---- the end


def test_clients_in_a_row_give_every_descriptor_back(cluster: SchedulerClusterCombo):
    before = descriptors()
    for _ in range(50):
        with Client(address=cluster) as client:
            client.submit(abs, -1)
        assert descriptors() <= before


def test_a_client_that_nobody_holds_leaves(cluster: SchedulerClusterCombo):
    before, threads = descriptors(), io_threads()
    client = Client(address=cluster)
    assert client.map(abs, [-1]) == [1]
    done = client.submit(abs, -1)
    assert done.result() == 1
    del client
    gc.collect()
    wait_until(lambda: (io_threads(), descriptors()) == (threads, before), "the client is gone")
    assert done.result() == 1


def test_a_future_of_a_client_that_nobody_holds_is_finished_first(cluster: SchedulerClusterCombo, tmp_path: Path):
    threads = io_threads()
    go = str(tmp_path / "go")
    future = Client(address=cluster).submit(wait_for, go, 1)
    given_up = Client(address=cluster).submit(wait_for, go, 2)
    gc.collect()
    assert io_threads() == threads + 2
    given_up.cancel()
    Path(go).touch()
    assert future.result(10) == 1
    wait_until(lambda: io_threads() == threads, "the clients are gone")


def test_in_a_forked_child_the_parents_futures_say_whose_they_are(cluster: SchedulerClusterCombo):
    with Client(address=cluster) as client:
        future = client.submit(time.sleep, 0.5)
        future.add_done_callback(lambda _: None)
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                list(as_completed([future], 5))
                future.result(5)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told
                os.write(writing, f"{type(error).__name__} {error}".encode())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert told.read() == "ClientQuitException this client belongs to the parent of this forked process"
        assert future.result() is None


# ---- limits


def test_an_endless_timeout_and_the_longest_heartbeat_are_kept(cluster: SchedulerClusterCombo):
    with Client(address=cluster, timeout_seconds=math.inf, heartbeat_interval_seconds=3600) as client:
        assert client.map(abs, [-1]) == [1]
    with Client(address=cluster, timeout_seconds=1e18) as client:
        assert client.map(abs, [-1]) == [1]


def test_a_scheduler_says_how_often_it_wants_to_hear_of_its_peers(place: Place, capfd: pytest.CaptureFixture[str]):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--client-timeout", "0.6", "--worker-timeout", "0.6")
    workers = place.cluster(address, 1)
    with Client(address=address, heartbeat_interval_seconds=3600) as client:
        client.submit(time.sleep, 2.5).result()  # longer than either would have been silent for
    assert "gone" not in scheduler.out
    assert "is too seldom" in workers.wait_for("one is sent each 0.3 s")
    assert capfd.readouterr().err.startswith("scaler: a heartbeat each 3600 s is too seldom: the scheduler at tcp://")


def test_a_process_without_descriptors_is_told_so(cluster: SchedulerClusterCombo):
    for room in range(14):
        with room_for_descriptors(room), pytest.raises(OSError, match="see ulimit -n") as caught:
            Client(address=cluster)
        assert caught.value.errno == errno.EMFILE
    with room_for_descriptors(14), Client(address=cluster, timeout_seconds=5) as client:
        assert client.map(abs, [-1]) == [1]


def test_work_that_no_worker_takes_is_told_once(place: Place, capfd: pytest.CaptureFixture[str]):
    _, address = place.scheduler()
    line = f"scaler: no worker is ready at {address}: tasks wait until one connects …\n"
    with Client(address=address) as client:
        assert client.wait([client.submit(abs, -1)], 3.5).not_done
        assert capfd.readouterr().err == line
        other = client.submit(abs, -1)
        assert client.wait([other], 2.5).not_done
        place.cluster(address, 1)
        assert client.map(abs, [-1]) == [1]
        assert capfd.readouterr().err == ""
