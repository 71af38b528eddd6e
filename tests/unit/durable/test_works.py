"""Durable works beside a scheduler core: what is acknowledged is on disk, and what is on disk goes on."""

import pytest

from scaler.core.events import Received, Send
from scaler.ids import BatchId, Incarnation
from scaler.protocol import (
    Acknowledged,
    ClearClient,
    DropWork,
    ListWorks,
    QueueFull,
    Results,
    Resume,
    Resumed,
    TasksFailed,
    WorkBatches,
    WorkDropped,
    WorkOpened,
    WorksListed,
)
from tests.unit.core.dependencies import task
from tests.unit.core.examples import (
    ALICE,
    BOB,
    MISTAKE,
    PLAIN,
    F,
    X,
    appends,
    begins,
    cancels,
    closes,
    cluster,
    defines,
    finishes,
    held,
    holds,
    maps,
    opens,
    outcomes,
    ranges,
    takes,
    values,
)
from tests.unit.durable.world import NAME, WORK, World, by, given

A, A2 = BatchId(WORK, 1), BatchId(WORK, 2)


@pytest.fixture
def world() -> World:
    """Alice is at a work of her own, and X has two slots."""
    world = World()
    assert world.open()[-1] == Send(ALICE, WorkOpened(NAME, WORK))
    world.turn(*cluster(X))
    return world


def messages(world: World, commands: list, kind: type) -> list:
    return [one.message for one in world.heard(ALICE, commands) if isinstance(one.message, kind)]


def resumes(peer: Incarnation, batch: BatchId, *unresolved: tuple[int, int], size: int | None = None) -> list[Received]:
    return [Received(peer, Resume(batch, F, PLAIN, size, ranges(*unresolved))), Received(peer, Resumed())]


def test_what_is_submitted_is_on_disk_before_it_is_acknowledged_and_before_it_runs(world: World):
    world.disk.is_held = True
    said = world.turn(*by(ALICE, *maps(A, 3)))
    assert (messages(world, said, Acknowledged), given(said)) == ([], [])
    world.disk.is_held = False
    said = world.turn()
    assert messages(world, said, Acknowledged) == [Acknowledged(A, 3)]
    assert [(one.batch, one.lo, one.hi) for one in given(said)] == [(A, 0, 2)]
    assert all(one.options.durable == NAME for one in given(said))


def test_an_outcome_is_on_disk_before_its_cluster_may_forget_it(world: World):
    [run, *_] = given(world.turn(*by(ALICE, *maps(A, 2))))
    world.disk.is_held = True
    said = world.turn(finishes(X, run.run, values(run.lo, run.hi)))
    assert messages(world, said, Results) == []
    world.disk.is_held = False
    assert [one.lo for one in messages(world, world.turn(), Results)] == [run.lo]
    assert world.works.next_deadline() is not None
    said = world.turn(at=1.0)
    assert any(type(one.message).__name__ == "Delivered" for one in world.heard(X, said))


def test_a_client_that_comes_back_finds_what_has_ended_and_what_goes_on(world: World):
    [run, *_] = given(world.turn(*by(ALICE, *maps(A, 4))))
    world.leave()
    world.turn(finishes(X, run.run, values(run.lo, run.hi)), at=1.0)
    said = world.open(BOB)
    [batches] = [one.message for one in said if isinstance(one.message, WorkBatches)]
    [known] = batches.batches
    assert (known.batch, known.name, known.appended, known.ended) == (A, "f", 4, run.hi - run.lo)
    assert said[-1].message == WorkOpened(NAME, WORK)
    said = world.heard(BOB, world.turn(*resumes(BOB, A, (0, 4))))
    assert [(one.message.lo, one.message.hi) for one in said if isinstance(one.message, Results)] == [(run.lo, run.hi)]


def test_a_scheduler_that_is_killed_loses_nothing(world: World):
    runs = given(world.turn(*by(ALICE, *maps(A, 5))))
    world.turn(finishes(X, runs[0].run, values(runs[0].lo, runs[0].hi)))
    world.start()
    # its cluster still has what it was given
    world.turn(*cluster(X))
    rest = held(A, runs[-1].run, running=(runs[-1].hi - 1,))
    world.turn(holds(X, rest))
    said = world.open(BOB)
    assert isinstance(said[-1].message, WorkOpened)
    world.turn(*resumes(BOB, A, (0, 5)))
    done = {index for one in runs[:1] for index in range(one.lo, one.hi)}
    said = world.turn(at=10.0)
    done |= {runs[-1].hi - 1}
    for _ in range(10):
        spans = given(said)
        if not spans:
            break
        for one in spans:
            done |= set(range(one.lo, one.hi))
        said = world.turn(*[finishes(X, one.run, values(one.lo, one.hi)) for one in spans])
    assert done == set(range(5))


def test_what_was_acknowledged_is_said_again_to_a_client_that_was_cut_off_before_it_heard(world: World):
    world.turn(*by(ALICE, *maps(A, 3)))
    world.leave()
    world.open()
    said = world.turn(*resumes(ALICE, A, (0, 3), size=3))
    assert messages(world, said, Acknowledged) == [Acknowledged(A, 3)]


