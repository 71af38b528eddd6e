import pytest

from scaler.core.events import Received
from scaler.core.lifecycle import State, Trigger
from scaler.core.spans import Span
from scaler.protocol import AppendTasks
from tests.unit.core.examples import (
    ALICE,
    FINE,
    MISTAKE,
    OLD,
    A,
    Checked,
    X,
    Y,
    appends,
    arguments,
    cancels,
    client,
    closes,
    cluster,
    finishes,
    maps,
    opens,
    outcomes,
    run_id,
    said,
    takes,
    values,
)


@pytest.fixture
def idle() -> Checked:
    """Nobody to run anything."""
    core = Checked()
    core.handle([client(ALICE), *cluster(X, slots=0)])
    return core


def test_a_move_must_lie_in_one_span(idle: Checked):
    idle.handle([opens(A), appends(A, 0, 4)])
    batch = idle.managers.tasks.batches[A]
    for lo, hi in ((3, 5), (4, 5)):
        with pytest.raises(IndexError, match="in no one span"):
            idle.managers.tasks.advance(batch, lo, hi, Trigger.CANCEL)


def test_only_what_has_ended_can_go(idle: Checked):
    idle.handle([opens(A), appends(A, 0, 4), cancels(A, (0, 2))])
    batch = idle.managers.tasks.batches[A]
    for lo, hi in ((2, 3), (1, 3), (9, 10)):
        with pytest.raises(IndexError, match="has not ended"):
            idle.managers.tasks.drop(batch, lo, hi)


def test_only_a_result_of_a_run_can_part_with_it(idle: Checked):
    idle.handle([opens(A), appends(A, 0, 4), cancels(A, (0, 2))])
    batch = idle.managers.tasks.batches[A]
    for lo, hi in ((0, 2), (2, 3), (1, 3), (9, 10)):
        with pytest.raises(IndexError, match="no run to part with"):
            idle.managers.tasks.part_with_run(batch, lo, hi)


def test_each_move_is_counted(core: Checked):
    core.handle(maps(A, 3))
    core.handle([finishes(X, run_id(1), outcomes(0, [FINE, MISTAKE]))])
    tasks = core.managers.tasks
    assert tasks.moved == {
        (State.QUEUED, Trigger.PLACE): 3,
        (State.ASSIGNED, Trigger.SUCCEED): 1,
        (State.ASSIGNED, Trigger.FAIL): 1,
    }
    assert {state: count for state, count in tasks.tasks_in.items() if count} == {
        State.ASSIGNED: 1,
        State.DONE: 1,
        State.FAILED: 1,
    }


def test_neighbours_that_stand_alike_are_one_span(core: Checked):
    core.handle([*maps(A, 2), opens(A._replace(n=2)), appends(A._replace(n=2), 0, 1)])
    batch = core.managers.tasks.batches[A]
    core.handle([finishes(X, run_id(1), values(1, 2))])
    core.handle([finishes(X, run_id(1), values(0, 1))])
    run = core.managers.tasks.runs[run_id(1)]
    assert batch.spans.all() == [Span(0, 2, State.DONE, run)]


def test_a_hundred_thousand_calls_that_came_one_by_one_are_few_spans_and_few_chunks(idle: Checked):
    frames = arguments(0, 1).frames()
    events = [Received(ALICE, AppendTasks(A, index, 1), frames) for index in range(100_000)]
    idle.handle([opens(A), *events, closes(A, 100_000)])
    batch = idle.managers.tasks.batches[A]
    assert batch.spans.all() == [Span(0, 100_000, State.QUEUED)]
    chunks = batch.store.live()
    assert len(chunks) == 7  # 64 KiB of four bytes each
    assert (chunks[0][0], chunks[-1][1]) == (0, 100_000)


def test_a_run_is_known_until_the_last_of_it_was_taken(core: Checked):
    core.handle(maps(A, 2))
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert set(core.managers.tasks.runs) == {run_id(1)}
    core.handle([takes(A, (0, 1))])
    assert set(core.managers.tasks.runs) == {run_id(1)}
    assert len(said(core.handle([takes(A, (1, 2))]))) == 1
    assert core.managers.tasks.runs == {}


def test_of_two_runs_of_one_name_each_takes_only_its_own_record_along(idle: Checked):
    idle.handle([opens(A), *cluster(Y, slots=0)])
    tasks, clusters = idle.managers.tasks, idle.managers.workers.clusters
    first, second = (tasks.known_run(OLD, tasks.batches[A], 0, 1, clusters[peer].load) for peer in (X, Y))
    tasks.settle_run(first)
    assert tasks.runs == {OLD: second}
    assert (dict(first.load.runs), dict(second.load.runs)) == ({}, {OLD: second})
    tasks.settle_run(second)
    assert (tasks.runs, dict(second.load.runs)) == ({}, {})
