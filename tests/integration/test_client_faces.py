"""A client inside a task is a client: whatever is done with one comes to the same, wherever it is."""

from collections.abc import Iterator

import pytest

from scaler import Client
from tests.integration.faces import CHECKS, check, check_own
from tests.integration.processes import Place, own_place


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with own_place() as place:
        yield place


@pytest.fixture(scope="module")
def address(place: Place) -> str:
    _, address = place.scheduler()
    place.cluster(address, 2, "--tag", "processes")
    place.cluster(address, 1, "--threads", "2")
    return address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address=address) as client:
        yield client


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_done_with_a_client_comes_to_the_same_inside_a_task(client: Client, name: str):
    expected = CHECKS[name](client)
    assert client.submit(check, client, name).result(20) == expected
    assert client.submit(check_own, name).result(20) == expected
    assert client.gather([client.submit(check, client, name) for _ in range(6)]) == [expected] * 6
