"""Sets of whole numbers kept as ranges: cheap however many numbers, as long as the ranges are few."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator

from scaler.ids import Range


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[Range, ...]:
    """The same indices as sorted, disjoint ranges, neighbours made one."""
    return RangeSet(sorted(ranges)).ranges()


def members_within(indices: Collection[int], lo: int, hi: int) -> list[int]:
    """Those of a dict's or set's indices that lie in [lo, hi), at the price of the smaller of the two."""
    if len(indices) < hi - lo:
        return [index for index in indices if lo <= index < hi]
    return [index for index in range(lo, hi) if index in indices]


class RangeSet:
    """A set of indices as sorted half-open ranges that neither touch nor overlap."""

    __slots__ = ("_his", "_los", "_size")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._los: list[int] = []
        self._his: list[int] = []
        self._size = 0
        for lo, hi in ranges:
            self.add(lo, hi)

    def __len__(self) -> int:
        """How many indices it holds."""
        return self._size

    def __bool__(self) -> bool:
        return self._size > 0

    def __iter__(self) -> Iterator[Range]:
        return map(Range, self._los, self._his)

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._los, index) - 1
        return at >= 0 and index < self._his[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._los == other._los and self._his == other._his

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"RangeSet({[tuple(part) for part in self]})"

    def ranges(self) -> tuple[Range, ...]:
        """All ranges, in order."""
        # not tuple(self), which would first make room for as many as there are indices
        return tuple(map(Range, self._los, self._his))

    @property
    def end(self) -> int:
        """One past the highest index; 0 if there is none."""
        return self._his[-1] if self._his else 0

    def add(self, lo: int, hi: int) -> None:
        """Put [lo, hi) in, whatever of it is in already."""
        if lo >= hi:
            return
        los, his = self._los, self._his
        if his and lo >= los[-1]:
            first = len(los) - 1 if lo <= his[-1] else len(los)
        else:
            first = bisect_left(his, lo)
        last = bisect_right(los, hi, first)
        if first < last:
            lo, hi = min(lo, los[first]), max(hi, his[last - 1])
            self._size -= sum(his[first:last]) - sum(los[first:last])
        los[first:last] = [lo]
        his[first:last] = [hi]
        self._size += hi - lo

    def remove(self, lo: int, hi: int) -> list[Range]:
        """Take [lo, hi) out; the parts of it that were in."""
        los, his = self._los, self._his
        first = bisect_right(his, lo)
        last = bisect_left(los, hi, first)
        if first >= last or lo >= hi:
            return []
        if last - first == 1 and (lo <= los[first] or his[first] <= hi):  # one side or all of one range, mostly
            return [self._cut(first, lo, hi)]
        removed = [Range(max(lo, a), min(hi, b)) for a, b in zip(los[first:last], his[first:last], strict=True)]
        head, tail = los[first], his[last - 1]
        kept = [(head, lo)] if head < lo else []
        kept += [(hi, tail)] if tail > hi else []
        los[first:last] = [a for a, _ in kept]
        his[first:last] = [b for _, b in kept]
        self._size -= sum(b - a for a, b in removed)
        return removed

    def _cut(self, at: int, lo: int, hi: int) -> Range:
        """Take [lo, hi), which reaches to an end of the range at this place or beyond, out of it; what was in."""
        los, his = self._los, self._his
        first, last = los[at], his[at]
        if lo > first:
            his[at] = lo
            removed = Range(lo, last)
        elif hi < last:
            los[at] = hi
            removed = Range(first, hi)
        else:
            del los[at], his[at]
            removed = Range(first, last)
        self._size -= removed.hi - removed.lo
        return removed

    def within(self, lo: int, hi: int) -> list[Range]:
        """The parts of [lo, hi) that are in, in order."""
        los, his = self._los, self._his
        first = bisect_right(his, lo)
        last = bisect_left(los, hi, first)
        if lo >= hi:
            return []
        return [Range(max(lo, a), min(hi, b)) for a, b in zip(los[first:last], his[first:last], strict=True)]

    def missing(self, lo: int, hi: int) -> list[Range]:
        """The parts of [lo, hi) that are not in, in order."""
        gaps = []
        for first, last in self.within(lo, hi):
            if lo < first:
                gaps.append(Range(lo, first))
            lo = last
        return [*gaps, Range(lo, hi)] if lo < hi else gaps

    def intersects(self, lo: int, hi: int) -> bool:
        """Whether any of [lo, hi) is in."""
        at = bisect_right(self._his, lo)
        return lo < hi and at < len(self._los) and self._los[at] < hi
