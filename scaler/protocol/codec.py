"""Headers to bytes and back: one MessagePack array of sequence number, acknowledgement and message.

Whatever a peer sends, decoding raises `ProtocolError` and nothing else. A decoder knows one direction and role, so a
message its role may not send is refused here, before anybody looks at it.
"""

import typing

import msgspec
from msgspec import Struct

from scaler.errors import ProtocolError
from scaler.protocol import FromClient, FromCluster, Message, ToClient, ToCluster
from scaler.protocol.columns import Frame
from scaler.protocol.connection import ConnectionMessage, Heartbeat, Hello, Rejected, ResendFrom
from scaler.protocol.options import Failure

MAX_HEADER_BYTES = 1 << 20
MAX_FRAMES = 4096
#: what a header costs, roughly, when the window of a link is counted
HEADER_BYTES = 64
Sendable = Message | ConnectionMessage


class Header(Struct, array_like=True):
    """The first frame of every message: `seq` is 0 for those of the connection itself, `ack` the last seq received."""

    seq: int
    ack: int
    message: typing.Any  # Any: narrowed by the decoder of the direction


class _FromClient(Struct, array_like=True):
    seq: int
    ack: int
    message: FromClient | Hello | Heartbeat | ResendFrom


class _FromCluster(Struct, array_like=True):
    seq: int
    ack: int
    message: FromCluster | Hello | Heartbeat | ResendFrom


class _Greeting(Struct, array_like=True):
    seq: int
    ack: int
    message: Hello


class _ToClient(Struct, array_like=True):
    seq: int
    ack: int
    message: ToClient | Hello | Heartbeat | ResendFrom | Rejected


class _ToCluster(Struct, array_like=True):
    seq: int
    ack: int
    message: ToCluster | Hello | Heartbeat | ResendFrom | Rejected


#: who is speaking, to the layout of what it may say; "greeting" is anybody before its Hello
DIRECTIONS: dict[str, type[Struct]] = {
    "greeting": _Greeting,
    "client": _FromClient,
    "operator": _FromClient,
    "worker": _FromCluster,
    "to-client": _ToClient,
    "to-worker": _ToCluster,
}

#: the types whose sequence number is 0, and no others have that
UNSEQUENCED = frozenset(typing.get_args(ConnectionMessage))

_encoder = msgspec.msgpack.Encoder()


def encode(seq: int, ack: int, message: Sendable) -> bytes:
    """The header frame of a message; one beyond the limit is an error of ours, since its sender has to cut it."""
    frame = _encoder.encode((seq, ack, message))
    if len(frame) > MAX_HEADER_BYTES:
        raise ValueError(f"a {type(message).__name__} of {len(frame)} bytes is no header: send it in parts")
    return frame


class Decoder:
    """Reads the headers of one direction; see `DIRECTIONS`."""

    def __init__(self, direction: str) -> None:
        self._decode = msgspec.msgpack.Decoder(DIRECTIONS[direction]).decode
        self._direction = direction

    def decode(self, frame: Frame, frames: int = 0) -> Header:
        """The header in `frame`, of a message with `frames` more frames behind it."""
        if len(frame) > MAX_HEADER_BYTES or frames > MAX_FRAMES:
            raise ProtocolError(f"a message of a {len(frame)} byte header and {frames} frames is too large")
        try:
            header = self._decode(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, TypeError) as error:
            raise ProtocolError(f"no message that {self._direction} may send: {error}") from None
        found = typing.cast("Header", header)
        if found.seq < 0 or found.ack < 0 or (found.seq == 0) is not (type(found.message) in UNSEQUENCED):
            raise ProtocolError(f"sequence numbers {found.seq}, {found.ack} with a {type(found.message).__name__}")
        return found


_failure_decoder = msgspec.msgpack.Decoder(Failure)


def encode_failure(failure: Failure) -> bytes:
    """A failure as the value of a task whose status is FAILED."""
    return _encoder.encode(failure)


def decode_failure(data: Frame) -> Failure:
    """The failure in the value of a task whose status is FAILED."""
    try:
        return _failure_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError(f"no failure: {error}") from None
