"""A real worker opens calls that need the values of other tasks."""

import os
import time
from collections.abc import Iterator

import pytest

from scaler.ids import WorkerId
from scaler.worker.agent_events import Harvested, Interrupt
from tests.integration.worker_driver import Driver, Input

WORKER = WorkerId(0)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver(dict(os.environ))
    yield made
    made.close()


def double(number: int) -> int:
    return 2 * number


def test_calls_find_the_values_of_other_tasks_in_their_places(driver: Driver):
    def told(*parts: object, **named: object) -> tuple[object, ...]:
        return (*parts, *named.values())

    large, small = Input(bytes(5_000_000)), Input([1])
    driver.start()
    calls = [(small, {"x": [large]}), (1, 2), (small, small)]
    assert [outcome.value for outcome in driver.run(told, calls)] == [
        ([1], {"x": [bytes(5_000_000)]}),
        (1, 2),
        ([1], [1]),
    ]


def test_a_value_that_cannot_be_opened_fails_its_call_alone(driver: Driver):
    driver.start()
    outcomes = driver.run(double, [(Input(1),), (Input(data=b"nonsense"),), (Input(2),)])
    assert [outcome.value for outcome in outcomes] == [2, None, 4]
    assert str(outcomes[1].error).startswith("the arguments cannot be loaded here: UnpicklingError")


def test_a_call_that_is_stopped_while_its_inputs_are_opened_takes_nothing_from_the_next(driver: Driver):
    class Slow:
        def __reduce__(self) -> tuple[object, ...]:
            return time.sleep, (1000,)

    driver.start()
    driver.define(double)
    ticket = driver.give(double, [(Input(1),), (Input(Slow()),), (Input(2),)])
    driver.wait(lambda: driver.of(Harvested) != [] and driver.of(Harvested)[-1].slots[0].index == 1)
    driver.tell(Interrupt(WORKER, 0, ticket, 1))
    assert driver.values(3)[2] == (2, 4)
    assert "the task was cancelled" in str(driver.outcomes()[1][1].error)
