"""What tests on real processes get."""

from collections.abc import Iterator

import pytest

from scaler import Client
from tests.integration.processes import Place, own_place
from tests.integration.terminals import Terminal


@pytest.fixture
def place() -> Iterator[Place]:
    """Folders of this test's own; at its end no process, port or file in shared memory may be left."""
    with own_place() as place:
        yield place


@pytest.fixture
def address(place: Place) -> str:
    """Where a scheduler of this test's own listens."""
    return place.scheduler()[1]


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A client of that scheduler."""
    with Client(address=address) as client:
        yield client


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """What a client in this process shows."""
    return Terminal(capsys)
