"""What simulated clusters say to each other: in order on each connection, until that breaks or its other end is gone.

Some pairs of hosts cannot reach each other at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from scaler.protocol import Door, ObjectChunk
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame
from scaler.worker.agent_peer_events import (
    AnswerPeer,
    AskPeer,
    PeerAsked,
    PeerCommand,
    PeerEvent,
    PeerGone,
    PeerLeft,
    PeerSaid,
    UsePass,
)
from tests.simulation.clock import Clock
from tests.simulation.network import REFUSED_S, UNANSWERED_S, Network

#: where all connections come from, and what is shown at every door
HOST, KEY = "10.0.0.1", "k" * 40
#: a message takes at most so long
SLOWEST_S = 0.002
#: a connection breaks at one of so many messages
BREAKS_EVERY = 150
#: one of so many pairs of hosts cannot reach each other
APART_EVERY = 5
_ZEROS = memoryview(bytes(MAX_FRAME_BYTES))


@dataclass(slots=True, eq=False)
class _Connection:
    """From one cluster to the door of another."""

    number: int
    door: Door
    asker: "SimPeers"
    owner: "SimPeers"
    is_open: bool = True
    #: when the last message on its way arrives: [to the owner, to the asker]
    busy: list[float] = field(default_factory=lambda: [0.0, 0.0])


class Streets:
    """All doors of one history, and what is said between them."""

    def __init__(self, clock: Clock, network: Network, chance: Random) -> None:
        self.clock = clock
        self.network = network
        self.chance = chance
        self.doors: dict[Door, SimPeers] = {}
        #: which hosts cannot reach each other follows from it
        self.salt = chance.getrandbits(32)
        self._ports = 0
        self._connections = 0

    def new_port(self) -> int:
        """The port of a door of its own."""
        self._ports += 1
        return self._ports

    def next_number(self) -> int:
        """The number of a new connection."""
        self._connections += 1
        return self._connections


class SimPeers:
    """The end of one cluster; `tell` has what it hears taken in at its next turn."""

    def __init__(self, streets: Streets, host: str, port: int, tell: Callable[[list[PeerEvent]], None]) -> None:
        self._streets = streets
        self._host = host
        self._tell = tell
        self._is_dead = False
        self._asked: dict[Door, _Connection] = {}
        self._asking: dict[int, _Connection] = {}
        self._has_pass = False
        streets.doors[Door(f"tcp://{HOST}:{port}", KEY)] = self

    def perform(self, command: PeerCommand) -> list[PeerEvent]:
        """Do what the agent asks; what is answered in the same turn."""
        match command:
            case AskPeer(door, wanted):
                assert self._has_pass, "it has no pass"
                connection = self._asked.get(door) or self._connect(door)
                if connection is None:
                    self._streets.clock.after(REFUSED_S, lambda: self._hear([PeerGone(door)]))
                else:
                    self._carry(connection, PeerAsked(connection.number, wanted), up=True)
            case AnswerPeer(number, message, frames):
                connection = self._asking.get(number)
                if connection is not None:
                    answer = PeerSaid(connection.door, message, _sized(message, frames))
                    self._carry(connection, answer, up=False)
            case UsePass():
                self._has_pass = True
        return []

    def _connect(self, door: Door) -> _Connection | None:
        owner = self._streets.doors[door]
        if owner._is_dead or self._is_apart_from(owner):
            return None
        connection = _Connection(self._streets.next_number(), door, self, owner)
        self._asked[door] = owner._asking[connection.number] = connection
        return connection

    def _is_apart_from(self, other: "SimPeers") -> bool:
        pair = "".join(sorted((self._host, other._host))).encode()
        return crc32(pair + b"%d" % self._streets.salt) % APART_EVERY == 0

    def _carry(self, connection: _Connection, event: PeerEvent, *, up: bool) -> None:
        streets = self._streets
        silent = [end for end in (connection.asker, connection.owner) if streets.network.is_silent(end._host)]
        if silent:
            streets.clock.after(UNANSWERED_S, lambda: self._break(connection))
            return
        if streets.chance.randrange(BREAKS_EVERY) == 0:
            self._break(connection)
            return
        due = streets.clock.now + streets.chance.random() * SLOWEST_S
        due = connection.busy[up] = max(due, connection.busy[up])
        end = connection.owner if up else connection.asker
        streets.clock.at(due, lambda: end._hear([event]) if connection.is_open else None)

    def _break(self, connection: _Connection) -> None:
        if not connection.is_open:
            return
        connection.is_open = False
        asker, owner = connection.asker, connection.owner
        del asker._asked[connection.door]
        del owner._asking[connection.number]
        asker._hear([PeerGone(connection.door)])
        owner._hear([PeerLeft(connection.number)])

    def _hear(self, events: list[PeerEvent]) -> None:
        if not self._is_dead:
            self._tell(events)

    def die(self) -> None:
        """Its process is gone."""
        self._is_dead = True
        for connection in [*self._asked.values(), *self._asking.values()]:
            self._break(connection)


def _sized(message: object, frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """What is in a piece is never looked at; how large it is, is."""
    if not isinstance(message, ObjectChunk):
        return frames
    return (_ZEROS[: message.size_bytes - message.n * MAX_FRAME_BYTES],)
