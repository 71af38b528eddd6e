"""What ends a task's run that is no fault of its own: which of it is counted, how often, and how it is told."""

import time
from pathlib import Path

import pytest

from scaler import Client
from scaler.errors import WalltimeError, WorkerDiedError
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import append, mark


def until_opened(path: str) -> int:
    """Leave a line, and wait for the gate of this place; how often that was tried."""
    append(path, time.monotonic())
    while not Path(f"{path}.gate").exists():
        time.sleep(0.01)
    return len(Path(path).read_text(encoding="utf-8").splitlines())


def begun(place: Place, count: int) -> None:
    wait_until(lambda: len(place.lines("runs")) == count, f"run {count} has begun")


def test_losses_by_a_drain_never_count_against_retries(place: Place, address: str, client: Client):
    future = client.submit(until_opened, place.path("runs"), retries=0)
    for count in range(1, 5):
        cluster = place.cluster(address, 1)
        begun(place, count)
        assert cluster.end() == 0
    place.cluster(address, 1)
    begun(place, 5)
    Path(place.path("runs.gate")).touch()
    assert (future.result(), future.profiling_info().attempts) == (5, 5)


def test_losses_by_walltime_never_count_against_retries(place: Place, address: str, client: Client):
    endless = place.cluster(address, 1)
    future = client.submit(until_opened, place.path("runs"), retries=0)
    begun(place, 1)
    endless.end()
    short = place.cluster(address, 1, "--end-time", str(time.time() + 10))
    begun(place, 2)
    assert short.wait(within_s=12) == 0
    place.cluster(address, 1)
    begun(place, 3)
    Path(place.path("runs.gate")).touch()
    assert future.result() == 3


def test_a_task_that_no_walltime_is_long_enough_for_fails_with_both_figures(place: Place, address: str, client: Client):
    short = place.cluster(address, 1, "--end-time", str(time.time() + 12))
    future = client.submit(until_opened, place.path("runs"))
    begun(place, 1)
    with pytest.raises(WalltimeError, match=r"ran for \d+\.\d s without ending, and no worker ever offered more than"):
        future.result(timeout=15)
    assert short.wait() == 0


def test_a_host_that_vanishes_under_a_task_three_times_fails_it(place: Place, address: str, client: Client):
    future = client.submit(until_opened, place.path("runs"), retries=0)
    beside = client.submit(mark, place.path("beside"), 7, tag=None, retries=0, priority=-1)
    for count in (1, 2, 3):
        assert not future.done()
        cluster = place.cluster(address, 1)
        begun(place, count)
        # a task that nobody has heard of yet is not charged with the loss of its host
        wait_until(lambda: future.explain().startswith("it runs"), f"the scheduler knows that run {count} has begun")
        cluster.kill()
    with pytest.raises(WorkerDiedError, match="3 times"):
        future.result()
    place.cluster(address, 1)
    assert beside.result() == 7
    assert (len(place.lines("runs")), len(place.lines("beside"))) == (3, 1)


def test_a_host_that_vanishes_twice_costs_the_task_no_more_than_time(place: Place, address: str, client: Client):
    future = client.submit(until_opened, place.path("runs"), retries=0)
    for count in (1, 2):
        cluster = place.cluster(address, 1)
        begun(place, count)
        cluster.kill()
    place.cluster(address, 1)
    begun(place, 3)
    Path(place.path("runs.gate")).touch()
    assert future.result() == 3
