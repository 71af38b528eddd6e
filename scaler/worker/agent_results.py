"""Result columns: joined to few messages, kept until delivered, and made up for tasks that have none of their own."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from scaler.ids import ObjectId, Range
from scaler.protocol import Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import (
    FAILED,
    MAX_FRAME_BYTES,
    MAX_MEASURED,
    REFERENCE,
    WORD_BYTES,
    Frame,
    ResultColumn,
)
from scaler.protocol.references import read_record

#: one column holds no more tasks, so that its ends fit a frame
MAX_JOINED = MAX_FRAME_BYTES // WORD_BYTES


def follows(before: Sequence[ResultColumn], column: ResultColumn) -> bool:
    """Whether a column can be the next part of the one these parts will be: neighbours in the batch and in the ring."""
    last = before[-1]
    first = before[0]
    if last.hi != column.lo or len(last.data) != 1 or len(column.data) != 1:
        return False
    end = last.base + len(last.data[0])
    return (
        end == column.base
        and end + len(column.data[0]) - first.base <= MAX_FRAME_BYTES
        and column.hi - first.lo <= MAX_JOINED
    )


def joined(parts: Sequence[ResultColumn]) -> ResultColumn:
    """Columns of which each `follows` those before it, as one."""
    if len(parts) == 1:
        return parts[0]
    costs = b""
    if any(len(part.costs) for part in parts):
        costs = b"".join(part.costs if len(part.costs) else bytes(WORD_BYTES * part.count) for part in parts)
    return ResultColumn(
        lo=parts[0].lo,
        count=parts[-1].hi - parts[0].lo,
        base=parts[0].base,
        statuses=b"".join([part.statuses for part in parts]),
        run_us=b"".join([part.run_us for part in parts]),
        ends=b"".join([part.ends for part in parts]),
        costs=costs,
        data=(b"".join([part.data[0] for part in parts]),),
    )


def failed_column(index: int, failure: Failure, run_us: int = 0) -> ResultColumn:
    """The outcome of one task that failed without its own doing."""
    data = encode_failure(failure)
    return ResultColumn(
        lo=index,
        count=1,
        base=0,
        statuses=bytes([FAILED]),
        run_us=min(run_us, MAX_MEASURED).to_bytes(4, "little"),
        ends=len(data).to_bytes(WORD_BYTES, "little"),
        costs=b"",
        data=(data,),
    )


def entry(column: ResultColumn, index: int) -> Frame:
    """The bytes of one small result."""
    return column.slice(index, index + 1).data[0]


def referring(column: ResultColumn, lo: int, hi: int) -> list[int]:
    """The indices in [lo, hi) of results that lie in the store."""
    lo, hi = max(lo, column.lo), min(hi, column.hi)
    statuses = bytes(memoryview(column.statuses)[lo - column.lo : max(lo, hi) - column.lo])
    if REFERENCE not in statuses:
        return []
    return [index for index, status in enumerate(statuses, lo) if status == REFERENCE]


def names_in(column: ResultColumn, lo: int, hi: int) -> list[ObjectId]:
    """What these are called."""
    return [_name_at(column, index) for index in referring(column, lo, hi)]


def _name_at(column: ResultColumn, index: int) -> ObjectId:
    return read_record(entry(column, index)).object


class KeptResults:
    """What of one run is finished and not delivered, with the place each column was made at."""

    __slots__ = ("_kept", "_los")

    def __init__(self) -> None:
        self._los: list[int] = []
        #: in order, without overlaps
        self._kept: list[tuple[ResultColumn, str]] = []

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __iter__(self) -> Iterator[tuple[ResultColumn, str]]:
        return iter(self._kept)

    def add(self, column: ResultColumn, place: str) -> None:
        """Keep a column; none of its indices is kept yet."""
        los = self._los
        if not los or los[-1] < column.lo:
            los.append(column.lo)
            self._kept.append((column, place))
            return
        at = bisect_left(los, column.lo)
        los.insert(at, column.lo)
        self._kept.insert(at, (column, place))

    def drop(self, lo: int, hi: int) -> list[ObjectId]:
        """[lo, hi) has arrived where it is wanted, or nobody wants it; those of it that lie in the store."""
        los, kept = self._los, self._kept
        first = max(0, bisect_right(los, lo) - 1)
        if first < len(kept) and kept[first][0].hi <= lo:
            first += 1
        last = bisect_left(los, hi, first)
        if first >= last:
            return []
        names = [name for column, _ in kept[first:last] for name in names_in(column, lo, hi)]
        (head, head_place), (tail, tail_place) = kept[first], kept[last - 1]
        rest = [(head.slice(head.lo, lo), head_place)] if head.lo < lo else []
        if tail.hi > hi:
            rest.append((tail.slice(hi, tail.hi), tail_place))
        kept[first:last] = rest
        los[first:last] = [column.lo for column, _ in rest]
        return names

    def at(self, index: int) -> tuple[ResultColumn, str]:
        """One result that is kept, and the place it was made at."""
        column, place = self._kept[bisect_right(self._los, index) - 1]
        return column.slice(index, index + 1), place

    def index_of(self, name: ObjectId) -> int | None:
        """The index of the result with this name; None if it is not kept."""
        for column, _ in self._kept:
            for index in referring(column, column.lo, column.hi):
                if _name_at(column, index) == name:
                    return index
        return None

    def names(self) -> list[ObjectId]:
        """All that is kept and lies in the store."""
        return [name for column, _ in self._kept for name in names_in(column, column.lo, column.hi)]

    def ranges(self) -> list[Range]:
        """What is kept, in order."""
        return [Range(column.lo, column.hi) for column, _ in self._kept]
