"""A scheduler after another, and peers by chance around it."""

from random import Random

from scaler.core.config import CoreConfig
from scaler.core.events import AwaitRoom, Command, CutOff, Event, PeerLost, Received, Send, Slept
from scaler.core.scheduler import SchedulerCore
from scaler.ids import Epoch, Incarnation
from scaler.protocol import Goodbye
from tests.unit.core.examples import NAMES, closes
from tests.unit.core.fakes import WINDOW_BYTES, FakeClient, FakeCluster
from tests.unit.core.needs import Needs


class World:
    """One scheduler after another, and peers that come, go and come back."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.now = 0.0
        self.epoch = 0
        self.early_bytes = chance.choice((0, 5_000, 1 << 20))
        self.events: list[Event] = []
        self.needs = Needs(chance)
        self.clients = [FakeClient(Incarnation(peer), chance, self.needs) for peer in (1, 2)]
        self.clusters = [
            FakeCluster(peer, chance, self.needs, chance.choice((None, None, 30.0)) if peer != min(NAMES) else None)
            for peer in NAMES
        ]
        self.commands: list[Command] = []
        #: peers of a test that may break the rules
        self.strangers: set[Incarnation] = set()
        self._start()

    def _start(self) -> None:
        self.epoch += 1
        # clients inside tasks do not come back when their tasks are over: what clusters have of them goes then
        config = CoreConfig(
            recovery_s=0.3, recovery_max_s=0.5, client_timeout_s=5.0, early_bytes=self.early_bytes,
            window_bytes=WINDOW_BYTES,
        )  # fmt: skip
        self.core = SchedulerCore(config, Epoch(self.epoch))
        self.events.clear()
        for peer in (*self.clients, *self.clusters):
            peer.is_linked = False

    def turn(self) -> None:
        """Let the core handle what has come up and pass on what it says."""
        self.now += self.chance.choice((0.0, 0.001, 0.02, 0.15))
        events, self.events = self.events, []
        self.commands = self.core.handle(events, self.now)
        self.core.check()
        heard = {peer.peer: peer for peer in (*self.clients, *self.clusters)}
        for command in self.commands:
            assert not isinstance(command, CutOff) or command.peer in self.strangers, command
            if isinstance(command, Send | AwaitRoom) and command.peer not in self.strangers:
                peer = heard[command.peer]
                if isinstance(peer, FakeClient):
                    self.events += peer.hear(command)
                elif peer.is_linked and isinstance(command, Send):
                    peer.inbox.append(command)
                elif peer.is_linked:
                    peer.awaited = command.room_bytes
        self.events += [event for one in self.clients if one.is_linked for event in one.finds_room()]

    def act(self, *, faults: bool = True) -> None:
        """Whatever may happen; `faults` are the loss of peers and of the scheduler itself."""
        chance = self.chance
        for peer in (*self.clients, *self.clusters):
            if not peer.is_linked:
                if chance.random() < 0.2:
                    self.events += peer.join()
            elif faults and chance.random() < 0.01:
                self._lose(peer)
            elif chance.random() < 0.7:
                self.events += peer.act()
            if isinstance(peer, FakeClient) and peer.is_linked and chance.random() < 0.3:
                self.events += peer.reads()
        for one in self.clients:
            if one.is_linked and chance.random() < 0.5:
                self.events += one.acknowledge()
        if chance.random() < 0.01:
            self.events.append(Slept(0.2))
        if faults and chance.random() < 0.01:
            self._start()

    def _lose(self, peer: FakeClient | FakeCluster) -> None:
        peer.is_linked = False
        if isinstance(peer, FakeCluster) and self.chance.random() < 0.3:
            self.events.append(Received(peer.peer, Goodbye("it was told to")))
            peer.runs.clear()
            peer.functions.clear()
        self.events.append(PeerLost(peer.peer, "cut"))
        if isinstance(peer, FakeCluster) and self.chance.random() < 0.5:
            peer.runs.clear()
            peer.functions.clear()

    def calm(self) -> None:
        """From now on all goes well: every call is answered, and nothing is left over."""
        for one in self.clients:
            for batch in one.batches.values():
                if not batch.is_closed:
                    batch.is_closed = True
                    self.events += [closes(batch.name, batch.size)] if one.is_linked else []
        for cluster in self.clusters:
            cluster.nest.is_quiet = True
        for _ in range(400):
            for peer in (*self.clients, *self.clusters):
                if not peer.is_linked:
                    self.events += peer.join()
                elif isinstance(peer, FakeCluster):
                    self.events += peer.act()
                else:
                    self.events += [*peer.acknowledge(), *peer.reads()]
            self.turn()
            if self._is_done():
                return
        raise AssertionError([(one.peer, one.batches) for one in self.clients])

    def _is_done(self) -> bool:
        return (
            not any(one.batches for one in self.clients)
            and not self.core.managers.tasks.by_serial
            and not any(one.runs for one in self.clusters)
        )
