"""GPUs: each task sees as many as it asks for, and none that another has meanwhile. The list of devices is made up."""

import os
import time
from collections import Counter

import pytest

from scaler import Client
from tests.integration.processes import Place
from tests.integration.submitting import submit
from tests.integration.workloads import append

DEVICES = ["3", "GPU-5", "7", "9"]


@pytest.fixture
def address(place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(DEVICES))
    return place.scheduler()[1]


def use(path: str, part: float, seconds: float) -> list[str]:
    """Say when which devices are used, and which part of each."""
    devices = seen()
    append(path, f"{time.monotonic()} {part} {','.join(devices)}")
    time.sleep(seconds)
    append(path, f"{time.monotonic()} {-part} {','.join(devices)}")
    return devices


def seen() -> list[str]:
    """The devices that CUDA would show here."""
    return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]


def most_used(place: Place) -> float:
    """The most that was ever used of one device at a time."""
    used: Counter[str] = Counter()
    most = 0.0
    for line in sorted(place.lines("used"), key=lambda line: float(line.split()[0])):
        _, part, devices = line.split()
        for device in devices.split(","):
            used[device] += float(part)
            most = max(most, used[device])
    return most


def test_each_worker_sees_its_own(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--resources", "gpu=4")
    found = client.map(lambda _: (os.getpid(), seen(), time.sleep(0.1)), range(8))
    assert sorted({tuple(devices) for _, devices, _ in found}) == [("3", "GPU-5"), ("7", "9")]


def test_without_gpus_on_offer_workers_see_what_their_cluster_sees(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    assert client.submit(seen).result() == DEVICES


def test_a_task_that_asks_for_one_sees_one_and_no_two_at_a_time_the_same(place: Place, address: str, client: Client):
    place.cluster(address, 4, "--resources", "gpu=2")
    futures = [submit(client, use, place.path("used"), 1.0, 0.05, resources={"gpu": 1}) for _ in range(20)]
    others = [client.submit(abs, -number) for number in range(100)]
    assert Counter(map(tuple, client.gather(futures))).keys() == {("3",), ("GPU-5",)}
    assert client.gather(others) == list(range(100))
    assert most_used(place) == 1.0


def test_a_task_that_asks_for_two_sees_two(place: Place, address: str, client: Client):
    place.cluster(address, 4, "--resources", "gpu=4")
    asked = [1, 2, 1, 4, 2, 1, 1, 2, 4, 1, 2, 2]
    futures = [submit(client, use, place.path("used"), 1.0, 0.03, resources={"gpu": gpus}) for gpus in asked]
    assert [len(devices) for devices in client.gather(futures)] == asked
    assert most_used(place) == 1.0


def test_parts_of_a_device_add_up_to_no_more_than_one(place: Place, address: str, client: Client):
    place.cluster(address, 4, "--resources", "gpu=2")
    futures = [submit(client, use, place.path("used"), 0.5, 0.05, resources={"gpu": 0.5}) for _ in range(12)]
    assert {len(devices) for devices in client.gather(futures)} == {1}
    assert most_used(place) == 1.0


def test_workers_without_a_device_see_none(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--resources", "gpu=1")
    found = client.map(lambda _: (tuple(seen()), time.sleep(0.1)), range(6))
    assert {devices for devices, _ in found} == {(), ("3",)}


def test_more_gpus_than_there_are_cannot_be_offered(place: Place, address: str):
    command = place.start("scaler_worker", "-n", "1", "--resources", "gpu=5", address)
    assert command.wait() == 2
    assert "--resources: there are not 5 GPUs here: CUDA_VISIBLE_DEVICES is '3,GPU-5,7,9'" in command.err


def test_other_resources_are_counted_in_the_whole_cluster(place: Place, address: str, client: Client):
    place.cluster(address, 4, "--resources", "licence=2")
    futures = [submit(client, use, place.path("used"), 1.0, 0.05, resources={"licence": 1}) for _ in range(12)]
    client.gather(futures)
    assert most_used(place) <= 2.0
