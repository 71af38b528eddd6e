"""The argument columns of a batch: chunks as they came, small neighbours laid together, gone when nobody needs them.

A chunk's bytes are shared with whatever was sliced from it, so they never change: a chunk that grows is laid out anew
when it is sliced, and a small one may grow again as a copy.
"""

from array import array
from bisect import bisect_right
from operator import attrgetter

from scaler.core.holdings import Holding
from scaler.errors import ProtocolError
from scaler.protocol.columns import MAX_FRAME_BYTES, WORD_BYTES, ArgumentColumn, words

#: A chunk below this is laid together with its neighbours.
SMALL_BYTES = 4096
#: Chunks are laid together up to this.
JOINED_BYTES = 64 * 1024


class _Chunk:
    """Consecutive calls: a column, or one that still grows."""

    __slots__ = ("_bytes", "_column", "_ends", "held_bytes", "hi", "live", "lo")

    def __init__(self, column: ArgumentColumn, held_bytes: int) -> None:
        #: what it takes, with the places of its calls
        self.held_bytes = held_bytes
        self.lo = column.lo
        self.hi = column.hi
        #: calls in it whose task has not ended
        self.live = column.count
        self._column: ArgumentColumn | None = column
        self._bytes = bytearray()
        self._ends = array("Q")

    def size_bytes(self) -> int:
        return len(self._bytes) if self._column is None else sum(len(frame) for frame in self._column.data)

    def is_open(self) -> bool:
        """Whether it is small enough to grow."""
        return self.size_bytes() < (SMALL_BYTES if self._column is not None else JOINED_BYTES)

    def join(self, column: ArgumentColumn, held_bytes: int) -> None:
        """Lay the calls that follow behind these."""
        self.held_bytes += held_bytes
        if self._column is not None:
            first, self._column = self._column, None
            self._ends.append(0)
            self._copy(first)
        self._copy(column)
        self.hi = column.hi
        self.live += column.count

    def _copy(self, column: ArgumentColumn) -> None:
        offsets = words(column.offsets)
        shift = len(self._bytes) - offsets[0]
        if column.count == 1:
            self._ends.append(offsets[1] + shift)
        else:
            self._ends.extend(offset + shift for offset in offsets[1:])
        for frame in column.data:
            self._bytes += frame

    def column(self) -> ArgumentColumn:
        """All of it; from now on it grows no more."""
        if self._column is None:
            self._column = ArgumentColumn(self.lo, self.hi - self.lo, self._ends.tobytes(), (bytes(self._bytes),))
            self._bytes = bytearray()
            self._ends = array("Q")
        return self._column


def check_offsets(column: ArgumentColumn) -> None:
    """Raise `ProtocolError` where calls run backwards: a client's columns are looked at once, here, for all behind."""
    if column.count > 1 and (offsets := words(column.offsets).tolist()) != sorted(offsets):
        raise ProtocolError(f"the offsets of calls {column.lo} to {column.hi} run backwards")


_start = attrgetter("lo")


class ChunkStore:
    """The argument columns of one batch, each kept until all of its tasks have ended."""

    __slots__ = ("_chunks", "_holding")

    def __init__(self, holding: Holding | None = None) -> None:
        #: sorted, disjoint; each has live calls
        self._chunks: list[_Chunk] = []
        #: what is kept is counted there
        self._holding = Holding() if holding is None else holding

    def _find(self, index: int) -> int:
        """The position of the chunk that holds an index, or -1."""
        chunks = self._chunks
        position = bisect_right(chunks, index, key=_start) - 1
        return position if position >= 0 and index < chunks[position].hi else -1

    def add(self, column: ArgumentColumn) -> None:
        """Keep the calls of a column; none of them is there yet."""
        held_bytes = WORD_BYTES * column.count
        for frame in column.data:
            size_bytes = len(frame)
            if size_bytes > MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of more than {MAX_FRAME_BYTES} bytes")
            held_bytes += size_bytes
        self._holding.argument_bytes += held_bytes
        chunks = self._chunks
        position = bisect_right(chunks, column.lo, key=_start)
        if position and len(column.data) == 1 and len(column.data[0]) < SMALL_BYTES:
            before = chunks[position - 1]
            if before.hi == column.lo and before.is_open():
                before.join(column, held_bytes)
                return
        chunks.insert(position, _Chunk(column, held_bytes))

    def missing(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The parts of [lo, hi) whose calls are not here."""
        gaps = []
        position = max(bisect_right(self._chunks, lo, key=_start) - 1, 0)
        for chunk in self._chunks[position:]:
            if chunk.lo >= hi:
                break
            if lo < chunk.lo:
                gaps.append((lo, chunk.lo))
            lo = max(lo, chunk.hi)
        return [*gaps, (lo, hi)] if lo < hi else gaps

    def slice(self, lo: int, hi: int, room_bytes: int) -> ArgumentColumn | None:
        """As many calls of [lo, hi) from `lo` on as one chunk holds and the room takes; at least one, if it is here."""
        position = self._find(lo)
        if position < 0:
            return None
        chunk = self._chunks[position]
        column = chunk.column()
        hi = min(hi, chunk.hi)
        if len(column.data) == 1 and len(column.data[0]) > room_bytes:
            offsets = words(column.offsets)
            first = lo - chunk.lo
            last = bisect_right(offsets, offsets[first] + room_bytes, first + 1, hi - chunk.lo + 1) - 1
            hi = chunk.lo + max(last, first + 1)
        return column.slice(lo, hi)

    def release(self, lo: int, hi: int) -> None:
        """The tasks [lo, hi) have ended: chunks without a live task are dropped."""
        chunks = self._chunks
        position = max(bisect_right(chunks, lo, key=_start) - 1, 0)
        end = position
        freed_bytes = 0
        while end < len(chunks) and (chunk := chunks[end]).lo < hi:
            if chunk.hi > lo:
                chunk.live -= min(hi, chunk.hi) - max(lo, chunk.lo)
                if not chunk.live:
                    freed_bytes += chunk.held_bytes
            end += 1
        if freed_bytes:
            self._holding.argument_bytes -= freed_bytes
            chunks[position:end] = [chunk for chunk in chunks[position:end] if chunk.live]

    def retain(self, lo: int, hi: int) -> None:
        """Tasks of [lo, hi) that had ended have to run again: chunks that are still here are kept for them."""
        for chunk in self._chunks:
            chunk.live += max(0, min(hi, chunk.hi) - max(lo, chunk.lo))

    def live(self) -> list[tuple[int, int, int]]:
        """Of each chunk its range and how many of its tasks have not ended."""
        return [(chunk.lo, chunk.hi, chunk.live) for chunk in self._chunks]

    def held_bytes(self) -> int:
        """What all of it takes, counted anew."""
        return sum(chunk.size_bytes() + WORD_BYTES * (chunk.hi - chunk.lo) for chunk in self._chunks)
