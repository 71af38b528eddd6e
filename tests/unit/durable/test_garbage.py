"""Whatever a client of a durable work says, it harms nobody but itself."""

from random import Random

import msgspec
import pytest

from scaler.core.events import CutOff, PeerJoined, PeerLost, Received
from scaler.ids import BatchId, Incarnation
from scaler.protocol import (
    AppendTasks,
    DefineFunction,
    FromClient,
    Goodbye,
    OpenBatch,
    OpenWork,
    Results,
    ShutdownScheduler,
    WorkOpened,
)
from scaler.protocol.columns import Frame
from scaler.protocol.inputs import dependency_frames
from tests.unit.core.dependencies import task
from tests.unit.core.examples import ALICE, CODE, PLAIN, F, X, appends, cluster, finishes, maps, values
from tests.unit.core.test_by_chance import frames, garbage
from tests.unit.durable.world import NAME, WORK, World, by, given

VILLAIN = Incarnation(66)
ROUNDS = 300


def said(chance: Random) -> tuple[object, tuple[Frame, ...]]:
    """Something of the work, often something that is nearly right."""
    batch = BatchId(WORK, chance.choice((1, 2, 3, 4)))
    lo = chance.choice((0, 0, 1, 2, 4))
    behind = dependency_frames(
        lo, lo + 1, {lo: (task(BatchId(WORK, chance.choice((1, 2, 5))), chance.choice((0, 3))),)}
    )
    match chance.randrange(6):
        case 0:
            return OpenBatch(batch, F, PLAIN), ()
        case 1:
            return DefineFunction(F, 4), CODE
        case 2:
            return AppendTasks(batch, lo, 2), appends(batch, lo, lo + 2).frames
        case 3:
            return AppendTasks(batch, lo, 1, len(behind)), (*appends(batch, lo, lo + 1).frames, *behind)
    message = garbage(chance, FromClient)
    if getattr(message, "batch", None) is not None and chance.random() < 0.8:
        message = msgspec.structs.replace(message, batch=batch)
    if isinstance(message, OpenWork) and chance.random() < 0.8:
        message = OpenWork(NAME, message.incarnation)
    return message, frames(chance)


@pytest.mark.parametrize("seed", range(8))
def test_garbage_ends_the_link_of_who_says_it_and_the_work_goes_on(seed: int):
    world, chance, is_here, ended = World(), Random(seed), False, 0
    world.open()
    world.turn(*cluster(X))
    for _ in range(ROUNDS):
        if not is_here:
            world.turn(PeerJoined(VILLAIN, "client", "", "client"), Received(VILLAIN, OpenWork(NAME)))
            is_here = True
        message, behind = said(chance)
        if message is None or isinstance(message, Goodbye | ShutdownScheduler):
            continue
        world.now += 0.01
        commands = world.turn(Received(VILLAIN, message, behind))  # type: ignore[arg-type]  # a client's
        world.works.check()
        world.core.check()
        gone = [one.peer for one in commands if isinstance(one, CutOff)]
        assert gone in ([], [VILLAIN]), (message, gone)
        if gone:
            world.turn(PeerLost(VILLAIN, "cut off"))
            is_here, ended = False, ended + 1
        for run in given(commands):
            world.turn(finishes(X, run.run, values(run.lo, run.hi)))
    assert ended > 10
    opened = [one.message for one in world.open() if isinstance(one.message, WorkOpened)]
    assert [one.refused for one in opened] == [""]
    work = opened[0].incarnation
    commands = world.turn(*by(ALICE, *maps(BatchId(work, 77), 1)), at=world.now + 1)
    for _ in range(50):
        commands += world.turn(*[finishes(X, one.run, values(one.lo, one.hi)) for one in given(commands)], at=world.now)
        results = [one.message for one in world.heard(ALICE, commands) if isinstance(one.message, Results)]
        if any(one.batch == BatchId(work, 77) for one in results):
            return
        commands = world.turn(at=world.now + 1)
    raise AssertionError("a good task has no result")
