import pytest

from tests.unit.core.examples import ALICE, BOB, Checked, X, Y, client, cluster


@pytest.fixture
def empty() -> Checked:
    """A scheduler nobody has connected to, past its recovery window."""
    core = Checked()
    core.handle([], now=-100.0)
    return core


@pytest.fixture
def anew() -> Checked:
    """One that has just started; X and Y have come back, two slots each, and Alice, who has said nothing yet."""
    core = Checked()
    core.handle([client(ALICE), *cluster(X), *cluster(Y)])
    return core


@pytest.fixture
def core(empty: Checked) -> Checked:
    """One with two clients and cluster X, which has two slots."""
    empty.handle([client(ALICE), client(BOB), *cluster(X)])
    return empty
