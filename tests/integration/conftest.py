"""What tests on real processes get."""

from collections.abc import Iterator

import pytest

from tests.integration.processes import Place, own_place


@pytest.fixture
def place() -> Iterator[Place]:
    """Folders of this test's own; at its end no process, port or file in shared memory may be left."""
    with own_place() as place:
        yield place
