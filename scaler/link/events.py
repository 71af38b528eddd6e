"""What the two ends of a link are told and what they ask for."""

from msgspec import Struct

from scaler.errors import ScalerError
from scaler.ids import Epoch, Incarnation
from scaler.protocol.codec import Header, Sendable
from scaler.protocol.columns import Frame

# ---- told to the dialling end


class Connected(Struct, frozen=True):
    """The connection that `Dial` asked for stands, and its handshake is done."""


class ConnectionLost(Struct, frozen=True):
    """The connection ended or never stood; `refused`: the other side did not accept our key."""

    reason: str
    refused: bool = False


class PacketArrived(Struct, frozen=True):
    """A message came over the connection."""

    header: Header
    frames: tuple[Frame, ...]


class Outgoing(Struct, frozen=True):
    """The core has something to say."""

    message: Sendable
    frames: tuple[Frame, ...] = ()


class Slept(Struct, frozen=True):
    """The process stood still this long: all deadlines move."""

    seconds: float


DialledEvent = Connected | ConnectionLost | PacketArrived | Outgoing | Slept

# ---- asked for by the dialling end


class Dial(Struct, frozen=True):
    """Open a connection; answered by `Connected` or `ConnectionLost`."""


class HangUp(Struct, frozen=True):
    """Close the connection; no event follows."""

    reason: str


class Transmit(Struct, frozen=True):
    """Put a message on the connection."""

    seq: int
    ack: int
    message: Sendable
    frames: tuple[Frame, ...]


class LinkUp(Struct, frozen=True):
    """A link to this scheduler stands: the same as before, or a new one on which everything must be said anew."""

    epoch: Epoch
    resumed: bool


class LinkDown(Struct, frozen=True):
    """The connection is lost and is dialled again."""

    reason: str


class Deliver(Struct, frozen=True):
    """A message for the core."""

    message: Sendable
    frames: tuple[Frame, ...]


class Advised(Struct, frozen=True):
    """Whoever set this process up should know this."""

    text: str


class GaveUp(Struct, frozen=True):
    """There will be no link any more."""

    error: ScalerError


DialledOutput = Dial | HangUp | Transmit | LinkUp | LinkDown | Deliver | Advised | GaveUp

# ---- told to the accepting end


class ConnectionOpened(Struct, frozen=True):
    """Somebody connected; the role, name and key its handshake proved ("anyone" where nothing needs proof).

    `address` says for people where it comes from.
    """

    connection: int
    role: str
    name: str
    key: str
    address: str = ""


class ArrivedFrom(Struct, frozen=True):
    """A message came over a connection."""

    connection: int
    header: Header
    frames: tuple[Frame, ...]


class ConnectionEnded(Struct, frozen=True):
    """A connection was closed by the other side, or broke; `refused`: by us, and nobody may come back with its key."""

    connection: int
    reason: str
    refused: bool = False


class Garbage(Struct, frozen=True):
    """What came over a connection is no message, or not one its role may send."""

    connection: int
    text: str


class OutgoingTo(Struct, frozen=True):
    """The core has something to say to a peer."""

    peer: Incarnation
    message: Sendable
    frames: tuple[Frame, ...] = ()


class AwaitRoom(Struct, frozen=True):
    """The core wants to know when so many bytes may be said to a peer; nothing follows if its link ends before."""

    peer: Incarnation
    room_bytes: int


class EndLink(Struct, frozen=True):
    """The core wants nothing more to do with a peer: it is told the reason, or, where that is "", ends in peace."""

    peer: Incarnation
    reason: str


AcceptedEvent = ConnectionOpened | ArrivedFrom | ConnectionEnded | Garbage | OutgoingTo | AwaitRoom | EndLink | Slept

# ---- asked for by the accepting end


class TransmitOn(Struct, frozen=True):
    """Put a message on a connection."""

    connection: int
    seq: int
    ack: int
    message: Sendable
    frames: tuple[Frame, ...]


class CutConnection(Struct, frozen=True):
    """Close a connection at once; no event follows."""

    connection: int
    reason: str


class Joined(Struct, frozen=True):
    """A new link to this incarnation stands."""

    peer: Incarnation
    role: str
    name: str
    key_name: str
    address: str = ""


class RoomFound(Struct, frozen=True):
    """So many bytes may be said to a peer before its window is full; answers `AwaitRoom`, and is no less than that."""

    peer: Incarnation
    room_bytes: int


class Gone(Struct, frozen=True):
    """The link to this incarnation has ended for good."""

    peer: Incarnation
    reason: str


class DeliverFrom(Struct, frozen=True):
    """A message of a peer for the core."""

    peer: Incarnation
    message: Sendable
    frames: tuple[Frame, ...]


class Refused(Struct, frozen=True):
    """A connection was turned away: one line for the log, with the name of its key and where it comes from."""

    connection: int
    name: str
    reason: str
    address: str = ""


class Superseded(Struct, frozen=True):
    """A peer has met a scheduler of this higher generation: it alone is obeyed, and we end."""

    generation: int


AcceptedOutput = TransmitOn | CutConnection | Joined | RoomFound | Gone | DeliverFrom | Refused | Superseded
