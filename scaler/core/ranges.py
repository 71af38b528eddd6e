"""Sets of indices as sorted, disjoint, half-open ranges; and the checks that ranges of peers must pass."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from scaler.ids import Range

_end = itemgetter(1)
_start = itemgetter(0)


def are_valid(ranges: Sequence[Range], limit: int) -> bool:
    """Whether each range is non-empty and lies within [0, limit)."""
    return all(0 <= lo < hi <= limit for lo, hi in ranges)


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[Range, ...]:
    """The same indices as sorted, disjoint ranges, neighbours made one."""
    out: list[Range] = []
    for lo, hi in sorted(ranges):
        if out and lo <= out[-1].hi:
            if hi > out[-1].hi:
                out[-1] = Range(out[-1].lo, hi)
        else:
            out.append(Range(lo, hi))
    return tuple(out)


class RangeSet:
    """A set of indices that grows and shrinks by ranges."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        #: sorted, disjoint, not empty, no two adjacent
        self._ranges: list[Range] = list(joined(ranges))

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._ranges, index, key=_start) - 1
        return at >= 0 and index < self._ranges[at].hi

    def count(self) -> int:
        """How many indices are in it."""
        return sum(hi - lo for lo, hi in self._ranges)

    def add(self, lo: int, hi: int) -> None:
        """Put [lo, hi) in; what is there already stays."""
        first = bisect_left(self._ranges, lo, key=_end)
        last = bisect_right(self._ranges, hi, key=_start)
        if first < last:
            lo, hi = min(lo, self._ranges[first].lo), max(hi, self._ranges[last - 1].hi)
        self._ranges[first:last] = [Range(lo, hi)]

    def remove(self, lo: int, hi: int) -> None:
        """Take [lo, hi) out; what is not there is ignored."""
        first = bisect_right(self._ranges, lo, key=_end)
        last = bisect_left(self._ranges, hi, key=_start)
        if first >= last:
            return
        left, right = self._ranges[first].lo, self._ranges[last - 1].hi
        rest = [Range(left, lo)] if left < lo else []
        if hi < right:
            rest.append(Range(hi, right))
        self._ranges[first:last] = rest

    def within(self, lo: int, hi: int) -> list[Range]:
        """The parts of it that lie in [lo, hi)."""
        first = bisect_right(self._ranges, lo, key=_end)
        last = bisect_left(self._ranges, hi, key=_start)
        return [Range(max(lo, a), min(hi, b)) for a, b in self._ranges[first:last]]

    def missing(self, lo: int, hi: int) -> list[Range]:
        """The parts of [lo, hi) that are not in it."""
        gaps = []
        for a, b in self.within(lo, hi):
            if lo < a:
                gaps.append(Range(lo, a))
            lo = b
        return gaps + ([Range(lo, hi)] if lo < hi else [])
