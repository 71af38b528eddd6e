import pytest

from tests.unit.core.dependencies import WIDE, needing, task
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    A,
    Checked,
    X,
    Y,
    appends,
    client,
    cluster,
    defines,
    function_for,
    opens,
    run_id,
    span_for,
)


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


@pytest.fixture
def chain(core: Checked) -> Checked:
    """A task of A runs at X, one of A2 needs it, and one of A3 needs that."""
    before = [defines(), opens(A), appends(A, 0, 1)]
    needs = [*needing(A2, {0: (task(A, 0),)}), *needing(A3, {0: (task(A2, 0),)})]
    assert core.handle([*before, *needs]) == [function_for(X), span_for(X, run_id(1), A, 0, 1)]
    return core


@pytest.fixture
def wide(empty: Checked) -> Checked:
    """One with room for everything at X."""
    empty.handle([client(ALICE), *cluster(X, WIDE)])
    return empty
