"""Workers that cannot be had, or are not wanted any more while they start."""

import os
import resource
from collections.abc import Iterator

import pytest

from scaler.ids import WorkerId
from scaler.worker.agent_events import KillWorker, StartFailed, StartWorker, WorkerEnded
from tests.integration.worker_driver import Driver

WORKER = WorkerId(0)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver(dict(os.environ))
    yield made
    made.close()


def test_workers_that_are_not_wanted_any_more_are_not_forked_first(driver: Driver):
    numbers = [WorkerId(number) for number in range(200)]
    for command in (*map(StartWorker, numbers), *map(KillWorker, numbers)):
        driver.tell(command)
    driver.wait(lambda: len(driver.of(StartFailed)) + len(driver.of(WorkerEnded)) == len(numbers))
    assert len(driver.of(WorkerEnded)) <= 16
    assert {event.text for event in driver.of(StartFailed)} == {"it was not wanted any more"}


def test_a_worker_that_cannot_be_held_ends_and_is_told_as_not_started(driver: Driver):
    driver.tell(StartWorker(WORKER))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        (failed,) = driver.wait_for(StartFailed)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in failed.text
    driver.start(1)
    driver.tell(KillWorker(WorkerId(1)))
    assert driver.wait_for(WorkerEnded)[0].worker == 1
