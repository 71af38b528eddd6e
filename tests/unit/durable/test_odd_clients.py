"""Clients that say odd things of durable works: only they are cut off, and only what is theirs is touched."""

import pytest
from msgspec.structs import replace

from scaler.core.events import Command, CutOff, PeerJoined, PeerLost, Received, Send
from scaler.ids import BatchId, FunctionId, Incarnation
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    ClearClient,
    CloseBatch,
    DropWork,
    ExplainTask,
    ListWorks,
    OpenBatch,
    OpenWork,
    Resume,
    TasksFailed,
    WorkDropped,
    WorkOpened,
    WorksListed,
)
from scaler.protocol.columns import MAX_FRAME_BYTES
from tests.unit.core.dependencies import task
from tests.unit.core.examples import (
    ALICE,
    BOB,
    PLAIN,
    F,
    G,
    X,
    Y,
    appends,
    appends_column,
    cancels,
    closes,
    cluster,
    defines,
    finishes,
    large,
    maps,
    opens,
    ranges,
    takes,
    values,
)
from tests.unit.durable.world import NAME, WORK, World, by, given

A, A2 = BatchId(WORK, 1), BatchId(WORK, 2)
FAR = BatchId(WORK, 1 << 63)


@pytest.fixture
def world() -> World:
    """Alice is at a work of her own, and X has two slots."""
    world = World()
    world.open()
    world.turn(*cluster(X))
    return world


def cut(commands: list[Command]) -> list[Incarnation]:
    return [one.peer for one in commands if isinstance(one, CutOff)]


def opened(world: World, commands: list[Command], peer: Incarnation = ALICE) -> list[WorkOpened]:
    return [one.message for one in world.heard(peer, commands) if isinstance(one.message, WorkOpened)]


@pytest.mark.parametrize(
    "said",
    [
        opens(BatchId(ALICE, 1)),
        opens(A, function=G),
        opens(FAR),
        opens(A, replace(PLAIN, depth=1)),
        Received(ALICE, Resume(BatchId(ALICE, 1), F, PLAIN, None, ())),
        Received(ALICE, Resume(FAR, F, PLAIN, None, ranges((0, 5)))),
        Received(ALICE, AppendTasks(BatchId(BOB, 1), 0, 1), appends(A, 0, 1).frames),
    ],
)
def test_what_cannot_be_said_of_a_work_ends_its_client_alone(world: World, said: Received):
    world.open(BOB)
    assert cut(world.turn(*by(ALICE, defines(), said))) == [ALICE]
    assert given(world.turn(*by(BOB, *maps(A2, 1)))) != []


@pytest.mark.parametrize(
    "said",
    [
        appends(A, 2, 5),
        appends(A, 1 << 30, (1 << 30) + 1),
        appends(A, 4, 6, {4: (task(A, 5),)}),
        appends(A, 4, 5, {4: (task(A, 4),)}),
        appends(A, 4, 5, {4: (task(BatchId(BOB, 1), 4),)}),
        appends_column(A, large(4, MAX_FRAME_BYTES + 1)),
        Received(ALICE, AppendTasks(A, 4, 3), appends(A, 4, 5).frames),
        opens(A),
    ],
)
def test_calls_that_do_not_fit_end_their_client_alone(world: World, said: Received):
    world.open(BOB)
    world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 4)))
    assert cut(world.turn(*by(ALICE, said))) == [ALICE]
    assert cut(world.turn(*by(BOB, *maps(A2, 1)), *by(BOB, closes(A, 4)))) == []


@pytest.mark.parametrize(
    "said",
    [
        cancels(A2, (0, 5)),
        cancels(A, (0, 1 << 40)),
        Received(ALICE, CancelTasks(A, ranges((2, 1 << 40)), unless_begun=True)),
        Received(ALICE, CancelTasks(A, ())),
        takes(A2, (0, 1 << 40)),
        takes(A, (0, 1 << 40)),
        closes(A, 9),
        closes(A2, 9),
        appends(A2, 0, 3),
        Received(ALICE, Resume(A, F, PLAIN, None, ranges((0, 1 << 40)))),
        Received(ALICE, Resume(A2, G, PLAIN, 7, ranges((5, 1 << 40)))),
        Received(ALICE, ExplainTask(task(A, 9))),
        Received(ALICE, ExplainTask(task(BatchId(BOB, 9), 9))),
        Received(ALICE, OpenWork(NAME)),
        appends(A, 4, 5, {4: (task(A2, 7), task(A, 0))}),
    ],
)
def test_what_comes_to_nothing_harms_nobody(world: World, said: Received):
    world.open(BOB)
    world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 4)))
    commands = world.turn(*by(ALICE, said, said))
    assert [one for one in cut(commands) if one != ALICE] == []
    world.works.check()
    done = world.turn(*by(BOB, *maps(BatchId(WORK, 3), 3)), *by(BOB, appends(A, 5, 6)))
    assert [one for one in cut(done) if one != BOB] == []
    assert opened(world, world.open(Incarnation(9)), Incarnation(9)) == [WorkOpened(NAME, WORK)]


def test_calls_behind_the_end_of_a_batch_are_cancelled(world: World):
    said = world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 1), closes(A, 1), appends(A, 1, 2)))
    [lost] = [one.message for one in world.heard(ALICE, said) if isinstance(one.message, TasksFailed)]
    assert (cut(said), lost.ranges) == ([], ranges((1, 2)))


