import pytest

from tests.unit.ledger.examples import RESUMED, UP, Watched


@pytest.fixture
def ledger() -> Watched:
    """One that has a link and nothing to do."""
    made = Watched()
    assert made.handle([UP]) == [RESUMED]
    return made
