"""Timeouts on real processes: soon after the limit, whatever a task does, and of that task alone."""

import time

import pytest

from scaler import Client
from scaler.errors import TaskTimeoutError
from tests.integration.processes import SLOT_BACK_S, Place, wait_until
from tests.integration.workloads import mark, stay

#: how much later than its limit a task may end
LATE_S = 0.5


@pytest.mark.parametrize("how", ["asleep", "busy", "heedless", "in C with the GIL"])
def test_timeout_ends_a_task_whatever_it_does(place: Place, address: str, client: Client, how: str):
    place.cluster(address, 1)
    client.submit(mark, place.path("warm"), 0).result()
    ended: list[float] = []
    future = client.submit(stay, place.path("runs"), 0, how, timeout=0.4)
    future.add_done_callback(lambda _: ended.append(time.monotonic()))
    error = future.exception(30)
    assert isinstance(error, TaskTimeoutError)
    assert "longer than its timeout of 0.4 s" in str(error)
    took_s = ended[0] - float(place.lines("runs")[0].split()[1])
    assert 0.4 - 0.01 <= took_s <= 0.4 + LATE_S
    again = client.submit(mark, place.path("next"), 1)
    wait_until(again.done, "the slot is back", SLOT_BACK_S)
    assert len(place.lines("runs")) == 1


@pytest.mark.alone
@pytest.mark.parametrize("count", [192, pytest.param(1000, marks=pytest.mark.full)])
def test_timeout_of_many_tasks_on_64_workers_is_told_of_each_in_time(
    place: Place, address: str, client: Client, count: int
):
    # loading the module of a function is a part of the attempt: it is not to be here
    place.cluster(address, 64, "--preload", "tests.integration.workloads:same(0)")
    client.map(abs, range(1000))
    ended: dict[int, float] = {}
    # more that compute at once than there are processors would say something of these alone
    ways = ["in C with the GIL", *["asleep"] * 31]
    submitted_at = time.monotonic()
    futures = [client.submit(stay, place.path("runs"), n, ways[n % 32], timeout=1) for n in range(count)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: ended.setdefault(number, time.monotonic()))
    assert {type(future.exception(100)) for future in futures} == {TaskTimeoutError}
    begun = {int(number): float(at) for number, at, _ in map(str.split, place.lines("runs"))}
    late = sorted(ended[number] - begun[number] - 1.0 for number in range(count))
    # each slot runs one at a time, each for a second at least
    assert all(at - submitted_at >= 1.0 + n // 64 for n, at in enumerate(sorted(ended.values())))
    assert late[count * 99 // 100] <= LATE_S
    assert len(place.lines("runs")) == count
    assert client.map(abs, range(1000)) == list(range(1000))


def test_timeout_of_one_hurts_no_neighbour_in_its_worker(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "4")
    late = client.submit(stay, place.path("late"), 0, timeout=0.5)
    others = [client.submit(mark_after, place.path("others"), number) for number in range(12)]
    assert isinstance(late.exception(30), TaskTimeoutError)
    assert client.gather(others) == list(range(12))


def mark_after(path: str, number: int) -> int:
    time.sleep(0.2)
    return mark(path, number)


def test_timeout_is_of_each_task_of_a_map_and_not_of_all(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    assert client.map(time.sleep, [0.1] * 40, timeout=1.0) == [None] * 40
    outcomes = client.map(time.sleep, [0, 5, 0], timeout=0.3, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), TaskTimeoutError, type(None)]