def test_a_scheduler_that_has_lost_the_work_is_told_of_it_anew(world: World):
    world.turn(*by(ALICE, *maps(A, 3)))
    world.disk.rows.clear()
    world.start()
    world.turn(*cluster(X))
    assert world.open(was=WORK)[-1].message == WorkOpened(NAME, WORK)
    said = world.turn(*resumes(ALICE, A, (0, 3), size=3))
    kinds = [type(one.message).__name__ for one in world.heard(ALICE, said)]
    assert ("NeedFunction" in kinds, "NeedTasks" in kinds) == (True, True)
    said = world.turn(*by(ALICE, defines(), appends(A, 0, 3), closes(A, 3)), at=10.0)
    assert messages(world, said, Acknowledged) == [Acknowledged(A, 3)]
    assert sum(one.hi - one.lo for one in given(said)) == 2


def test_a_full_disk_refuses_what_is_new_and_goes_on_by_itself(world: World):
    runs = given(world.turn(*by(ALICE, *maps(A, 2))))
    world.disk.is_full = True
    done = finishes(X, runs[0].run, values(runs[0].lo, runs[0].hi))
    said = world.turn(done, *by(ALICE, defines(), opens(A2), appends(A2, 0, 1)))
    assert messages(world, said, QueueFull) == [QueueFull(True, "the disk is full")]
    assert (messages(world, said, Results), messages(world, said, Acknowledged)) == ([], [])
    [note] = world.works.take_notes()
    assert note == f"the durable work '{NAME}' cannot be written, and takes nothing: the disk is full"
    world.turn(at=2.0)
    assert world.works.take_notes() == []
    world.disk.is_full = False
    said = world.turn(at=4.0)
    assert messages(world, said, QueueFull) == [QueueFull(False)]
    assert [one.lo for one in messages(world, said, Results)] == [runs[0].lo]
    assert messages(world, said, Acknowledged) == [Acknowledged(A2, 1)]
    assert world.works.take_notes() == [f"the durable work '{NAME}' is written again"]


def test_a_task_that_needs_one_that_ended_long_ago_is_given_its_value(world: World):
    [run] = given(world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 1))))
    world.turn(finishes(X, run.run, values(0, 1)))
    world.turn(*by(ALICE, takes(A, (0, 1))), at=1.0)
    said = world.turn(*by(ALICE, opens(A2), appends(A2, 0, 1, {0: (task(A, 0),)})))
    [span] = given(said)
    assert (span.batch, span.input_frames) == (A2, 1)
    # and again after a restart
    world.start()
    world.turn(*cluster(X))
    [span] = given(world.turn(at=20.0))
    assert (span.batch, span.input_frames) == (A2, 1)


def test_what_is_cancelled_is_cancelled_for_good(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    said = world.turn(*by(ALICE, cancels(A, (3, 5))))
    assert [one.ranges for one in messages(world, said, TasksFailed)] == [ranges((3, 5))]
    world.start()
    said = world.open()
    assert [one.message.batches[0].ended for one in said if isinstance(one.message, WorkBatches)] == [2]
    said = world.turn(*resumes(ALICE, A, (3, 5)))
    assert [one.ranges for one in messages(world, said, TasksFailed)] == [ranges((3, 5))]


def test_another_key_sees_nothing_of_it(world: World):
    refused = WorkOpened(NAME, Incarnation(0), f"the durable work '{NAME}' belongs to another key")
    assert world.open(BOB, key="other")[-1].message == refused
    said = world.heard(BOB, world.turn(Received(BOB, ListWorks()), Received(BOB, DropWork(NAME))))
    assert [one.message for one in said] == [
        WorksListed(()),
        WorkDropped(NAME, f"the durable work '{NAME}' belongs to another key"),
    ]
    assert NAME in world.disk.rows


def test_a_work_that_is_dropped_is_gone_with_its_tasks(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    said = world.turn(Received(ALICE, DropWork(NAME)))
    assert messages(world, said, WorkDropped) == [WorkDropped(NAME)]
    assert [one.refused for one in messages(world, said, WorkOpened)] == [f"the durable work '{NAME}' was dropped"]
    assert (world.disk.rows, world.core.managers.tasks.batches) == ({}, {})
    assert world.open(BOB)[-1].message == WorkOpened(NAME, WORK)


def test_what_is_cleared_is_gone_and_the_work_goes_on(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    world.turn(Received(ALICE, ClearClient()))
    assert world.core.managers.tasks.batches == {}
    said = world.turn(*by(ALICE, opens(A2), appends(A2, 0, 1)))
    assert messages(world, said, Acknowledged) == [Acknowledged(A2, 1)]
    world.start()
    [batches] = [one.message for one in world.open() if isinstance(one.message, WorkBatches)]
    assert [one.batch for one in batches.batches] == [A2]


def test_failures_are_kept_too(world: World):
    [run] = given(world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 1))))
    world.turn(begins(X, (run.run, 0)), finishes(X, run.run, outcomes(0, [MISTAKE])))
    world.start()
    world.open()
    said = world.turn(*resumes(ALICE, A, (0, 1)))
    [result] = [one for one in world.heard(ALICE, said) if isinstance(one.message, Results)]
    assert bytes(result.frames[0]) == bytes([MISTAKE[0]])
