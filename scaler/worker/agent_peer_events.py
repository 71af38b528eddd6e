"""What the agent asks for and is told of other clusters, which give each other pieces of objects."""

from msgspec import Struct

from scaler.protocol import Door, FetchChunks, PeerPass, ToPeer
from scaler.protocol.columns import Frame

# ---- events


class PeerAsked(Struct, frozen=True):
    """A cluster that has come to our door, by this connection, wants pieces; any number of `AnswerPeer` answer it."""

    connection: int
    wanted: FetchChunks


class PeerLeft(Struct, frozen=True):
    """It has gone, and waits for nothing."""

    connection: int


class PeerSaid(Struct, frozen=True):
    """The cluster behind a door has answered."""

    door: Door
    message: ToPeer
    frames: tuple[Frame, ...] = ()


class PeerGone(Struct, frozen=True):
    """Nobody answers behind a door, or not any more: what was asked for there will not come."""

    door: Door


PeerEvent = PeerAsked | PeerLeft | PeerSaid | PeerGone

# ---- commands


class AskPeer(Struct, frozen=True):
    """Ask at a door; answered by `PeerSaid`, for each piece, or by `PeerGone`."""

    door: Door
    wanted: FetchChunks


class AnswerPeer(Struct, frozen=True):
    """Tell a cluster that has come to our door, if it is still there."""

    connection: int
    message: ToPeer
    frames: tuple[Frame, ...] = ()


class UsePass(Struct, frozen=True):
    """Show this at other doors, and let in nobody else at ours."""

    shown: PeerPass


PeerCommand = AskPeer | AnswerPeer | UsePass