def test_a_clearing_ends_what_was_there_and_not_what_follows_at_once(world: World):
    world.open(BOB)
    world.turn(*by(ALICE, *maps(A, 5)))
    clear = Received(ALICE, ClearClient())
    said = world.turn(clear, *by(BOB, closes(A, 5), cancels(A, (0, 1)), appends(A, 5, 6)), *by(ALICE, *maps(A2, 1)))
    assert cut(said) == []
    assert list(world.core.managers.tasks.batches) == [A2]
    lost = [one.message for one in world.heard(BOB, said) if isinstance(one.message, TasksFailed)]
    assert [(one.batch, one.ranges) for one in lost] == [(A, ranges((5, 6)))]


def test_all_who_wait_for_what_is_cleared_are_told(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    world.open(BOB)
    world.turn(Received(BOB, Resume(A, F, PLAIN, None, ranges((0, 5)))))
    said = world.turn(Received(ALICE, ClearClient()))
    lost = [one.message for one in world.heard(BOB, said) if isinstance(one.message, TasksFailed)]
    assert [(one.batch, one.ranges) for one in lost] == [(A, ranges((0, 5)))]


def test_a_batch_that_nobody_has_the_function_of_holds_nobody_up(world: World):
    unknown = FunctionId(bytes(16))
    world.turn(Received(ALICE, Resume(A, unknown, PLAIN, None, ranges((0, 5)))))
    assert len(given(world.turn(*by(ALICE, *maps(A2, 1))))) == 1


def test_a_task_that_needs_one_whose_outcome_is_on_its_way_to_the_disk_is_run(world: World):
    [run] = given(world.turn(*by(ALICE, defines(), opens(A), appends(A, 0, 1))))
    world.disk.is_held = True
    world.turn(finishes(X, run.run, values(0, 1)), *by(ALICE, opens(A2)))
    world.disk.is_held = False
    said = world.turn(*by(ALICE, appends(A2, 0, 1, {0: (task(A, 0),)})))
    assert [(one.batch, one.input_frames) for one in given(said)] == [(A2, 1)]


# ---- works


def test_a_work_that_is_dropped_and_opened_in_one_breath_is_a_new_one(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    drop, again = Received(ALICE, DropWork(NAME)), Received(ALICE, OpenWork(NAME))
    said = world.turn(drop, again, drop, drop, again)
    dropped = [one.message for one in world.heard(ALICE, said) if isinstance(one.message, WorkDropped)]
    assert dropped == [WorkDropped(NAME)] * 3
    assert opened(world, said)[-1] == WorkOpened(NAME, WORK)
    world.turn(*cluster(Y))
    assert len(given(world.turn(*by(ALICE, *maps(A, 1))))) == 1


def test_who_opens_another_work_has_left_the_first(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    world.works._new_incarnation = lambda: Incarnation(501)
    said = world.turn(Received(ALICE, OpenWork("other")))
    assert opened(world, said) == [WorkOpened("other", Incarnation(501))]
    assert world.works._entries[NAME].work._windows._by_peer == {}  # type: ignore[union-attr]  # it is there


def test_no_work_takes_the_name_of_a_peer_or_of_another_work(world: World):
    world.works._new_incarnation = lambda: Incarnation(501)
    for number, taken in enumerate((ALICE, X, WORK)):
        world.turn(PeerJoined(BOB, "client", "", "other"))
        said = world.turn(Received(BOB, OpenWork(f"other{number}", taken)))
        assert [one.incarnation for one in opened(world, said, BOB)] in ([501], [0])
        world.turn(PeerLost(BOB))
    world.works.check()


def test_a_peer_that_has_the_name_of_a_work_is_cut_off_and_the_work_goes_on(world: World):
    runs = given(world.turn(*by(ALICE, *maps(A, 2))))
    assert cut(world.turn(PeerJoined(WORK, "client", "", "other"), Received(WORK, ClearClient()))) == [WORK]
    world.turn(PeerLost(WORK))
    said = world.turn(finishes(X, runs[0].run, values(runs[0].lo, runs[0].hi)))
    assert any(isinstance(one, Send) and one.peer == ALICE for one in said)


def test_who_has_another_key_cannot_drop_a_work_that_cannot_be_used(world: World):
    world.works.refused(NAME, "the disk does not answer", is_damaged=False)
    world.turn(PeerJoined(BOB, "client", "", "other"))
    said = world.turn(Received(BOB, OpenWork(NAME)), Received(BOB, DropWork(NAME)), Received(BOB, ListWorks()))
    assert NAME in world.disk.rows
    [listed] = [one.message for one in world.heard(BOB, said) if isinstance(one.message, WorksListed)]
    assert listed.works == ()


def test_a_work_that_could_not_be_used_is_tried_again(world: World):
    world.turn(*by(ALICE, *maps(A, 5)))
    world.works.refused(NAME, "the disk does not answer", is_damaged=False)
    assert opened(world, world.turn())[-1].refused == "the disk does not answer"
    assert opened(world, world.turn(Received(ALICE, OpenWork(NAME)))) == [WorkOpened(NAME, WORK)]


def test_a_client_that_the_core_cuts_off_is_at_no_work_any_more(world: World):
    assert cut(world.turn(Received(ALICE, OpenBatch(BatchId(BOB, 1), F, PLAIN)))) == [ALICE]
    world.open()
    wrong = Received(BOB, CloseBatch(BatchId(ALICE, 1), 1))
    world.turn(PeerJoined(BOB, "client"), wrong)
    assert BOB not in world.works._clients
