"""While as many tasks of a client wait as may, it is told to keep its own; what nobody could take does not count."""

from scaler.core.config import CoreConfig
from scaler.core.events import Command, PeerLost, Send
from scaler.protocol import BatchOptions, QueueFull
from tests.unit.core.children import NESTED, C, through
from tests.unit.core.examples import (
    A2,
    ALICE,
    BOB,
    A,
    B,
    Checked,
    X,
    Y,
    cancels,
    client,
    cluster,
    maps,
)

LIMITED = CoreConfig(max_queued_tasks=10, recovery_s=0.0, recovery_max_s=0.0)
GPU = BatchOptions(resources=(("gpu", 1.0),))


def full(count: int) -> QueueFull:
    text = f"{count:,} tasks of this client wait at the scheduler, where 10 may (--max-queued-tasks)"
    return QueueFull(full=True, why=text)


def told(commands: list[Command]) -> list[Command]:
    return [one for one in commands if isinstance(one, Send) and isinstance(one.message, QueueFull)]


def made(slots: int = 0) -> Checked:
    core = Checked(LIMITED)
    core.handle([client(ALICE), client(BOB)])
    if slots:
        core.handle(cluster(X, slots))
    return core


def test_a_client_is_told_when_it_has_enough_there_and_when_half_of_it_is_gone():
    assert told(made().handle(maps(A, 9))) == []
    core = made()
    assert told(core.handle(maps(A, 10))) == [Send(ALICE, full(10))]
    assert told(core.handle(maps(A2, 10))) == []
    assert told(core.handle([cancels(A, (0, 10)), cancels(A2, (0, 4))])) == []
    assert told(core.handle([cancels(A2, (4, 5))])) == [Send(ALICE, QueueFull(full=False))]


def test_others_are_not_told_though_no_cluster_could_take_what_is_there():
    core = made(slots=1)
    core.handle(cluster(Y, slots=1, resources=(("gpu", 1.0),)))
    assert told(core.handle(maps(A, 1000, options=GPU))) == [Send(ALICE, full(999))]
    assert told(core.handle(maps(B, 9))) == []


def test_a_client_that_comes_anew_keeps_nothing_until_it_is_told():
    core = made()
    core.handle(maps(A, 10))
    core.handle([PeerLost(ALICE, "cut")])
    assert told(core.handle([client(ALICE), *maps(A, 10)])) == [Send(ALICE, full(10))]


def test_without_a_limit_nobody_is_told_anything():
    core = Checked()
    core.handle([client(ALICE)])
    assert told(core.handle(maps(A, 100_000))) == []


def test_tasks_that_nobody_could_take_do_not_count_while_there_are_workers():
    core = made(slots=1)
    assert told(core.handle(maps(A, 1000, options=GPU))) == []
    assert told(core.handle([PeerLost(X, "cut")])) == [Send(ALICE, full(1000))]
    assert told(core.handle(cluster(X))) == [Send(ALICE, QueueFull(full=False))]


def test_what_they_could_take_again_counts_again():
    core = made(slots=1)
    core.handle(maps(A, 20, options=GPU))
    assert told(core.handle(cluster(Y, slots=1, resources=(("gpu", 1.0),)))) == [Send(ALICE, full(19))]


def test_what_tasks_submit_holds_up_nobody():
    core = made(slots=1)
    core.handle(maps(A, 1))
    assert told(core.handle(through(maps(C, 1000, NESTED)))) == []
