"""How a value lies in a file: how many parts, the size of each, then the parts, each where it can be used in place.

The first part is what was pickled, the others are the buffers that the pickle left out. All words are little-endian
64-bit; every part begins at a multiple of `ALIGNMENT` bytes.
"""

import struct
from collections.abc import Iterable, Sequence

from scaler.protocol.columns import Frame

#: what vector instructions and NumPy like
ALIGNMENT = 64
_MAGIC = b"scaler\x00\x01"
_WORD = struct.Struct("<Q")


def laid_out(parts: Sequence[Frame]) -> list[Frame]:
    """What to write, one after the other."""
    sizes = [_size(part) for part in parts]
    head = b"".join((_MAGIC, *map(_WORD.pack, (len(sizes), *sizes))))
    pieces: list[Frame] = []
    for piece in (head, *parts):
        pieces.append(piece)
        if padding := -_size(piece) % ALIGNMENT:
            pieces.append(bytes(padding))
    return pieces


def file_bytes(pieces: Iterable[Frame]) -> int:
    """How large the file becomes."""
    return sum(map(_size, pieces))


def parts_size(parts: Iterable[Frame]) -> int:
    """How large a value of these parts is."""
    return sum(map(_size, parts))


def is_laid_out(content: Frame) -> bool:
    """Whether these bytes are a value as it lies in a file, and no pickle."""
    return content[: len(_MAGIC)] == _MAGIC


def parts_in(content: Frame) -> list[memoryview]:
    """The parts of a value in what was read; `ValueError` if it is no such file, or not all of it."""
    whole = memoryview(content).cast("B")
    at = len(_MAGIC) + _WORD.size
    if whole[: len(_MAGIC)] != _MAGIC or len(whole) < at:
        raise ValueError(f"{len(whole)} bytes are no value of ours")
    [count] = _WORD.unpack(whole[len(_MAGIC) : at])
    if count > (len(whole) - at) // _WORD.size:
        raise ValueError(f"{len(whole)} bytes have no room for {count} parts")
    sizes = struct.unpack(f"<{count}Q", whole[at : at + count * _WORD.size])
    at += count * _WORD.size
    parts: list[memoryview] = []
    for size in sizes:
        at += -at % ALIGNMENT
        if at + size > len(whole):
            raise ValueError(f"a value of {len(parts)} parts ends behind {len(whole)} bytes")
        parts.append(whole[at : at + size])
        at += size
    return parts


def _size(part: Frame) -> int:
    return memoryview(part).nbytes
