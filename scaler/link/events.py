"""What the two ends of a link are told and what they ask for."""

from dataclasses import dataclass

from scaler.errors import ScalerError
from scaler.ids import Epoch, Incarnation
from scaler.protocol.codec import Header, Sendable
from scaler.protocol.columns import Frame

# ---- told to the dialling end


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection that `Dial` asked for stands, and its handshake is done."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection ended or never stood; `refused`: the other side did not accept our key."""

    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class PacketArrived:
    """A message came over the connection."""

    header: Header
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The core has something to say."""

    message: Sendable
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Slept:
    """The process stood still this long: all deadlines move."""

    seconds: float


DialledEvent = Connected | ConnectionLost | PacketArrived | Outgoing | Slept

# ---- asked for by the dialling end


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection; answered by `Connected` or `ConnectionLost`."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection; no event follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put a message on the connection."""

    seq: int
    ack: int
    message: Sendable
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link to this scheduler stands: the same as before, or a new one on which everything must be said anew."""

    epoch: Epoch
    resumed: bool


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is lost and is dialled again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message for the core."""

    message: Sendable
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class GaveUp:
    """There will be no link any more."""

    error: ScalerError


DialledOutput = Dial | HangUp | Transmit | LinkUp | LinkDown | Deliver | GaveUp

# ---- told to the accepting end


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """Somebody connected; the role, name and key its handshake proved ("anyone" where nothing needs proof)."""

    connection: int
    role: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ArrivedFrom:
    """A message came over a connection."""

    connection: int
    header: Header
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """A connection was closed by the other side, or broke."""

    connection: int
    reason: str


@dataclass(frozen=True, slots=True)
class Garbage:
    """What came over a connection is no message, or not one its role may send."""

    connection: int
    text: str


@dataclass(frozen=True, slots=True)
class OutgoingTo:
    """The core has something to say to a peer."""

    peer: Incarnation
    message: Sendable
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class EndLink:
    """The core wants nothing more to do with a peer: it is told the reason, or, where that is "", ends in peace."""

    peer: Incarnation
    reason: str


AcceptedEvent = ConnectionOpened | ArrivedFrom | ConnectionEnded | Garbage | OutgoingTo | EndLink | Slept

# ---- asked for by the accepting end


@dataclass(frozen=True, slots=True)
class TransmitOn:
    """Put a message on a connection."""

    connection: int
    seq: int
    ack: int
    message: Sendable
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class CutConnection:
    """Close a connection at once; no event follows."""

    connection: int
    reason: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A new link to this incarnation stands."""

    peer: Incarnation
    role: str
    name: str
    key_name: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The link to this incarnation has ended for good."""

    peer: Incarnation
    reason: str


@dataclass(frozen=True, slots=True)
class DeliverFrom:
    """A message of a peer for the core."""

    peer: Incarnation
    message: Sendable
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection was turned away: one line for the log."""

    connection: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """A peer has met a scheduler of this higher generation: it alone is obeyed, and we end."""

    generation: int


AcceptedOutput = TransmitOn | CutConnection | Joined | Gone | DeliverFrom | Refused | Superseded
