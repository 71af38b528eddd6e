"""What the scheduler core is told and what it asks for: its whole contact with the world.

The link has done its work below: a core sees each message of a peer once and in order, then one `PeerLost`.
"""

from dataclasses import dataclass, field

from scaler.ids import Incarnation
from scaler.protocol import FromScheduler, ToScheduler
from scaler.protocol.columns import Frame


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A new link to this incarnation stands; nothing of an earlier one with it is known any more.

    `role` is "client", "worker" or "operator"; `key_name` the name its key is authorised under.
    """

    peer: Incarnation
    role: str
    name: str = ""
    key_name: str = ""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The peer died, left, or was given up; `reason` is for the log."""

    peer: Incarnation
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of a peer, with the frames behind its header."""

    peer: Incarnation
    message: ToScheduler
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Slept:
    """The shell woke this much later than it asked for: every deadline is shifted by it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WatchersChanged:
    """Whether anybody reads the monitor stream; span events are made only while so."""

    watched: bool


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The process was told to end: peers are told, then the shell may go."""

    reason: str


Event = PeerJoined | PeerLost | Received | Slept | WatchersChanged | StopAsked


@dataclass(frozen=True, slots=True)
class Send:
    """Give a message to the link of a peer."""

    peer: Incarnation
    message: FromScheduler
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class CutOff:
    """End the connection and link of a peer that broke the rules, or said goodbye; it is followed by no `PeerLost`."""

    peer: Incarnation
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A fact for the log: `level` as in logging, `fields` in the order to print."""

    level: str
    text: str
    fields: tuple[tuple[str, str | int | float], ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Span events for the monitor stream, only while somebody listens: (batch owner, n, lo, hi, from, to, cluster)."""

    spans: tuple[tuple[int, int, int, int, str, str, int], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is left to do: the shell flushes its links and ends."""

    reason: str


Command = Send | CutOff | Note | Publish | Stop
