"""The simulated scheduler process: the real links and core, and a shell that only carries."""

from scaler.core import events as core
from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from scaler.ids import Epoch
from scaler.link import events as link
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.protocol import ChildSays, ClusterReady, Delivered, Holding, Results, Resumed, RunSpan
from scaler.protocol.codec import Header
from scaler.protocol.columns import Frame
from tests.simulation.clock import Wake
from tests.simulation.network import UNANSWERED_S, Packet, Wire
from tests.simulation.peers import HOST
from tests.simulation.verdicts import Verdicts
from tests.simulation.world import LATENCIES_S, SILENCE_S, VERSIONS, World, first, late_s

#: so little that some results have to be asked for again
EARLY_BYTES = 4096


class Scheduler:
    """A scheduler process."""

    def __init__(self, world: World, epoch: int, verdicts: Verdicts, *, has_doors: bool = False) -> None:
        self._world = world
        self._verdicts = verdicts
        window_bytes = world.window_bytes
        config = CoreConfig(client_timeout_s=SILENCE_S, early_bytes=EARLY_BYTES, window_bytes=window_bytes)
        self.core = SchedulerCore(config, Epoch(epoch))
        silence_s = {"client": SILENCE_S, "worker": SILENCE_S, "operator": SILENCE_S}
        self.links = AcceptedLinks(AcceptedConfig(Epoch(epoch), 1, VERSIONS, silence_s, window_bytes=window_bytes))
        self._wires: dict[int, Wire] = {}
        self._wake = Wake(world.clock, self._woke)
        self._latency_s = world.chance.choice(LATENCIES_S)
        self._arrived: list[link.AcceptedEvent] = []
        self._stopped_at = 0.0
        self._stopped_until: float | None = None
        self._turns = 0
        self._core_due: float | None = world.clock.now
        self.is_dead = False
        world.network.listener = self
        self._step([core.PassMade("public", "secret")] if has_doors else [])

    # ---- the network's side

    def connected(self, wire: Wire) -> None:
        self._wires[wire.number] = wire
        self._hear([link.ConnectionOpened(wire.number, "anyone", wire.host, "", f"{HOST}:1")])

    def arrived(self, wire: Wire, packets: list[Packet]) -> None:
        self._hear([link.ArrivedFrom(wire.number, header, frames) for header, frames in packets])

    def lost(self, wire: Wire, reason: str) -> None:
        if self._wires.pop(wire.number, None) is not None:
            self._hear([link.ConnectionEnded(wire.number, reason)])

    # ---- its life

    def die(self) -> None:
        """SIGKILL."""
        self.is_dead = True
        self._world.network.is_stopped = False
        self._world.network.listener_died()

    def stop_for(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so much later."""
        clock, network = self._world.clock, self._world.network
        self._stopped_at, self._stopped_until = clock.now, clock.now + seconds
        network.is_stopped = True
        clock.after(seconds, self._go_on)
        if seconds > UNANSWERED_S:
            clock.after(UNANSWERED_S, network.leave_unanswered)

    def _go_on(self) -> None:
        if self.is_dead or self._stopped_until is None or self._world.clock.now < self._stopped_until:
            return
        self._stopped_until = None
        self._world.network.is_stopped = False
        slept_s = late_s(self._world.clock.now, self._stopped_at, self._wake.due)
        own: list[core.Event] = []
        if slept_s is not None:
            self._arrived.insert(0, link.Slept(slept_s))
            own.append(core.Slept(slept_s))
        self._wake.due = None
        self._step(own)

    # ---- turns

    def _hear(self, events: list[link.AcceptedEvent]) -> None:
        self._arrived += events
        self._wake.ask(self._world.clock.now + self._latency_s)

    def _woke(self) -> None:
        if self._stopped_until is not None:
            self._wake.due = self._world.clock.now  # it is late from now on
        elif not self.is_dead:
            self._step([])

    def _step(self, own: list[core.Event]) -> None:
        """One turn of the shell."""
        now = self._world.clock.now
        events, self._arrived = self._arrived, []
        told = [*own, *self._perform_links(self.links.handle(events, now))]
        self._turns += 1
        is_checked = self._turns % self._world.check_every == 0
        if told or is_checked or (self._core_due is not None and self._core_due <= now):
            self._tell_core(told, now)
            self._core_due = self.core.next_deadline()
        if is_checked:
            self.core.check()
            self._check_room()
        self._wake.ask(first(self.links.next_deadline(), self._core_due))

    def _check_room(self) -> None:
        """Of the results that a link keeps no more than one message has found no room in its window.

        Errors passed on to who needed what failed have no place: no cluster could keep them, and all share their bytes.
        """
        for peer in self.links._peers.values():
            link = peer.link
            packets = (*link._unacked, *link._waiting)
            results = [packet for packet in packets if type(packet.message) is Results and packet.message.place]
            last = _message_of(results[-1].frames) if results else None
            before = sum(packet.size_bytes for packet in results if _message_of(packet.frames) is not last)
            assert before < self._world.window_bytes, (
                f"{before} bytes of results are kept for client {peer.incarnation}"
            )

    def _tell_core(self, told: list[core.Event], now: float) -> None:
        while True:
            said = self._perform(self.core.handle(told, now))
            told = self._perform_links(self.links.handle(said, now)) if said else []
            if not told:
                return

    def _perform_links(self, outputs: list[link.AcceptedOutput]) -> list[core.Event]:
        told: list[core.Event] = []
        if not outputs:
            return told
        packets: dict[int, list[Packet]] = {}
        for output in outputs:
            if type(output) is link.TransmitOn:
                packet = (Header(output.seq, output.ack, output.message), output.frames)
                packets.setdefault(output.connection, []).append(packet)
                continue
            if packets and type(output) is link.CutConnection:
                self._transmit(packets)
                packets = {}
            self._perform_link(output, told)
        self._transmit(packets)
        return told

    def _transmit(self, packets: dict[int, list[Packet]]) -> None:
        for connection, together in packets.items():
            wire = self._wires.get(connection)
            if wire is not None:
                self._world.network.send(wire, together, up=False)

    def _perform_link(self, output: link.AcceptedOutput, told: list[core.Event]) -> None:
        match output:
            case link.DeliverFrom(peer, message, frames):
                if isinstance(message, Holding | Resumed):
                    self._verdicts.came_back(peer)
                elif isinstance(message, ChildSays) and isinstance(message.message, Resumed):
                    self._verdicts.came_back(message.child)
                elif isinstance(message, ClusterReady):
                    self._verdicts.offered(message.tags)
                told.append(core.Received(peer, message, frames))
            case link.RoomFound(peer, room_bytes):
                told.append(core.RoomFound(peer, room_bytes))
            case link.Joined(peer, role, name, key_name, address):
                told.append(core.PeerJoined(peer, role, name, key_name, address))
            case link.Gone(peer, reason):
                self._verdicts.gave_up(peer, reason)
                told.append(core.PeerLost(peer, reason))
            case link.CutConnection(connection):
                if (wire := self._wires.pop(connection, None)) is not None:
                    self._world.network.close(wire, by_dialer=False)
            case link.Refused(_, _, reason):
                assert reason.startswith("no Hello in"), reason
            case _:
                raise AssertionError(output)

    def _perform(self, commands: list[core.Command]) -> list[link.AcceptedEvent]:
        said: list[link.AcceptedEvent] = []
        log = self._world.log
        for command in commands:
            if log is not None:
                log(f"{self._world.clock.now:.6f} scheduler {command}")
            if type(command) is core.Send:
                message = command.message
                if type(message) is RunSpan:
                    self._verdicts.sent(message)
                elif type(message) is Delivered:
                    self._verdicts.delivered(command.peer, message)
                said.append(link.OutgoingTo(command.peer, message, command.frames))
                continue
            match command:
                case core.AwaitRoom(peer, room_bytes):
                    said.append(link.AwaitRoom(peer, room_bytes))
                case core.CutOff(peer, reason):
                    assert not reason, f"a good peer was cut off: {reason}"
                    said.append(link.EndLink(peer, reason))
                case core.Note() | core.Publish():
                    continue
                case core.Stop():
                    raise AssertionError("nobody asked it to stop")
        return said


def _message_of(frames: tuple[Frame, ...]) -> object:
    """What came from a cluster in one message and was sent on in parts shares its frames."""
    ends = frames[2]  # the statuses may be those of many: Python keeps one object for each single byte
    return ends.obj if isinstance(ends, memoryview) else ends
