"""Whatever happens while clusters are told of tasks to come, every task ends; drawn by chance from a seed."""

from itertools import chain, count
from random import Random

import pytest

from scaler.core.events import Event, PeerLost, Send
from scaler.ids import BatchId, Incarnation, RunId
from scaler.protocol import BatchOptions, CancelRun, PrefetchObjects, ReturnReason, RunSpan
from tests.unit.core.dependencies import task
from tests.unit.core.examples import (
    ALICE,
    Checked,
    appends,
    begins,
    cancels,
    client,
    cluster,
    confirms,
    defines,
    finishes,
    opens,
    returns,
    states,
    values,
)
from tests.unit.core.test_prefetch import OWN, there


class World:
    """Clusters that come, go, finish and give back by chance, while a client submits and cancels."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.core = Checked()
        self.core.handle([], -100.0)
        #: what each cluster has and has not finished
        self.has: dict[Incarnation, dict[tuple[RunId, int], None]] = {}
        #: how many tasks each batch has
        self.sizes: dict[BatchId, int] = {}
        self._peers = count(100)
        self.now = 0.0
        #: how often a cluster was told of tasks to come
        self.told = 0
        self.tell([client(ALICE)])

    def tell(self, events: list[Event]) -> None:
        self.now += 0.01
        for command in self.core.handle(events, self.now):
            if not isinstance(command, Send):
                continue
            match command.message:
                case RunSpan(run, _, lo, hi):
                    self.has[command.peer].update(dict.fromkeys((run, index) for index in range(lo, hi)))
                case CancelRun(run, parts):
                    for index in chain(*(range(*part) for part in parts)):
                        self.has[command.peer].pop((run, index), None)
                    self.tell([confirms(command.peer, run, *parts)])
                case PrefetchObjects():
                    assert self.core.managers.workers.clusters[command.peer].free <= 0
                    self.told += 1

    def step(self) -> None:
        chance = self.chance
        busy = [(peer, *task) for peer, tasks in self.has.items() for task in tasks]
        match chance.choices(("come", "go", "submit", "cancel", "begin", "return", "end"), (2, 1, 1, 1, 3, 2, 12))[0]:
            case "come" if len(self.has) < 5:
                peer = Incarnation(next(self._peers))
                self.has[peer] = {}
                self.tell(cluster(peer, chance.randint(1, 3), chance.choice(((), ("gpu",)))))
            case "go" if self.has:
                peer = chance.choice(list(self.has))
                del self.has[peer]
                self.tell([PeerLost(peer, "cut" if chance.random() < 0.5 else "goodbye")])
            case "submit" if len(self.sizes) < 6:
                self._submit(BatchId(ALICE, len(self.sizes) + 1))
            case "cancel" if self.sizes:
                batch = chance.choice(list(self.sizes))
                lo = chance.randrange(self.sizes[batch])
                self.tell([cancels(batch, (lo, min(lo + 3, self.sizes[batch])))])
            case "begin" if busy:
                peer, run, index = chance.choice(busy)
                self.tell([begins(peer, (run, index))])
            case "return" if busy:
                peer, run, index = chance.choice(busy)
                del self.has[peer][run, index]
                reason = chance.choice((ReturnReason.RETRACTED, ReturnReason.NOT_BEGUN, ReturnReason.EXPIRED))
                self.tell([returns(peer, run, (index, index + 1), reason=reason)])
            case "end":
                self.end_one()

    def _submit(self, batch: BatchId) -> None:
        size = self.sizes[batch] = self.chance.randint(1, 20)
        objects = [self.chance.randrange(8) for _ in range(size)]
        needs = {index: (task(OWN, number),) for index, number in enumerate(objects) if number}
        options = BatchOptions(priority=self.chance.randrange(2), tag=self.chance.choice((None, None, "gpu")))
        self.tell([defines(), opens(batch, options), appends(batch, 0, size, needs), *map(there, set(objects))])

    def end_one(self) -> None:
        busy = [(peer, *task) for peer, tasks in self.has.items() for task in tasks]
        if busy:
            peer, run, index = self.chance.choice(busy)
            del self.has[peer][run, index]
            self.tell([finishes(peer, run, values(index, index + 1))])


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_every_task_ends(seed: int):
    world = World(seed)
    for _ in range(150):
        world.step()
    everyone = Incarnation(99)
    world.has[everyone] = {}
    world.tell(cluster(everyone, 2, ("gpu",)))
    for _ in range(300):
        world.now += 1.0  # pauses end
        world.end_one()
        world.tell([])
    ended = {state for batch in world.core.managers.tasks.batches for *_, state in states(world.core, batch)}
    assert ended <= {"done", "cancelled", "failed"}
    assert world.told
