"""What SQLite passes over in silence: commits behind a damaged place of its write-ahead log.

SQLite takes the first frame whose checksum is wrong for the end of the log, as a power cut would leave it. Each commit
is on disk before the next one begins, though: where a commit follows, and something follows that, it was no power cut.
"""

import contextlib
import struct
from pathlib import Path
from typing import NamedTuple

#: magic number, version, page size, checkpoints, two words of salt, two of checksum
_HEADER = struct.Struct(">8I")
#: page number, pages of the file if it is the last of a commit, else 0; salt, checksum
_FRAME = struct.Struct(">6I")
#: the last bit says that checksums are made of big-endian words
_MAGIC = 0x377F0682
#: neither checksum itself
_SUMMED_HEADER_BYTES, _SUMMED_FRAME_BYTES = 24, 8
_WORD = 0xFFFFFFFF

_Sums = tuple[int, int]


class _Log(NamedTuple):
    data: memoryview
    page_bytes: int
    salt: tuple[int, int]
    sums: _Sums
    order: str

    def frame(self, at: int) -> tuple[int, bool, _Sums] | None:
        """Where the next frame is, whether this one ends a commit, and its checksum; None if there is none."""
        after = at + _FRAME.size + self.page_bytes
        if after > len(self.data):
            return None
        page, size, *salt, first, second = _FRAME.unpack_from(self.data, at)
        if not page or tuple(salt) != self.salt:
            return None
        return after, size != 0, (first, second)

    def sums_of(self, at: int, before: _Sums) -> _Sums:
        """What the checksum of the frame here is to be, behind one with this checksum."""
        sums = _summed(self.data[at : at + _SUMMED_FRAME_BYTES], self.order, before)
        return _summed(self.data[at + _FRAME.size : at + _FRAME.size + self.page_bytes], self.order, sums)


def has_lost_commits(wal: Path) -> bool:
    """Whether a write-ahead log that nobody has open is damaged in front of a commit that is not its last."""
    data = b""
    with contextlib.suppress(FileNotFoundError):
        data = wal.read_bytes()
    if len(data) <= _HEADER.size or not any(data[: _HEADER.size]):
        return False
    log = _log_of(memoryview(data))
    return log is None or not _is_whole(log, _surely_written(log))


def _log_of(data: memoryview) -> _Log | None:
    """The log with this header; None if that is damaged: it lies in one sector, of which a power cut leaves no half."""
    magic, _, page_bytes, _, *salt, first, second = _HEADER.unpack_from(data)
    order = ">" if magic & 1 else "<"
    sums = _summed(data[:_SUMMED_HEADER_BYTES], order, (0, 0))
    if magic & ~1 != _MAGIC or sums != (first, second):
        return None
    return _Log(data, page_bytes, (salt[0], salt[1]), sums, order)


def _surely_written(log: _Log) -> int:
    """Where the last commit ends that anything of this log follows."""
    sure = end = 0
    for at in range(_HEADER.size, len(log.data), _FRAME.size + log.page_bytes):
        found = log.frame(at)
        if found is not None:
            sure = end
            if found[1]:
                end = found[0]
    return sure


def _is_whole(log: _Log, end: int) -> bool:
    """Whether SQLite finds all frames up to there."""
    at, sums = _HEADER.size, log.sums
    while at < end:
        found = log.frame(at)
        if found is None:
            return False
        sums = log.sums_of(at, sums)
        at, _, told = found
        if sums != told:
            return False
    return True


def _summed(data: memoryview, order: str, sums: _Sums) -> _Sums:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return first, second
