"""What stands for a value that lies in the store of some host: its name, its size, and where its file is.

A record begins with a byte that no value does, since pickles begin with 128.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from scaler.errors import ProtocolError
from scaler.ids import Natural, ObjectId
from scaler.protocol.columns import Frame

_MARK = b"\x00"
#: no path of a file is longer
_LONGEST_PATH = 4096
#: nor is any token
_LONGEST_TOKEN = 4096


class Reference(Struct, frozen=True, array_like=True):
    """A value of `size_bytes`, in a file of this path on the hosts where `token` is found beside it."""

    object: ObjectId
    size_bytes: Natural
    path: Annotated[str, Meta(max_length=_LONGEST_PATH)]
    token: Annotated[bytes, Meta(max_length=_LONGEST_TOKEN)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Reference)


def record_of(reference: Reference) -> bytes:
    """A reference in bytes."""
    return _MARK + _encoder.encode(reference)


def is_record(frame: Frame) -> bool:
    """Whether these bytes stand for a value that lies elsewhere."""
    return len(frame) > 0 and frame[0] == _MARK[0]


def read_record(frame: Frame) -> Reference:
    """The reference in the bytes; `ProtocolError` if there is none."""
    if not is_record(frame):
        raise ProtocolError(f"{len(frame)} bytes are no reference to an object")
    try:
        reference = _decoder.decode(frame[1:])
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"{len(frame)} bytes are no reference to an object: {error}") from error
    if not reference.size_bytes:
        raise ProtocolError(f"{reference.path} has no bytes: that is no object")
    return reference
