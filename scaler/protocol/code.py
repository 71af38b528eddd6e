"""The code a function came with: which of its client's own modules it may need, each by name and content.

It stands before the pickled function, in the same frames, so that it is part of what the function is named by. The
modules themselves travel once for each content, as archives named like functions.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from scaler.ids import FunctionId
from scaler.protocol.columns import Frame
from scaler.protocol.connection import Label

#: a function without code begins as pickles do, with another byte
_MARK = b"\x01scaler-code\x00"
_LENGTH_BYTES = 4
#: how files are called that have archives, behind their ids
ARCHIVE_SUFFIX = ".archive"
#: so many modules of its own a client may have
MOST_ROOTS = 1000

#: Outermost modules and packages, sorted by name, and the names of their archives.
Code = tuple[tuple[str, FunctionId], ...]
NO_CODE: Code = ()
#: A name that no module has: it keeps functions whose modules came along from those that want the workers' own.
WHOSE = ""
SHIPPED, WORKERS_OWN = FunctionId(b"\xff" * 16), FunctionId(bytes(16))
#: What functions come with whose client sends no code.
OWN_CODE: Code = ((WHOSE, WORKERS_OWN),)

_Id = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Annotated[tuple[tuple[Label, _Id], ...], msgspec.Meta(max_length=MOST_ROOTS)])


def with_code(code: Code, pickled: bytes) -> bytes:
    """A pickled function behind the code it came with."""
    if not code:
        return pickled
    head = _encoder.encode(code)
    return b"".join((_MARK, len(head).to_bytes(_LENGTH_BYTES, "little"), head, pickled))


def split_code(data: Frame) -> tuple[Code, Frame]:
    """The code and the rest of such bytes; what is nothing of this kind has none, and is the rest."""
    start = len(_MARK) + _LENGTH_BYTES
    if bytes(data[: len(_MARK)]) != _MARK:
        return NO_CODE, data
    end = start + int.from_bytes(data[len(_MARK) : start], "little")
    try:
        roots = _decoder.decode(data[start:end])
    except (msgspec.MsgspecError, ValueError):  # ValueError: what is no UTF-8
        return NO_CODE, data
    return tuple((name, FunctionId(archive)) for name, archive in roots), memoryview(data)[end:]


def archives_of(frames: Sequence[Frame]) -> list[FunctionId]:
    """The archives that the code before a function in these frames names."""
    return [archive for name, archive in code_of(frames) if name != WHOSE]


def code_of(frames: Sequence[Frame]) -> Code:
    """The code that stands before a function in these frames; it is all in the first one."""
    return split_code(frames[0])[0] if frames else NO_CODE
