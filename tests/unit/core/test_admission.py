"""While as many tasks wait as may, clients are told to keep theirs; what no cluster could take holds nobody up."""

from scaler.core.config import CoreConfig
from scaler.core.events import Command, Send
from scaler.protocol import BatchOptions, QueueFull
from tests.unit.core.examples import ALICE, BOB, A, Checked, X, client, cluster, maps

LIMITED = CoreConfig(max_queued_tasks=10, recovery_s=0.0, recovery_max_s=0.0)


def told(commands: list[Command]) -> list[Command]:
    return [one for one in commands if isinstance(one, Send) and isinstance(one.message, QueueFull)]


def test_clients_are_told_when_it_is_full_and_when_half_of_it_is_gone():
    core = Checked(LIMITED)
    core.handle([client(ALICE)])
    assert told(core.handle(maps(A, 9))) == []
    core = Checked(LIMITED)
    core.handle([client(ALICE)])
    assert told(core.handle(maps(A, 10))) == [Send(ALICE, QueueFull(full=True))]
    assert told(core.handle([client(BOB)])) == [Send(BOB, QueueFull(full=True))]
    assert told(core.handle(cluster(X, slots=10))) == [Send(peer, QueueFull(full=False)) for peer in (ALICE, BOB)]


def test_without_a_limit_nobody_is_told_anything():
    core = Checked()
    core.handle([client(ALICE)])
    assert told(core.handle(maps(A, 100_000))) == []


def test_tasks_that_nobody_could_take_do_not_fill_it():
    core = Checked(LIMITED)
    core.handle([client(ALICE), *cluster(X, slots=1)])
    assert told(core.handle(maps(A, 1000, options=BatchOptions(resources=(("gpu", 1.0),))))) == []
