"""The accepting end of all links: who is connected, who is only away, who is gone. Pure.

A connection proves a role and a key; its `Hello` names an incarnation and shows the secret behind it, so that nobody
takes over the link of another. A closed connection that no new one of the same incarnation follows within `AWAY_S`
means death; silence means nothing for `silence_s` of the role.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

from scaler.ids import Epoch, Incarnation, incarnation_of
from scaler.link.events import (
    AcceptedEvent,
    AcceptedOutput,
    ArrivedFrom,
    AwaitRoom,
    ConnectionEnded,
    ConnectionOpened,
    CutConnection,
    DeliverFrom,
    EndLink,
    Garbage,
    Gone,
    Joined,
    OutgoingTo,
    Refused,
    RoomFound,
    Slept,
    Superseded,
    TransmitOn,
)
from scaler.link.link import WINDOW_BYTES, Link, Packet
from scaler.link.versions import compatible, version_differences, version_table
from scaler.protocol.codec import Header
from scaler.protocol.columns import Frame
from scaler.protocol.connection import LONGEST_TEXT, Goodbye, Heartbeat, Hello, Rejected, Versions

T = TypeVar("T")

AWAY_S = 2.0
#: a connection that says no Hello in this time is cut
GREETING_S = 5.0
#: a connection we have said the last word on is cut if the peer does not close it in this time
PARTING_S = 1.0
#: the roles a proven role may take; "anyone" is proven where the transport itself keeps others out
MAY_ACT_AS: Mapping[str, frozenset[str]] = {
    "client": frozenset(("client",)),
    "worker": frozenset(("worker",)),
    "operator": frozenset(("operator", "client")),
    "anyone": frozenset(("client", "worker", "operator")),
}
#: the proven roles whose word ends a scheduler; any client could say that it has met a later one
MAY_SUPERSEDE = frozenset(("operator", "anyone"))


@dataclass(frozen=True, slots=True)
class AcceptedConfig:
    """Who the scheduler is, how long each role may be silent, and how many peers it serves at once."""

    epoch: Epoch
    generation: int
    versions: Versions
    silence_s: Mapping[str, float]
    most_peers: int = 1 << 30
    #: how much may be said to a peer and not be acknowledged
    window_bytes: int = WINDOW_BYTES


class _Connection:
    __slots__ = ("address", "key", "name", "peer", "role")

    def __init__(self, opened: ConnectionOpened) -> None:
        self.role = opened.role
        self.name = opened.name
        self.key = opened.key
        self.address = opened.address
        self.peer: _Peer | None = None


class _Peer:
    __slots__ = ("connection", "heard_at", "incarnation", "is_met", "key", "link", "lost_at", "role")

    def __init__(self, incarnation: Incarnation, role: str, key: str, window_bytes: int) -> None:
        self.incarnation = incarnation
        self.role = role
        self.key = key
        self.link = Link(window_bytes)
        self.connection: int | None = None
        #: it has spoken on this link: until then it may not know of it, and what it resumes is another one
        self.is_met = False
        self.heard_at = 0.0
        self.lost_at = 0.0


class AcceptedLinks:
    """Every connection and every link of a scheduler; see the module."""

    def __init__(self, config: AcceptedConfig) -> None:
        self._config = config
        self._slept_s = 0.0
        self._connections: dict[int, _Connection] = {}
        self._peers: dict[Incarnation, _Peer] = {}
        #: connections without a Hello, and since when, oldest first
        self._strangers: OrderedDict[int, float] = OrderedDict()
        #: connections on which all is said, and since when, oldest first; what they bring is not looked at
        self._parting: OrderedDict[int, float] = OrderedDict()
        #: peers without a connection, lost longest ago first
        self._away: OrderedDict[Incarnation, float] = OrderedDict()
        #: all peers of a role, silent longest first
        self._heard: dict[str, OrderedDict[Incarnation, _Peer]] = {
            role: OrderedDict() for role in ("client", "operator", "worker")
        }
        #: nothing is due before this; it may be too early, never too late
        self._due = math.inf
        #: peers to acknowledge by themselves if nothing else is said to them, due first ones first
        self._unacknowledged: OrderedDict[Incarnation, _Peer] = OrderedDict()
        #: the room that is awaited for each of these, in bytes
        self._awaited: dict[Incarnation, int] = {}

    def direction_of(self, connection: int) -> str:
        """Which messages may come over this connection: the key of a decoder."""
        known = self._connections.get(connection)
        return known.peer.role if known is not None and known.peer is not None else "greeting"

    def room_bytes(self, peer: Incarnation) -> int:
        """How much may be said to a peer before its window is full."""
        known = self._peers.get(peer)
        return known.link.room_bytes if known else 0

    def backlog_bytes(self, peer: Incarnation) -> int:
        """What was said to a peer and is not acknowledged; 0 for one that is gone."""
        known = self._peers.get(peer)
        return known.link.backlog_bytes if known else 0

    def is_settled(self) -> bool:
        """Whether all that was said to peers who are connected has arrived."""
        return not any(peer.link.backlog_bytes for peer in self._peers.values() if peer.connection is not None)

    def handle(self, events: Iterable[AcceptedEvent], now: float) -> list[AcceptedOutput]:
        """What happened since, in order; what to do about it, in order."""
        outputs: list[AcceptedOutput] = []
        for event in events:
            then = now - self._slept_s
            match event:
                case ArrivedFrom(connection, header, frames):
                    outputs += self._arrived(connection, header, frames, then)
                case OutgoingTo(incarnation, message, frames):
                    peer = self._peers.get(incarnation)
                    if peer is not None:
                        outputs += self._transmit(peer, peer.link.send(message, frames))
                case ConnectionOpened():
                    self._connections[event.connection] = _Connection(event)
                    self._strangers[event.connection] = then
                    self._due = min(self._due, then + GREETING_S)
                case ConnectionEnded(connection, reason, refused):
                    outputs += self._ended(connection, reason, then, refused=refused)
                case Garbage(connection, text):
                    outputs += self._garbage(connection, text, then)
                case AwaitRoom(incarnation, room_bytes):
                    if incarnation in self._peers:
                        self._awaited[incarnation] = room_bytes
                case EndLink(incarnation, reason):
                    outputs += self._end_link(incarnation, reason, then)
                case Slept(seconds):
                    self._slept_s += seconds
                case _:
                    assert_never(event)
        then = now - self._slept_s
        if then >= self._due:
            outputs += self._tick(then)
            self._due = self._next_due()
        # before what the core may answer by sending more
        return [*self._find_room(), *outputs] if self._awaited else outputs

    def _find_room(self) -> list[AcceptedOutput]:
        found = [(peer, room) for peer, least in self._awaited.items() if (room := self.room_bytes(peer)) >= least]
        for peer, _ in found:
            del self._awaited[peer]
        return [RoomFound(peer, room) for peer, room in found]

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        return None if self._due == math.inf else self._due + self._slept_s

    def _next_due(self) -> float:
        times = [since + GREETING_S for since in _first(self._strangers)]
        times += [since + PARTING_S for since in _first(self._parting)]
        times += [since + AWAY_S for since in _first(self._away)]
        for role, peers in self._heard.items():
            times += [peer.heard_at + self._config.silence_s[role] for peer in _first(peers)]
        times += [due for peer in _first(self._unacknowledged) if (due := peer.link.next_deadline()) is not None]
        return min(times, default=math.inf)

    # ---- packets

    def _arrived(self, connection: int, header: Header, frames: tuple[Frame, ...], now: float) -> list[AcceptedOutput]:
        known = self._connections.get(connection)
        if known is None:
            return []
        if isinstance(header.message, Hello):
            return self._greeted(connection, known, header.message, now)
        peer = known.peer
        if peer is None:
            return self._garbage(connection, "it speaks before its Hello", now)
        peer.is_met = True
        peer.heard_at = now
        self._heard[peer.role].move_to_end(peer.incarnation)
        deliveries, packets = peer.link.receive(header, frames, now)
        if isinstance(header.message, Heartbeat):
            packets.append(peer.link.heartbeat(self._config.silence_s[peer.role]))
        outputs: list[AcceptedOutput] = []
        for message, behind in deliveries:
            if isinstance(message, Goodbye):
                outputs += self._transmit(peer, [*packets, peer.link.heartbeat()])
                self._part(peer, now)
                return [*outputs, DeliverFrom(peer.incarnation, message, behind), Gone(peer.incarnation, "goodbye")]
            outputs.append(DeliverFrom(peer.incarnation, message, behind))
        if packets:
            return outputs + self._transmit(peer, packets)
        self._note_unacknowledged(peer, now)
        return outputs

    def _note_unacknowledged(self, peer: _Peer, now: float) -> None:
        due = peer.link.next_deadline()
        if due is None:
            return
        self._due = min(self._due, due)
        waiting = self._unacknowledged
        waiting.setdefault(peer.incarnation, peer)
        if due <= now:
            waiting.move_to_end(peer.incarnation, last=False)

    def _transmit(self, peer: _Peer, packets: list[Packet]) -> list[AcceptedOutput]:
        if not packets or peer.connection is None:
            return []
        peer.link.said()
        self._unacknowledged.pop(peer.incarnation, None)
        ack, connection = peer.link.received, peer.connection
        return [TransmitOn(connection, packet.seq, ack, packet.message, packet.frames) for packet in packets]

    # ---- greetings

    def _greeted(self, connection: int, known: _Connection, hello: Hello, now: float) -> list[AcceptedOutput]:
        if known.peer is not None:
            repeated = known.peer.incarnation == hello.incarnation
            return [] if repeated else self._garbage(connection, "a second Hello", now)
        if hello.generation > self._config.generation:
            self._forget_connection(connection)
            cut = CutConnection(connection, "superseded")
            if known.role in MAY_SUPERSEDE:
                return [cut, Superseded(hello.generation)]
            reason = f"it has met a scheduler of generation {hello.generation}, and ours is {self._config.generation}"
            return [Refused(connection, known.name, reason, known.address), cut]
        if not compatible(self._config.versions, hello.versions):
            table = version_table(hello.versions, self._config.versions)
            noted = f"its versions are not ours: {version_differences(hello.versions, self._config.versions)}"
            return self._reject(connection, known, "version", table, now, noted)
        problem = self._problem(known, hello)
        if problem is not None:
            return self._reject(connection, known, *problem, now)
        outputs: list[AcceptedOutput] = []
        peer = self._peers.get(hello.incarnation)
        resumed = peer is not None and peer.is_met and hello.peer == Incarnation(self._config.epoch)
        if peer is not None and peer.connection is not None:
            outputs.append(CutConnection(peer.connection, "replaced by a new connection"))
            self._forget_connection(peer.connection)
        if peer is None or not resumed:
            if peer is not None:
                self._forget_peer(peer)
                outputs.append(Gone(peer.incarnation, "began anew"))
            peer = _Peer(hello.incarnation, hello.role, known.key, self._config.window_bytes)
            self._peers[hello.incarnation] = self._heard[hello.role][hello.incarnation] = peer
        return outputs + self._attach(connection, known, peer, hello, now, resumed=resumed)

    def _attach(
        self, connection: int, known: _Connection, peer: _Peer, hello: Hello, now: float, *, resumed: bool
    ) -> list[AcceptedOutput]:
        self._strangers.pop(connection, None)
        self._away.pop(peer.incarnation, None)
        known.peer = peer
        peer.connection = connection
        peer.heard_at = now
        self._due = min(self._due, now + self._config.silence_s[peer.role])
        self._heard[peer.role].move_to_end(peer.incarnation)
        config = self._config
        answer = Hello(
            "scheduler",
            Incarnation(config.epoch),
            peer.incarnation,
            peer.link.received,
            config.generation,
            config.versions,
            resumed=resumed,
        )
        packets = peer.link.attach(hello.received if resumed else 0)
        outputs: list[AcceptedOutput] = [TransmitOn(connection, 0, 0, answer, ())]
        if not resumed:
            outputs.append(Joined(peer.incarnation, peer.role, hello.name, known.name, known.address))
        return outputs + self._transmit(peer, packets)

    def _problem(self, known: _Connection, hello: Hello) -> tuple[str, str] | None:
        if hello.role not in MAY_ACT_AS.get(known.role, ()):
            return "role", f"a {known.role} key may not act as {hello.role}"
        if incarnation_of(hello.secret) != hello.incarnation:
            return "protocol", f"it does not show that the incarnation {hello.incarnation:016x} is its own"
        peer = self._peers.get(hello.incarnation)
        if peer is not None and (peer.key, peer.role) != (known.key, hello.role):
            return "protocol", "this incarnation belongs to another key or role"
        if peer is None and len(self._peers) >= self._config.most_peers:
            return "full", f"the scheduler serves {len(self._peers)} peers, as many as its descriptors allow"
        return None

    def _reject(
        self, connection: int, known: _Connection, code: str, text: str, now: float, noted: str = ""
    ) -> list[AcceptedOutput]:
        """Tell a peer why, and the log in the same words or in those of `noted`."""
        self._forget_connection(connection)
        self._see_off(connection, now)
        rejected = Rejected(code, text[:LONGEST_TEXT], self._config.versions)
        refused = Refused(connection, known.name, noted or text, known.address)
        return [TransmitOn(connection, 0, 0, rejected, ()), refused]

    # ---- endings

    def _ended(self, connection: int, reason: str, now: float, *, refused: bool) -> list[AcceptedOutput]:
        """A connection is gone; its peer may come back for a while, but not with a key that is refused."""
        known = self._connections.get(connection)
        self._forget_connection(connection)
        self._parting.pop(connection, None)
        outputs: list[AcceptedOutput] = []
        if known is not None and refused:
            outputs.append(Refused(connection, known.name, reason, known.address))
        if known is None or known.peer is None:
            return outputs
        if refused:
            self._forget_peer(known.peer)
            return [*outputs, Gone(known.peer.incarnation, reason)]
        self._away[known.peer.incarnation] = now
        self._due = min(self._due, now + AWAY_S)
        return outputs

    def _garbage(self, connection: int, text: str, now: float) -> list[AcceptedOutput]:
        known = self._connections.get(connection)
        if known is None:
            return []
        if known.peer is None:
            self._forget_connection(connection)
            return [Refused(connection, known.name, text, known.address), CutConnection(connection, text)]
        self._forget_peer(known.peer)
        return [*self._reject(connection, known, "protocol", text, now), Gone(known.peer.incarnation, text)]

    def _end_link(self, incarnation: Incarnation, reason: str, now: float) -> list[AcceptedOutput]:
        peer = self._peers.get(incarnation)
        if peer is None:
            return []
        connection = peer.connection
        if connection is None or not reason:
            self._part(peer, now)
            return []
        known = self._connections[connection]
        self._forget_peer(peer)
        return self._reject(connection, known, "protocol", reason, now)

    def _part(self, peer: _Peer, now: float) -> None:
        if peer.connection is not None:
            self._see_off(peer.connection, now)
        self._forget_peer(peer)

    def _see_off(self, connection: int, now: float) -> None:
        self._parting[connection] = now
        self._due = min(self._due, now + PARTING_S)

    def _forget_connection(self, connection: int) -> None:
        known = self._connections.pop(connection, None)
        self._strangers.pop(connection, None)
        if known is not None and known.peer is not None:
            known.peer.connection = None
            known.peer.link.detach()
            self._unacknowledged.pop(known.peer.incarnation, None)

    def _forget_peer(self, peer: _Peer) -> None:
        if peer.connection is not None:
            self._forget_connection(peer.connection)
        self._peers.pop(peer.incarnation, None)
        self._awaited.pop(peer.incarnation, None)
        self._heard[peer.role].pop(peer.incarnation, None)
        self._away.pop(peer.incarnation, None)
        self._unacknowledged.pop(peer.incarnation, None)

    # ---- time

    def _tick(self, now: float) -> list[AcceptedOutput]:
        outputs: list[AcceptedOutput] = []
        for connection in _due(self._strangers, now - GREETING_S):
            outputs += self._garbage(connection, f"no Hello in {GREETING_S:g} s", now)
        for connection in _due(self._parting, now - PARTING_S):
            del self._parting[connection]
            outputs.append(CutConnection(connection, "it did not close"))
        for incarnation in _due(self._away, now - AWAY_S):
            self._forget_peer(self._peers[incarnation])
            outputs.append(Gone(incarnation, "its connection closed"))
        for role, peers in self._heard.items():
            outputs += self._tick_silent(role, peers, now)
        return outputs + self._tick_unacknowledged(now)

    def _tick_unacknowledged(self, now: float) -> list[AcceptedOutput]:
        outputs: list[AcceptedOutput] = []
        while self._unacknowledged:
            peer = next(iter(self._unacknowledged.values()))
            due = peer.link.next_deadline()
            if due is not None and due > now:
                break
            outputs += self._transmit(peer, [peer.link.heartbeat()])
        return outputs

    def _tick_silent(self, role: str, peers: OrderedDict[Incarnation, _Peer], now: float) -> list[AcceptedOutput]:
        outputs: list[AcceptedOutput] = []
        limit = self._config.silence_s[role]
        while peers:
            peer = next(iter(peers.values()))
            if peer.heard_at + limit > now:
                break
            if peer.connection is not None:
                outputs.append(CutConnection(peer.connection, "silent"))
            self._forget_peer(peer)
            outputs.append(Gone(peer.incarnation, f"silent for {limit:g} s"))
        return outputs


def _first(entries: Mapping[Any, T]) -> list[T]:
    for value in entries.values():
        return [value]
    return []


def _due(entries: Mapping[Any, float], until: float) -> list[Any]:
    due = []
    for key, since in entries.items():
        if since > until:
            break
        due.append(key)
    return due
