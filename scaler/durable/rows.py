"""Rows of a durable work's log: how they lie in the cells of a table, and how damage to one is told.

Pure. Frames are opaque: their bytes lie end to end in one cell and their sizes, 64-bit little-endian words, in another.
"""

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from scaler.protocol.columns import WORD_BYTES, Frame

#: a file holds no row whose header and frames, with their sizes, are larger
MAX_ROW_BYTES = 900_000_000
#: what a row is counted with in memory and on disk beyond its header and its frames
ROW_OVERHEAD_BYTES = 100
_NUMBERS = struct.Struct("<7q")
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class Row(NamedTuple):
    """One thing said of the indices [lo, hi) of a batch: a header, which is a message, and the frames behind it."""

    kind: int
    batch: int
    lo: int
    hi: int
    header: bytes
    frames: tuple[Frame, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What it takes, about."""
        return ROW_OVERHEAD_BYTES + len(self.header) + sum(map(_size, self.frames)) + WORD_BYTES * len(self.frames)


class DamagedRow(NamedTuple):
    """A row that is not what was written; its numbers, None where there are none, may be wrong as well."""

    seq: int
    kind: int | None = None
    batch: int | None = None
    lo: int | None = None
    hi: int | None = None


class Cells(NamedTuple):
    """A row as a table has it."""

    seq: int
    kind: int
    batch: int
    lo: int
    hi: int
    header: bytes
    sizes: bytes
    data: Frame
    crc: int


def fault(row: Row) -> str:
    """Why a file cannot hold a row; "" if it can."""
    if not all(_LEAST <= number <= _MOST for number in row[:4]):
        return "a row has a number of more than 63 bits"
    if row.size_bytes > MAX_ROW_BYTES:
        return f"a row of {row.size_bytes} bytes is larger than {MAX_ROW_BYTES}"
    return ""


def encoded(seq: int, row: Row) -> Cells:
    """The cells of a row; a single frame is not copied."""
    sizes = _packed_sizes(row.frames)
    data = row.frames[0] if len(row.frames) == 1 else b"".join(row.frames)
    return Cells(seq, *row[:4], row.header, sizes, data, _checksum(seq, *row[:4], row.header, sizes, data))


def decoded(cells: Sequence[object]) -> Row | DamagedRow:
    """The row in these cells, whose frames share the bytes of one of them."""
    match cells:
        case (int(seq), int(kind), int(batch), int(lo), int(hi), bytes(header), bytes(sizes), bytes(data), int(crc)):
            if _checksum(seq, kind, batch, lo, hi, header, sizes, data) == crc:
                frames = _cut(sizes, data)
                if frames is not None:
                    return Row(kind, batch, lo, hi, header, frames)
    key, *numbers = (cell if isinstance(cell, int) else None for cell in cells[:5])
    assert key is not None, "the key of a table is a number"
    return DamagedRow(key, *numbers)


def checksum(seq: int, row: Row) -> int:
    """CRC-32 of all that a row says, of how its frames are cut, and of its place in the log."""
    return encoded(seq, row).crc


def _checksum(seq: int, kind: int, batch: int, lo: int, hi: int, header: bytes, sizes: bytes, data: Frame) -> int:
    """Every cell is counted before its bytes, so that none can pass into the next."""
    crc = zlib.crc32(_NUMBERS.pack(seq, kind, batch, lo, hi, len(header), len(sizes)))
    return zlib.crc32(data, zlib.crc32(sizes, zlib.crc32(header, crc)))


def _packed_sizes(frames: Sequence[Frame]) -> bytes:
    return struct.pack(f"<{len(frames)}Q", *map(_size, frames))


def _size(frame: Frame) -> int:
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


def _cut(sizes: bytes, data: bytes) -> tuple[Frame, ...] | None:
    """The frames of these sizes; None if they are not those of the data."""
    if len(sizes) % WORD_BYTES:
        return None
    ends = list(accumulate(struct.unpack(f"<{len(sizes) // WORD_BYTES}Q", sizes), initial=0))
    if ends[-1] != len(data):
        return None
    view = memoryview(data)
    return tuple(view[lo:hi] for lo, hi in pairwise(ends))
