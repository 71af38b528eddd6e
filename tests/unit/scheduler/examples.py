"""An exchange in the hands of a test, and peers that talk to it over a transport without sockets."""

from contextlib import ExitStack

from scaler.core import events as core
from scaler.core.scheduler import SchedulerCore
from scaler.ids import BatchId, Epoch, Incarnation, function_id, incarnation_of
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.link.link import WINDOW_BYTES
from scaler.net.memory import MemoryDialer, MemoryListener
from scaler.net.transport import Arrived, Connected, Identity, Lost
from scaler.net.versions import our_versions
from scaler.protocol import Heartbeat, Hello
from scaler.protocol.codec import Decoder, Sendable, pack
from scaler.protocol.columns import Frame
from scaler.refusals import Refusals
from scaler.scheduler.exchange import Exchange
from scaler.scheduler.stream import MonitorStream
from scaler.scheduler.tables import core_tables
from tests.unit.scheduler.fakes import FakeCore, FakePublisher

EPOCH = Epoch(99)
SECRETS = {incarnation_of(secret): secret for secret in (b"ann's", b"bob's", b"work's")}
ANN, BOB, WORKS = SECRETS
CLIENT, WORKER = Identity("client", "ann", "a key"), Identity("worker", "works", "another key")
OPERATOR = Identity("operator", "me", "a third key")
F = function_id((b"code",))
BATCH = BatchId(ANN, 1)


class Scheduler:
    """An exchange around a core, with a clock in the hands of a test."""

    def __init__(
        self, opened: ExitStack, scheduler: SchedulerCore | FakeCore, window_bytes: int = WINDOW_BYTES
    ) -> None:
        self.opened = opened
        self.core = scheduler
        self.listener = MemoryListener()
        opened.callback(self.listener.close)
        silence_s = {"client": 60.0, "operator": 60.0, "worker": 60.0}
        self.links = AcceptedLinks(AcceptedConfig(EPOCH, 1, our_versions(), silence_s, window_bytes=window_bytes))
        self.publisher = FakePublisher()
        self.lines: list[str] = []
        tables = (lambda: core_tables(scheduler)) if isinstance(scheduler, SchedulerCore) else dict
        stream = MonitorStream(self.publisher, tables)
        self.exchange = Exchange(self.listener, self.links, scheduler, stream, Refusals(self.lines.append))
        self.now = 100.0

    def turn(self, *own: core.Event, slept_s: float = 0.0) -> bool:
        return self.exchange.turn(lambda: self.now, own, slept_s)

    def dial(self, who: Incarnation, role: str = "client", *, generation: int = 0) -> "Peer":
        identity = {"worker": WORKER, "operator": OPERATOR}.get(role, CLIENT)
        peer = Peer(self.listener.dial(identity), role)
        self.opened.callback(peer.dialer.close)
        peer.say(Hello(role, who, Incarnation(0), 0, generation, our_versions(), "name", secret=SECRETS[who]))
        self.turn()  # nobody speaks before it is greeted
        return peer


class Peer:
    """A connection, the link above it kept as simple as can be."""

    def __init__(self, dialer: MemoryDialer, role: str) -> None:
        self.dialer = dialer
        self._decoder = Decoder("to-worker" if role == "worker" else "to-client")
        self._sent = 0
        self.had = 0
        self.is_lost = False

    def say(self, *messages: Sendable | tuple[Sendable, tuple[Frame, ...]]) -> None:
        packets = []
        for one in messages:
            message, frames = one if isinstance(one, tuple) else (one, ())
            is_numbered = not isinstance(message, Hello | Heartbeat)
            self._sent += is_numbered
            packets.append(Answer(self._sent if is_numbered else 0, self.had, message, frames))
        for frames in pack(packets):
            self.dialer.send(frames)

    def heard(self) -> list[Sendable]:
        """All that has come since, without heartbeats."""
        found: list[Sendable] = []
        for event in self.dialer.receive(1000):
            match event:
                case Arrived(_, frames):
                    headers = self._decoder.decode(frames)
                    self.had = max(self.had, *[header.seq for header in headers])
                    found += [header.message for header in headers if not isinstance(header.message, Heartbeat)]
                case Lost():
                    self.is_lost = True
                case Connected():
                    continue
        return found


class Answer:
    """A packet with its acknowledgement."""

    def __init__(self, seq: int, ack: int, message: Sendable, frames: tuple[Frame, ...]) -> None:
        self.seq, self.ack, self.message, self.frames = seq, ack, message, frames


def told(scheduler: Scheduler) -> list[core.Event]:
    assert isinstance(scheduler.core, FakeCore)
    return [event for events in scheduler.core.told for event in events]
