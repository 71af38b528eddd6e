"""Headers to bytes and back: each a MessagePack array of sequence number, acknowledgement, message and small frames.

What goes to one peer in one turn is laid together: a ZeroMQ frame holds an array of headers, since each frame costs a
system call, a wake-up and an encryption of its own. Only a header that is alone may have frames behind it.
Whatever a peer sends, decoding raises `ProtocolError` and nothing else. A decoder knows one direction and role, so a
message its role may not send is refused here, before anybody looks at it.
"""

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Meta, Struct

from scaler.errors import ProtocolError
from scaler.protocol import (
    ChildLinked,
    FromClient,
    FromCluster,
    FromPeer,
    Message,
    ToChild,
    ToClient,
    ToCluster,
    ToPeer,
)
from scaler.protocol.columns import Frame
from scaler.protocol.connection import ConnectionMessage, Heartbeat, Hello, Rejected, ResendFrom
from scaler.protocol.options import Failure

MAX_HEADER_BYTES = 1 << 20
#: a value or call of `columns.MAX_VALUE_BYTES`, and what goes with it
MAX_FRAMES = 4096
#: the same for a cluster, which is told of a call and of all its inputs at once
MAX_CALL_FRAMES = 2 * MAX_FRAMES
#: what a header costs, roughly, when the window of a link is counted
HEADER_BYTES = 64
#: frames of a message that are no larger together travel inside its header
INLINE_BYTES = 4 << 10
#: neighbours share a frame up to this size and number
BUNDLE_BYTES = 64 << 10
MAX_BUNDLED = 1024
#: what is wrong with a message may quote all of it, and goes into logs
LONGEST_FAULT = 300
Sendable = Message | ChildLinked | ConnectionMessage


class Header(Struct, array_like=True):
    """One message: `seq` is 0 for those of the connection itself, `ack` the last seq received, `frames` what is behind.

    Small frames travel inside; those of a large message follow as frames of their own and are put here when decoded.
    """

    seq: int
    ack: int
    message: typing.Any  # Any: narrowed by the decoder of the direction
    frames: tuple[Frame, ...] = ()


class _FromClient(Struct, array_like=True):
    seq: int
    ack: int
    message: FromClient | Hello | Heartbeat | ResendFrom
    frames: tuple[bytes, ...] = ()


class _FromCluster(Struct, array_like=True):
    seq: int
    ack: int
    message: FromCluster | Hello | Heartbeat | ResendFrom
    frames: tuple[bytes, ...] = ()


class _Greeting(Struct, array_like=True):
    seq: int
    ack: int
    message: Hello
    frames: tuple[bytes, ...] = ()


class _ToClient(Struct, array_like=True):
    seq: int
    ack: int
    message: ToClient | Hello | Heartbeat | ResendFrom | Rejected
    frames: tuple[bytes, ...] = ()


class _ToCluster(Struct, array_like=True):
    seq: int
    ack: int
    message: ToCluster | Hello | Heartbeat | ResendFrom | Rejected
    frames: tuple[bytes, ...] = ()


class _FromChild(Struct, array_like=True):
    seq: int
    ack: int
    message: FromClient
    frames: tuple[bytes, ...] = ()


class _ToChild(Struct, array_like=True):
    seq: int
    ack: int
    message: ToChild
    frames: tuple[bytes, ...] = ()


class _FromPeer(Struct, array_like=True):
    seq: int
    ack: int
    message: FromPeer
    frames: tuple[bytes, ...] = ()


class _ToPeer(Struct, array_like=True):
    seq: int
    ack: int
    message: ToPeer
    frames: tuple[bytes, ...] = ()


#: who is speaking, to the layout of what it may say; "greeting" is anybody before its Hello
DIRECTIONS: dict[str, type[Struct]] = {
    "greeting": _Greeting,
    "client": _FromClient,
    "operator": _FromClient,
    "worker": _FromCluster,
    "to-client": _ToClient,
    "to-worker": _ToCluster,
    "child": _FromChild,
    "to-child": _ToChild,
    "peer": _FromPeer,
    "to-peer": _ToPeer,
}

