"""Both ends of links over a network that loses, repeats, reorders and cuts: in order and once, or told as lost."""

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field

import pytest

from scaler.ids import BatchId, Epoch, Incarnation, TaskId, incarnation_of
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.link.dialled import DialledConfig, DialledLink
from scaler.link.events import (
    AcceptedEvent,
    ArrivedFrom,
    Connected,
    ConnectionEnded,
    ConnectionLost,
    ConnectionOpened,
    CutConnection,
    Deliver,
    DeliverFrom,
    Dial,
    DialledEvent,
    Gone,
    HangUp,
    Joined,
    LinkDown,
    LinkUp,
    Outgoing,
    OutgoingTo,
    PacketArrived,
    Transmit,
    TransmitOn,
)
from scaler.protocol import ExplainTask, Explanation, Versions
from scaler.protocol.codec import Decoder, bundle, encode

VERSIONS = Versions(1, "3.11", 5)
DECODERS = {role: Decoder(role) for role in ("client", "to-client")}
STEP_S = 0.01


def task(n: int) -> TaskId:
    return TaskId(BatchId(Incarnation(1), 1), n)


@dataclass
class Pipe:
    """One connection: frames on their way up and down, and whether each end still holds it."""

    dialler: "Peer"
    up: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    down: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    open: bool = True


class Peer:
    """A dialling core that sends numbers, and notes those that come."""

    def __init__(self, secret: bytes) -> None:
        self.incarnation = incarnation_of(secret)
        config = DialledConfig("client", "c", secret, VERSIONS, 2.0, None, "tcp://x:1", "")
        self.link = DialledLink(config, lambda: 0.5)
        self.connection: int | None = None
        self.events: list[DialledEvent] = []
        self.up = False
        self.sent = 0
        self.had: list[int] = []


