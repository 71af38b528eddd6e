"""A work through any number of schedulers and clients, and whatever may befall its disk, by chance."""

from random import Random

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, Command, CutOff, Event, PeerLost, Send
from scaler.core.scheduler import SchedulerCore
from scaler.durable.events import CreateFile, DeleteRows, Persist
from scaler.durable.works import Works
from scaler.ids import Epoch, Incarnation
from tests.unit.core.fakes import FakeCluster
from tests.unit.durable.visitors import NAME, History, Visitor, WorkNeeds
from tests.unit.durable.world import WORK, Disk

#: what clusters need to find lost runs and schedulers to find lost clusters
CONFIG = CoreConfig(recovery_s=0.3, recovery_max_s=0.5, client_timeout_s=5.0)
STEPS_S = (0.0, 0.001, 0.02, 0.15, 1.1)
MOST_VISITORS = 3
#: looking at every invariant takes longer than all else
CHECKED = 0.2


class Chances:
    """One history; `act` and `turn` make it longer, `calm` ends it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now = 0.0
        self.disk = Disk()
        self.history = History()
        self.needs = WorkNeeds(self.chance, self.history.cancelled)
        self.events: list[Event] = []
        self.visitors: list[Visitor] = []
        self.clusters = [FakeCluster(Incarnation(peer), self.chance, self.needs, None) for peer in (11, 12)]
        for cluster in self.clusters:
            cluster.nest.is_quiet = True
        self._epoch = 0
        self._born = 0
        self.start()

    # ---- the scheduler

    def start(self) -> None:
        """Kill the scheduler, and start the next one on what is on disk."""
        if self._epoch:
            self._leave_unwritten()
        self._epoch += 1
        self.core = SchedulerCore(CONFIG, Epoch(self._epoch))
        self.works = Works(lambda: WORK)
        self.works.found(self.disk.rows)
        self.events.clear()
        for visitor in self.visitors:
            if visitor.is_linked:
                visitor.cut(self.now)
        for cluster in self.clusters:
            cluster.is_linked = False

    def _leave_unwritten(self) -> None:
        """Of what was asked for and not reported some may have been done, in order."""
        asked = [*self.disk.asked, *self.works.doings.disk]
        self.disk.asked = []
        for one in asked[: self.chance.randrange(len(asked) + 1)]:
            match one:
                case Persist(work, row) if not self.disk.is_full:
                    self.disk.rows[work].append(row)
                case CreateFile(work, owner, incarnation):
                    self.disk.rows[work], self.disk.owners[work] = [], (owner, Incarnation(incarnation))
                case DeleteRows(work, batch) if not self.disk.is_full:
                    self.disk.rows[work] = [row for row in self.disk.rows[work] if row.batch != batch]

    def turn(self) -> None:
        """Let works, core and disk handle what has come up."""
        self.now += self.chance.choice(STEPS_S)
        events, self.events = self.events, []
        commands = self.works.take_out(self.core.handle(self.works.take_in(events, self.now), self.now), self.now)
        if self.chance.random() < CHECKED:
            self.core.check()
            self.works.check()
            for visitor in self.visitors:
                visitor.ledger.check()
        self.disk.perform(self.works, self.now, self.chance.choice((0, 1, 2, 1000)))
        self._deliver(commands)

    def _deliver(self, commands: list[Command]) -> None:
        visitors = {one.peer: one for one in self.visitors}
        clusters = {one.peer: one for one in self.clusters}
        for command in commands:
            assert not isinstance(command, CutOff), command
            if isinstance(command, Send):
                peer = visitors.get(command.peer) or clusters.get(command.peer)
                if peer is not None and peer.is_linked:
                    peer.inbox.append(command)
            elif isinstance(command, AwaitRoom) and command.peer in clusters:
                clusters[command.peer].awaited = command.room_bytes

    # ---- what may happen

    def act(self) -> None:
        """Whatever may happen, faults among it."""
        chance = self.chance
        if len(self.visitors) < MOST_VISITORS and chance.random() < 0.1:
            self.visitors.append(self._new_visitor())
        for visitor in list(self.visitors):
            self._act_of(visitor)
        for cluster in self.clusters:
            if not cluster.is_linked:
                self.events += cluster.join() if chance.random() < 0.3 else []
            elif chance.random() < 0.01:
                self._lose(cluster)
            elif chance.random() < 0.7:
                self.events += cluster.act()
        if chance.random() < 0.02:
            self.disk.is_full = not self.disk.is_full
        if chance.random() < 0.02:
            self.start()

    def _new_visitor(self) -> Visitor:
        self._born += 1
        return Visitor(Incarnation(1000 + self._born), self.chance, self.needs, self.history)

    def _act_of(self, visitor: Visitor) -> None:
        chance = self.chance
        if chance.random() < 0.01:
            self.visitors.remove(visitor)
            self.events += [PeerLost(visitor.peer, "killed")] if visitor.is_linked else []
        elif not visitor.is_linked:
            self.events += visitor.join(self.now) if chance.random() < 0.3 else visitor.act(self.now)
        elif chance.random() < 0.02:
            visitor.cut(self.now)
            self.events.append(PeerLost(visitor.peer, "cut"))
        else:
            self.events += visitor.hear(self.now, chance.choice((0, 1, 5, 1000)))
            self.events += visitor.act(self.now) if chance.random() < 0.6 else []

    def _lose(self, cluster: FakeCluster) -> None:
        cluster.is_linked = False
        self.events.append(PeerLost(cluster.peer, "cut"))
        if self.chance.random() < 0.5:
            cluster.runs.clear()
            cluster.functions.clear()

    # ---- the end

    def calm(self) -> Visitor:
        """From now on all goes well: all who wait are answered, and somebody who comes then finds everything."""
        self.disk.is_full = False
        for visitor in self.visitors:
            self.events += visitor.end(self.now)
        self._settle()
        last = self._new_visitor()
        self.visitors = [last]
        self.events += last.join(self.now)
        self._settle()
        if not last.waited:
            self.events += last.attach(self.now)
            self._settle()
        return last

    def _settle(self) -> None:
        for _ in range(1000):
            for visitor in self.visitors:
                self.events += visitor.hear(self.now, 1000) if visitor.is_linked else visitor.join(self.now)
            for cluster in self.clusters:
                self.events += cluster.act() if cluster.is_linked else cluster.join()
            self.turn()
            if self._is_settled():
                return
        raise AssertionError([(one.peer, one.ledger.unresolved, one.waited - one.resolved) for one in self.visitors])

    def _is_settled(self) -> bool:
        return (
            all(one.is_done for one in self.visitors)
            # batches of those that were killed stay open, since nobody knows that they will not come back
            and not any(batch.spans.all() for batch in self.core.managers.tasks.by_serial.values())
            and not self.disk.asked
            and not self.works.doings.disk
            and not self.events
            and not any(one.runs for one in self.clusters)
        )

    @property
    def work(self) -> object:
        """The work itself."""
        return self.works._entries[NAME].work
