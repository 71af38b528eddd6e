"""What simulated clients and clusters have in common: a dialled link, its one connection, and standing still."""

from types import ModuleType
from typing import Any

from scaler.ids import incarnation_of
from scaler.link import events as link
from scaler.link.dialled import DialledConfig, DialledLink
from scaler.protocol.codec import Header
from tests.simulation.clock import Wake
from tests.simulation.network import Packet, Wire
from tests.simulation.world import HEARTBEAT_S, LATENCIES_S, VERSIONS, World, first, late_s


class Dialling:
    """A process that dials. `words` is the module with its core's `LinkUp`, `LinkDown` and `Received`."""

    words: ModuleType

    def __init__(self, world: World, host: str, role: str, secret: bytes) -> None:
        self.world = world
        self.host = host
        self._role = role
        self.incarnation = incarnation_of(secret)
        config = DialledConfig(role, host, secret, VERSIONS, HEARTBEAT_S, None, "simulated", "")
        self.link = DialledLink(config, world.chance.random)
        self.wire: Wire | None = None
        self.wake = Wake(world.clock, self._woke)
        self._latency_s = world.chance.choice(LATENCIES_S)
        self.is_dead = False
        self._stopped_at = 0.0
        self._stopped_until: float | None = None
        self._link_due: float | None = world.clock.now
        self._arrived: list[link.DialledEvent] = []
        self._own: list[Any] = []

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return self._stopped_until is not None

    # ---- the network's side

    def connected(self, wire: Wire) -> None:
        if wire is self.wire:
            self._hear([link.Connected()])

    def arrived(self, wire: Wire, packets: list[Packet]) -> None:
        if wire is self.wire:
            self._hear([link.PacketArrived(header, frames) for header, frames in packets])

    def lost(self, wire: Wire, reason: str) -> None:
        if wire is self.wire:
            self.wire = None
            self._hear([link.ConnectionLost(reason)])

    # ---- its life

    def stop_for(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so much later."""
        self._stopped_at = self.world.clock.now
        self._stopped_until = self._stopped_at + seconds
        self.world.clock.after(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._stopped_until is None or self.world.clock.now < self._stopped_until:
            return
        self._stopped_until = None
        slept_s = late_s(self.world.clock.now, self._stopped_at, self.wake.due)
        if slept_s is not None:
            self._arrived.insert(0, link.Slept(slept_s))
            self._own = [*self.slept(slept_s), *self._own]
        self.wake.due = None
        self._woke()

    def slept(self, _seconds: float) -> list[Any]:
        """What its core is told when it stood still for long, if anything."""
        return []

    def die(self) -> None:
        """SIGKILL."""
        self.is_dead = True
        if self.wire is not None:
            self.world.network.close(self.wire, by_dialer=True)
            self.wire = None

    # ---- turns

    def _hear(self, events: list[link.DialledEvent]) -> None:
        self._arrived += events
        self.call_up()

    def tell(self, own: list[Any]) -> None:
        """Something beside the link happened."""
        self._own += own
        self.call_up()

    def call_up(self) -> None:
        """There is something to be taken in; what else comes until it awakes is taken in with it."""
        self.wake.ask(self.world.clock.now + self._latency_s)

    def handle_link(self, events: list[link.DialledEvent], now: float) -> list[Any]:
        """Have the link handle what there is for it; what the core is told."""
        if not events and (self._link_due is None or self._link_due > now):
            return []
        outputs = self.link.handle(events, now)
        return self.perform_link(outputs) if outputs else []

    def ask_again(self, core_due: float | None) -> None:
        """Wake in time for the link and the core."""
        self._link_due = self.link.next_deadline()
        self.wake.ask(first(self._link_due, core_due))

    def _woke(self) -> None:
        if self._stopped_until is not None:
            self.wake.due = self.world.clock.now  # it is late from now on
        elif not self.is_dead:
            arrived, self._arrived = self._arrived, []
            own, self._own = self._own, []
            self.step(arrived, own)

    def step(self, events: list[link.DialledEvent], own: list[Any]) -> None:
        """One turn of the shell."""
        raise NotImplementedError

    def perform_link(self, outputs: list[link.DialledOutput]) -> list[Any]:
        """Do what the link asks; what its core is told."""
        told: list[Any] = []
        packets: list[Packet] = []
        for output in outputs:
            # the two that come all the time; a pattern takes longer
            if type(output) is link.Transmit:
                packets.append((Header(output.seq, output.ack, output.message), output.frames))
                continue
            if type(output) is link.Deliver:
                told.append(self.words.Received(output.message, output.frames))
                continue
            match output:
                case link.LinkUp(epoch, resumed):
                    told.append(self.words.LinkUp(epoch, resumed))
                case link.LinkDown():
                    told.append(self.words.LinkDown())
                case link.Dial():
                    self.wire = self.world.network.dial(self, self.host, self._role)
                case link.HangUp():
                    self._hang_up()
                case link.GaveUp(error):
                    raise AssertionError(error)
        if packets and self.wire is not None:
            self.world.network.send(self.wire, packets, up=True)
        return told

    def _hang_up(self) -> None:
        if self.wire is not None:
            self.world.network.close(self.wire, by_dialer=True)
            self.wire = None
