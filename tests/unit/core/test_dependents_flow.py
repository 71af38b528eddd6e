"""Tasks that need others go on though their client's link has no room for the results."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, PeerLost, RoomFound, Send
from scaler.protocol import NeedResults
from scaler.protocol.columns import RAISED, VALUE
from tests.unit.core.dependencies import alike, is_clean, needing, span_with, task
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    A,
    Checked,
    X,
    Y,
    appends,
    client,
    cluster,
    defines,
    finishes,
    function_for,
    opens,
    outcomes,
    ranges,
    results_for,
    run_id,
    said,
    span_for,
    states,
)

WINDOW = 1000
LARGE = [(VALUE, bytes(WINDOW))]
FULL = AwaitRoom(ALICE, WINDOW // 2)


@pytest.fixture
def full() -> Checked:
    """Alice's link has no room; a task of A runs at X that one of A2 needs, and one of A3 needs that."""
    core = Checked(CoreConfig(window_bytes=WINDOW))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X)])
    core.handle([defines(), opens(A), appends(A, 0, 2)])
    needs = [*needing(A2, {0: (task(A, 1),)}), *needing(A3, {0: (task(A2, 0),)})]
    assert core.handle([finishes(X, run_id(1), outcomes(0, LARGE)), *needs]) == [
        results_for(A, outcomes(0, LARGE)),
        FULL,
    ]
    return core


def test_an_outcome_that_stays_at_its_cluster_goes_to_who_needs_it(full: Checked):
    assert full.handle([finishes(X, run_id(1), outcomes(1, [(VALUE, b"v")]))]) == [
        span_with(X, run_id(2), A2, 0, [[0]], b"v"),
    ]
    assert states(full) == [(0, 1, "done"), (1, 2, "kept")]
    assert full.handle([finishes(X, run_id(2), outcomes(0, [(VALUE, b"w")]))]) == [
        span_with(X, run_id(3), A3, 0, [[0]], b"w"),
    ]
    assert full.handle([RoomFound(ALICE, WINDOW)]) == [
        Send(X, NeedResults(run_id(1), ranges((1, 2)))),
        Send(X, NeedResults(run_id(2), ranges((0, 1)))),
    ]
    again = [finishes(X, run_id(1), outcomes(1, [(VALUE, b"v")])), finishes(X, run_id(2), outcomes(0, [(VALUE, b"w")]))]
    assert said(full.handle(again))[:2] == [
        results_for(A, outcomes(1, [(VALUE, b"v")])),
        results_for(A2, outcomes(0, [(VALUE, b"w")])),
    ]


def test_what_was_kept_and_is_lost_runs_again_with_the_same_inputs(full: Checked):
    full.handle([finishes(X, run_id(1), outcomes(1, [(VALUE, b"v")])), *cluster(Y)])
    full.handle([finishes(X, run_id(2), outcomes(0, [(VALUE, b"w")]))])
    assert states(full, A2) == [(0, 1, "kept")]
    assert said(full.handle([PeerLost(X, "cut")])) == [
        function_for(Y),
        span_for(Y, run_id(4), A, 1, 2),
        span_with(Y, run_id(5), A2, 0, [[0]], b"v"),
    ]


def test_an_error_is_passed_on_at_once_and_counted(full: Checked):
    assert full.handle([finishes(X, run_id(1), outcomes(1, [(RAISED, b"!")]))]) == [
        alike(A2, 0, 1, RAISED, b"!"),
        alike(A3, 0, 1, RAISED, b"!"),
    ]
    assert full.managers.clients.clients[ALICE].way.room_bytes < -WINDOW // 10
    assert is_clean(full)