class World:
    """A scheduler's links, peers and the network between them, all driven by one seed."""

    def __init__(self, seed: int, peers: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.links = AcceptedLinks(
            AcceptedConfig(Epoch(77), 0, VERSIONS, {"client": 60.0, "operator": 60.0, "worker": 60.0})
        )
        self.peers = [Peer(b"%d" % n) for n in range(peers)]
        self.pipes: dict[int, Pipe] = {}
        self.events: list[AcceptedEvent] = []
        self.sent: defaultdict[Incarnation, int] = defaultdict(int)
        self.had: defaultdict[Incarnation, list[int]] = defaultdict(list)
        self.joined: set[Incarnation] = set()
        self.faults = 0.0
        self.counts: defaultdict[str, int] = defaultdict(int)

    # ---- the network

    def dial(self, peer: Peer) -> None:
        connection = len(self.pipes) + 1
        self.pipes[connection] = Pipe(peer)
        peer.connection = connection
        peer.events.append(Connected())
        self.events.append(ConnectionOpened(connection, "client", "key", "k"))

    def cut(self, connection: int, *, tell_dialler: bool = True, tell_scheduler: bool = True) -> None:
        pipe = self.pipes[connection]
        if not pipe.open:
            return
        pipe.open = False
        if tell_dialler:
            pipe.dialler.connection = None
            pipe.dialler.events.append(ConnectionLost("cut"))
        if tell_scheduler:
            self.events.append(ConnectionEnded(connection, "cut"))

    def carry(self) -> None:
        for connection, pipe in self.pipes.items():
            if not pipe.open:
                continue
            for queue, role in ((pipe.up, "client"), (pipe.down, "to-client")):
                while queue and pipe.open and self.chance.random() > (0.3 if self.faults else 0.01):
                    self.carry_one(connection, pipe, queue, role)

    def carry_one(self, connection: int, pipe: Pipe, queue: deque[tuple[bytes, bytes]], role: str) -> None:
        dice = self.chance.random() / self.faults if self.faults else 1.0
        if dice < 0.25 and len(queue) > 1:
            self.counts["reordered"] += 1
            queue.rotate(-1)
        frame, behind = queue.popleft()
        if 0.25 <= dice < 0.5:
            self.counts["repeated"] += 1
            queue.append((frame, behind))
        elif 0.5 <= dice < 0.75 and frame[1:3] != b"\x00\x00":  # a greeting is only lost with its connection
            self.counts["lost"] += 1
            return
        elif 0.75 <= dice < 0.8:
            self.counts["cut"] += 1
            self.cut(connection)
            return
        (header,) = DECODERS[role].decode([bundle([frame])])
        if role == "client":
            self.events.append(ArrivedFrom(connection, header, (behind,)))
        else:
            pipe.dialler.events.append(PacketArrived(header, (behind,)))

    # ---- the two ends

    def run_peer(self, peer: Peer) -> None:
        events, peer.events = peer.events, []
        for output in peer.link.handle(events, self.now):
            match output:
                case Dial():
                    self.dial(peer)
                case Transmit(seq, ack, message, frames):
                    if peer.connection is not None:
                        frame = encode(seq, ack, message)
                        self.pipes[peer.connection].up.append((frame, b"".join(frames)))
                case HangUp():
                    if peer.connection is not None:
                        self.cut(peer.connection, tell_dialler=False)
                        peer.connection = None
                case LinkUp(_, resumed):
                    peer.up = True
                    self.counts["resumed" if resumed else "anew"] += 1
                    if not resumed:
                        peer.sent, peer.had = 0, []
                case LinkDown():
                    peer.up = False
                case Deliver(message, frames):
                    assert isinstance(message, Explanation)
                    assert bytes(frames[0]) == message.text.encode()
                    assert message.task.index == len(peer.had)
                    peer.had.append(message.task.index)
                case _:
                    pytest.fail(str(output))

    def run_scheduler(self) -> None:
        events, self.events = self.events, []
        for output in self.links.handle(events, self.now):
            match output:
                case TransmitOn(connection, seq, ack, message, frames):
                    if self.pipes[connection].open:
                        self.pipes[connection].down.append((encode(seq, ack, message), b"".join(frames)))
                case CutConnection(connection):
                    self.cut(connection, tell_scheduler=False)
                case Joined(peer):
                    assert peer not in self.joined
                    self.joined.add(peer)
                    self.sent[peer], self.had[peer] = 0, []
                case Gone(peer):
                    self.joined.remove(peer)
                case DeliverFrom(peer, message):
                    assert isinstance(message, ExplainTask)
                    assert message.task.index == len(self.had[peer])
                    self.had[peer].append(message.task.index)
                case _:
                    pytest.fail(str(output))

    def step(self, *, talk: bool) -> None:
        self.now += STEP_S
        for peer in self.peers:
            for _ in range(self.chance.randint(0, 3) if talk and peer.up else 0):
                peer.events.append(Outgoing(ExplainTask(task(peer.sent)), (b"x" * self.chance.randint(0, 99),)))
                peer.sent += 1
            self.run_peer(peer)
        self.carry()
        self.run_scheduler()  # who has gone or begun anew is known before anything is said
        for name in sorted(self.joined) if talk else ():
            for _ in range(self.chance.randint(0, 3)):
                n = self.sent[name]
                self.events.append(OutgoingTo(name, Explanation(task(n), "x" * (n % 50)), (b"x" * (n % 50),)))
                self.sent[name] += 1
        self.run_scheduler()

    def is_settled(self) -> bool:
        """Everybody is linked, and all that was said has arrived and is known to have."""
        return all(
            peer.up and not peer.link.backlog_bytes and not self.links.backlog_bytes(peer.incarnation)
            for peer in self.peers
        )


@pytest.mark.parametrize("seed", range(40))
def test_all_arrives_in_order_and_once(seed: int) -> None:
    world = World(seed, peers=2)
    world.faults = world.chance.choice((0.02, 0.1, 0.3))
    for _ in range(250):
        world.step(talk=True)
    world.faults = 0.0
    for _ in range(1200):
        world.step(talk=False)
        if world.is_settled():
            break
    for peer in world.peers:
        assert peer.up
        assert len(peer.had) == world.sent[peer.incarnation]
        assert len(world.had[peer.incarnation]) == peer.sent
        assert peer.link.backlog_bytes == 0
        assert world.links.backlog_bytes(peer.incarnation) == 0


def test_the_faults_happen() -> None:
    total: defaultdict[str, int] = defaultdict(int)
    for seed in range(8):
        world = World(seed, peers=2)
        world.faults = 0.2
        for _ in range(400):
            world.step(talk=True)
        for name, count in world.counts.items():
            total[name] += count
    assert all(total[name] > 10 for name in ("lost", "repeated", "reordered", "cut", "resumed", "anew"))


def test_equal_seeds_give_equal_histories() -> None:
    def history() -> tuple[object, ...]:
        world = World(5, peers=3)
        world.faults = 0.2
        for _ in range(300):
            world.step(talk=True)
        return dict(world.counts), dict(world.sent), [peer.had for peer in world.peers]

    assert history() == history()
