"""What the scheduler core is told and what it asks for: its whole contact with the world.

The link has done its work below: a core sees each message of a peer once and in order, then one `PeerLost`.
"""

from msgspec import Struct

from scaler.ids import Incarnation
from scaler.protocol import FromScheduler, ToScheduler
from scaler.protocol.columns import Frame


class PeerJoined(Struct, frozen=True):
    """A new link to this incarnation stands; nothing of an earlier one with it is known any more.

    `role` is "client", "worker" or "operator"; `key_name` the name its key is authorised under; `address` the host and
    port it has called from, where there are such.
    """

    peer: Incarnation
    role: str
    name: str = ""
    key_name: str = ""
    address: str = ""


class PeerLost(Struct, frozen=True):
    """The peer died, left, or was given up; `reason` is for the log."""

    peer: Incarnation
    reason: str = ""


class Received(Struct, frozen=True):
    """A message of a peer, with the frames behind its header."""

    peer: Incarnation
    message: ToScheduler
    frames: tuple[Frame, ...] = ()


class RoomFound(Struct, frozen=True):
    """So many bytes may be sent to a peer at once; answers `AwaitRoom`, and is no less than that asked for."""

    peer: Incarnation
    room_bytes: int


class Slept(Struct, frozen=True):
    """The shell woke this much later than it asked for: every deadline is shifted by it."""

    seconds: float


class PassMade(Struct, frozen=True):
    """A key pair for clusters to show at each other's doors; the one before is good no more."""

    public: str
    secret: str


class WatchersChanged(Struct, frozen=True):
    """Whether anybody reads the monitor stream; span events are made only while so."""

    watched: bool


class StopAsked(Struct, frozen=True):
    """The process was told to end: peers are told, then the shell may go."""

    reason: str


Event = PeerJoined | PeerLost | Received | RoomFound | Slept | PassMade | WatchersChanged | StopAsked


class Send(Struct, frozen=True):
    """Give a message to the link of a peer."""

    peer: Incarnation
    message: FromScheduler
    frames: tuple[Frame, ...] = ()


class AwaitRoom(Struct, frozen=True):
    """Tell by one `RoomFound` when so many bytes may be sent to a peer; nothing follows if it is lost before."""

    peer: Incarnation
    room_bytes: int


class CutOff(Struct, frozen=True):
    """End the connection and link of a peer that broke the rules, or said goodbye; it is followed by no `PeerLost`."""

    peer: Incarnation
    reason: str


class Note(Struct, frozen=True):
    """A fact for the log: `level` as in logging, `fields` in the order to print."""

    level: str
    text: str
    fields: tuple[tuple[str, str | int | float], ...] = ()


class Publish(Struct, frozen=True):
    """Span events for the monitor stream, only while somebody listens: (batch owner, n, lo, hi, from, to, cluster)."""

    spans: tuple[tuple[int, int, int, int, str, str, int], ...] = ()


class Stop(Struct, frozen=True):
    """Nothing is left to do: the shell flushes its links and ends."""

    reason: str


Command = Send | AwaitRoom | CutOff | Note | Publish | Stop
