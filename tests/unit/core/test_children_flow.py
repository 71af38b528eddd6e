"""Results on their way to clients inside tasks: the room of their cluster's link is theirs together."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, Command, Received, RoomFound, Send
from scaler.ids import BatchId, Incarnation, RunId
from scaler.protocol import Goodbye, NeedResults
from scaler.protocol.columns import VALUE, ResultColumn
from tests.unit.core.children import NESTED, OTHER, C, says, tell, through
from tests.unit.core.examples import (
    ALICE,
    A,
    Checked,
    X,
    client,
    cluster,
    delivered_at,
    finishes,
    maps,
    outcomes,
    ranges,
    results_for,
    run_id,
    said,
    states,
    takes,
)

#: what one large result takes: 64 for the message, 13 for its columns, and its value
LARGE = 1000
WINDOW = 4 * LARGE
FULL = AwaitRoom(X, WINDOW // 2)
D = BatchId(OTHER, 1)
FIRST, SECOND = run_id(2), run_id(3)


def big(index: int) -> ResultColumn:
    return outcomes(index, [(VALUE, bytes(LARGE - 64 - 13))])


def finish(lo: int, hi: int, run: RunId = FIRST) -> list[Received]:
    return [finishes(X, run, big(index)) for index in range(lo, hi)]


def told(lo: int, hi: int, batch: BatchId = C) -> list[Command]:
    return [tell(results_for(batch, big(index))) for index in range(lo, hi)]


def asks(lo: int, hi: int, run: RunId = FIRST) -> list[Command]:
    """Those of this size are asked for one by one."""
    return [Send(X, NeedResults(run, ranges((index, index + 1)))) for index in range(lo, hi)]


@pytest.fixture
def core() -> Checked:
    """Links that take four large results; the task of Alice's at X has submitted twelve."""
    core = Checked(CoreConfig(window_bytes=WINDOW))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X, slots=30), *maps(A, 2)])
    core.handle(through(maps(C, 12, NESTED)))
    return core


@pytest.fixture
def full(core: Checked) -> Checked:
    """There is no room for two of the six that are done."""
    assert core.handle(finish(0, 4)) == [*told(0, 3), FULL, *told(3, 4)]
    assert core.handle(finish(4, 6)) == []
    return core


def test_what_finds_no_room_stays_until_the_link_of_the_cluster_has_some(full: Checked):
    assert states(full, C) == [(0, 4, "done"), (4, 6, "kept"), (6, 12, "assigned")]
    assert full.handle([says(takes(C, (0, 4)).message)]) == [delivered_at(X, FIRST, (0, 4))]
    assert full.handle([RoomFound(X, WINDOW)]) == asks(4, 6)
    assert full.handle(finish(4, 6)) == told(4, 6)


def test_two_that_wait_for_room_wait_once_and_share_it(full: Checked):
    full.handle(through(maps(D, 6, NESTED), OTHER))
    assert full.handle(finish(0, 4, SECOND)) == told(0, 4, D), "one waits for room already"
    assert full.handle(finish(4, 6, SECOND)) == []
    assert full.handle([RoomFound(X, WINDOW)]) == [*asks(4, 6), *asks(4, 6, SECOND)]
    told_again = [*told(4, 5, D), FULL]  # less than half of all is left of its share at once
    assert full.handle(finish(4, 5, SECOND)) == told_again


def test_who_is_gone_is_in_nobodys_way(full: Checked):
    full.handle(through(maps(D, 6, NESTED), OTHER))
    full.handle([*finish(0, 4, SECOND), *finish(4, 5, SECOND)])
    full.handle([says(Goodbye("its task has ended"))])
    assert full.handle([RoomFound(X, WINDOW)]) == asks(4, 5, SECOND)


def test_the_client_at_the_root_has_room_of_its_own(full: Checked):
    column = big(1)
    assert said(full.handle([finishes(X, run_id(1), column)])) == [results_for(A, column)]


def test_room_for_nobody_any_more_asks_for_nothing(full: Checked):
    full.handle([says(Goodbye("its task has ended"))])
    assert full.handle([RoomFound(X, WINDOW), RoomFound(Incarnation(77), WINDOW)]) == []