#: the types whose sequence number is 0, and no others have that
UNSEQUENCED = frozenset(typing.get_args(ConnectionMessage))

_encoder = msgspec.msgpack.Encoder()


class Packed(typing.Protocol):
    """Whatever has the four parts of a header."""

    @property
    def seq(self) -> int: ...
    @property
    def ack(self) -> int: ...
    @property
    def message(self) -> Sendable: ...
    @property
    def frames(self) -> tuple[Frame, ...]: ...


@dataclass(frozen=True, slots=True)
class Unlinked:
    """A message where no link lies below: nothing is acknowledged."""

    message: Sendable
    frames: tuple[Frame, ...] = ()
    seq: int = 1
    ack: int = 0


def encode(seq: int, ack: int, message: Sendable, inline: tuple[Frame, ...] = ()) -> bytes:
    """One header; one beyond the limit is an error of ours, since its sender has to cut it."""
    header = _encoder.encode((seq, ack, message, inline) if inline else (seq, ack, message))
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"a {type(message).__name__} of {len(header)} bytes is no header: send it in parts")
    return header


def pack(packets: Iterable[Packed]) -> list[list[Frame]]:
    """What to put on the wire for these, in order: neighbours that are small share one frame."""
    packed: list[list[Frame]] = []
    together: list[bytes] = []
    size = 0
    for packet in packets:
        frames = packet.frames
        is_small = not frames or sum(map(len, frames)) <= INLINE_BYTES
        header = encode(packet.seq, packet.ack, packet.message, frames if is_small else ())
        if together and (size + len(header) > BUNDLE_BYTES or len(together) == MAX_BUNDLED or not is_small):
            packed.append([bundle(together)])
            together, size = [], 0
        if is_small:
            together.append(header)
            size += len(header)
        else:
            packed.append([bundle([header]), *frames])
    if together:
        packed.append([bundle(together)])
    return packed


def bundle(headers: Sequence[bytes]) -> bytes:
    """Headers laid end to end as one MessagePack array."""
    count = len(headers)
    start = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return start + (headers[0] if count == 1 else b"".join(headers))


class Decoder:
    """Reads the headers of one direction; see `DIRECTIONS`."""

    def __init__(self, direction: str) -> None:
        layout: typing.Any = DIRECTIONS[direction]  # Any: a type, chosen here
        bundled = typing.Annotated[list[layout], Meta(min_length=1, max_length=MAX_BUNDLED)]
        self._decode = msgspec.msgpack.Decoder(bundled).decode
        self._direction = direction
        self._most_frames = MAX_CALL_FRAMES if direction == "to-worker" else MAX_FRAMES

    def decode(self, frames: Sequence[Frame]) -> list[Header]:
        """The messages that came together, each with its frames."""
        first = frames[0]
        if len(first) > MAX_HEADER_BYTES or len(frames) - 1 > self._most_frames:
            raise ProtocolError(f"a message of a {len(first)} byte header and {len(frames) - 1} frames is too large")
        try:
            headers = typing.cast("list[Header]", self._decode(first))
        except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, TypeError) as error:
            text = str(error)[:LONGEST_FAULT]
            raise ProtocolError(f"no message that {self._direction} may send: {text}") from None
        for header in headers:
            if header.seq < 0 or header.ack < 0 or (header.seq == 0) is not (type(header.message) in UNSEQUENCED):
                name = type(header.message).__name__
                raise ProtocolError(f"sequence numbers {header.seq}, {header.ack} with a {name}")
        if len(frames) > 1:
            if len(headers) > 1 or headers[0].frames:
                raise ProtocolError(f"{len(frames) - 1} frames behind {len(headers)} headers belong to none of them")
            headers[0].frames = tuple(frames[1:])
        return headers


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
