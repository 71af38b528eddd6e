"""The argument columns of one batch, kept in index order until nobody needs them.

Small neighbours are merged as a binary counter carries, so that ten thousand calls that came one by one cost little
more than their bytes, and each is copied only a few times.
"""

from array import array
from bisect import bisect_left, bisect_right

from scaler.protocol.columns import ArgumentColumn, words

MERGED_BYTES = 64 << 10


def merged(first: ArgumentColumn, second: ArgumentColumn) -> ArgumentColumn:
    """Two columns of one frame each, the second following the first, as one with bytes of its own."""
    head, tail = words(first.offsets), words(second.offsets)
    shift = head[first.count] - tail[0]
    offsets = array("Q", head)
    offsets.extend(offset + shift for offset in tail[1:])
    return ArgumentColumn(
        first.lo, first.count + second.count, offsets.tobytes(), (b"".join((first.data[0], second.data[0])),)
    )


class ColumnStore:
    """The columns held, in order; see the module."""

    __slots__ = ("_columns", "_los")

    def __init__(self) -> None:
        self._los: list[int] = []
        self._columns: list[ArgumentColumn] = []

    def add(self, column: ArgumentColumn) -> None:
        """Put a column in; none of its indices is in yet."""
        at = bisect_left(self._los, column.lo)
        self._los.insert(at, column.lo)
        self._columns.insert(at, column)
        while at and _carries(self._columns[at - 1], self._columns[at]):
            self._columns[at - 1 : at + 1] = [merged(self._columns[at - 1], self._columns[at])]
            del self._los[at]
            at -= 1

    def head(self, lo: int, hi: int) -> ArgumentColumn | None:
        """The longest slice [lo, x), x at most hi, that lies in one column; None if that would be empty."""
        at = bisect_right(self._los, lo) - 1
        if at < 0 or min(hi, self._columns[at].hi) <= lo:
            return None
        column = self._columns[at]
        return column.slice(lo, min(hi, column.hi))

    def extent(self, lo: int) -> int:
        """Up to where calls are held without a gap from `lo` on; `lo` itself if it is not held."""
        at = bisect_right(self._los, lo) - 1
        if at < 0 or self._columns[at].hi <= lo:
            return lo
        hi = lo
        while at < len(self._columns) and self._los[at] <= hi:
            hi = self._columns[at].hi
            at += 1
        return hi

    def overlapping(self, lo: int, hi: int) -> list[ArgumentColumn]:
        """The columns that hold any of [lo, hi)."""
        first = max(0, bisect_right(self._los, lo) - 1)
        last = bisect_left(self._los, hi)
        return [column for column in self._columns[first:last] if column.hi > lo]

    def drop(self, column: ArgumentColumn) -> None:
        """Forget a column that `overlapping` gave."""
        at = bisect_left(self._los, column.lo)
        del self._los[at], self._columns[at]


def _carries(left: ArgumentColumn, right: ArgumentColumn) -> bool:
    return (
        left.hi == right.lo
        and left.count <= 2 * right.count
        and len(left.data) == len(right.data) == 1
        and left.size_bytes + right.size_bytes <= MERGED_BYTES
    )
