"""Of a client that does not take its results nothing more is placed once clusters keep much of them."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import PeerLost
from scaler.ids import TaskId
from scaler.protocol.columns import VALUE
from tests.unit.core.children import NESTED, C, through
from tests.unit.core.examples import (
    A2,
    ALICE,
    BOB,
    MISTAKE,
    A,
    B,
    Checked,
    X,
    Y,
    cancels,
    client,
    cluster,
    finishes,
    maps,
    outcomes,
    run_id,
    said,
    states,
    takes,
)
from tests.unit.core.test_explanation import why
from tests.unit.core.test_placement import given

#: of one outcome, with its place in the column
BYTES = 100
LARGE = (VALUE, bytes(BYTES - 8))
REASON = "its client has not taken what ended before: as much of that as may waits at the clusters"


@pytest.fixture(params=[16 << 20, 50])
def full(request: pytest.FixtureRequest) -> Checked:
    """X keeps as much of Alice's as it may, sent on or not, as her link's window is; two of her tasks wait."""
    core = Checked(CoreConfig(untaken_bytes=4 * BYTES, window_bytes=request.param))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), client(BOB), *cluster(X), *maps(A, 6)])
    assert given(core.handle([finishes(X, run_id(1), outcomes(0, [LARGE, LARGE]))])) == [(X, A, 2, 4)]
    assert given(core.handle([finishes(X, run_id(2), outcomes(2, [LARGE, LARGE]))])) == []
    assert states(core)[-1] == (4, 6, "waiting")
    return core


def test_it_is_placed_once_half_of_it_is_taken(full: Checked):
    assert why(full, 4) == REASON
    assert given(full.handle([cancels(A, (0, 1))])) == []
    assert given(full.handle([takes(A, (0, 1))])) == []
    assert given(full.handle([cancels(A, (3, 4)), takes(A, (3, 4))])) == [(X, A, 4, 6)]


def test_what_it_submits_meanwhile_waits_and_other_clients_do_not(full: Checked):
    assert given(full.handle([*maps(A2, 2), *maps(B, 2)])) == [(X, B, 0, 2)]
    assert states(full, A2) == [(0, 2, "waiting")]


def test_what_is_lost_with_a_cluster_is_not_kept_there(full: Checked):
    full.handle(cluster(Y, slots=6))
    moved = given(full.handle([PeerLost(X, "cut")]))
    assert (Y, A, 4, 6) in moved


def test_nothing_is_left_of_a_client_that_leaves(full: Checked):
    assert given(full.handle([PeerLost(ALICE, "cut")])) == []
    assert full.managers.tasks.by_serial == {}
    assert full.managers.tasks.result_bytes == {}
    assert given(full.handle([client(ALICE), *maps(A, 2)])) == [(X, A, 0, 2)]


def test_what_waits_can_be_cancelled(full: Checked):
    full.handle([cancels(A, (0, 6)), takes(A, (0, 6))])
    assert full.managers.tasks.by_serial == {}
    assert said(full.handle([])) == []


def test_what_is_tried_again_and_what_nobody_wanted_is_not_counted():
    core = Checked(CoreConfig(untaken_bytes=2 * BYTES))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X), *maps(A, 4)])
    core.handle([cancels(A, (0, 1))])
    assert given(core.handle([finishes(X, run_id(1), outcomes(0, [LARGE, (MISTAKE[0], LARGE[1])]))])) == [(X, A, 2, 4)]
    assert core.managers.tasks.result_bytes == {ALICE: BYTES}


def test_what_a_task_has_submitted_is_counted_for_itself():
    core = Checked(CoreConfig(untaken_bytes=BYTES))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X), *maps(A, 1), *maps(A2, 2)])
    core.handle([finishes(X, run_id(2), outcomes(0, [LARGE]))])
    assert states(core, A2) == [(0, 1, "done"), (1, 2, "waiting")]
    assert given(core.handle(through(maps(C, 1, NESTED)))) == [(X, C, 0, 1)]
    assert TaskId(C, 0).batch.owner not in core.managers.tasks.result_bytes
