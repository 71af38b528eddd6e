"""Columns: many arguments or results laid end to end, cut and joined without opening a single one.

All words are little-endian. Offsets are 64-bit and absolute within the stream they were made in; `base` is where the
first value begins, so that a slice of a column is a slice of its parts and nothing is counted anew.
"""

from collections.abc import Sequence

from msgspec import Struct

from scaler.errors import ProtocolError

Frame = bytes | memoryview

#: No frame on the wire is larger; a single larger value is cut into frames of this size.
MAX_FRAME_BYTES = 1 << 20
#: run times in µs and what tasks cost are 32-bit words: what is more counts as this
MAX_MEASURED = 0xFFFFFFFF
#: No value, call or function has more bytes: it goes in one message, whose frames are counted where it arrives. Who
#: makes such bytes looks at their number; where they arrive, too many are the fault of a whole peer.
MAX_VALUE_BYTES = 4000 * MAX_FRAME_BYTES
WORD_BYTES = 8

# Statuses of one finished task, one byte each in a result column.
VALUE = 0  #: a pickled value
RAISED = 1  #: what the payload package wrote of an exception the task raised
FAILED = 2  #: a MessagePack `Failure`: the worker died, was stopped, or passed a limit
RAISED_RETRYABLE = 3  #: as RAISED, and one of the task's `retry_on`
REFERENCE = 4  #: a MessagePack object reference: the value stayed where it was made
CONTENT = 5  #: what lay in the file of a reference: its cluster left before it was read
STATUSES = frozenset((VALUE, RAISED, FAILED, RAISED_RETRYABLE, REFERENCE, CONTENT))
#: those of tasks that have a value
SUCCESSES = frozenset((VALUE, REFERENCE, CONTENT))


def words(frame: Frame) -> memoryview:
    """The frame read as 64-bit words."""
    if len(frame) % WORD_BYTES:
        raise ProtocolError(f"a column of 64-bit words has {len(frame)} bytes")
    return memoryview(frame).cast("B").cast("Q")


def frames_of(data: bytes, most_bytes: int = MAX_FRAME_BYTES) -> tuple[Frame, ...]:
    """The bytes in frames as they may go on the wire, which share them."""
    if len(data) <= most_bytes:
        return (data,)
    view = memoryview(data)
    return tuple(view[at : at + most_bytes] for at in range(0, len(data), most_bytes))


class ArgumentColumn(Struct, frozen=True):
    """The pickled calls of indices [lo, lo + count) of a batch.

    `offsets` holds count + 1 absolute words; `data` is one frame with all calls, or, for a single call larger than
    `MAX_FRAME_BYTES`, that call in several frames.
    """

    lo: int
    count: int
    offsets: Frame
    data: tuple[Frame, ...]

    @property
    def hi(self) -> int:
        return self.lo + self.count

    @property
    def size_bytes(self) -> int:
        return len(self.offsets) + sum(len(frame) for frame in self.data)

    def slice(self, lo: int, hi: int) -> "ArgumentColumn":
        """The calls of [lo, hi), which lies within this column; shares the bytes."""
        if lo == self.lo and hi == self.hi:
            return self
        offsets = words(self.offsets)
        first, last, base = lo - self.lo, hi - self.lo, offsets[0]
        data = memoryview(self.data[0])[offsets[first] - base : offsets[last] - base]
        return ArgumentColumn(
            lo, hi - lo, memoryview(self.offsets)[first * WORD_BYTES : (last + 1) * WORD_BYTES], (data,)
        )

    def frames(self) -> tuple[Frame, ...]:
        """As it goes on the wire, behind the header."""
        return (self.offsets, *self.data)

    @classmethod
    def from_frames(cls, lo: int, count: int, frames: Sequence[Frame]) -> "ArgumentColumn":
        """What a peer sent, its sizes checked: ends and total agree, no offset is trusted further than that."""
        if count < 1 or len(frames) < 2 or len(frames[0]) != (count + 1) * WORD_BYTES:
            raise ProtocolError(f"{count} calls do not fit {len(frames)} frames")
        offsets = words(frames[0])
        total = sum(len(frame) for frame in frames[1:])
        if offsets[count] - offsets[0] != total or (len(frames) > 2 and count != 1):
            raise ProtocolError(f"{count} calls of {total} bytes do not fit their offsets")
        return cls(lo, count, frames[0], tuple(frames[1:]))


class ResultColumn(Struct, frozen=True):
    """The outcomes of indices [lo, lo + count) of a batch.

    `statuses` is a byte each, `run_us` a 32-bit word each, `ends` the absolute 64-bit end of each in the stream whose
    first byte here is `base`; `data` as in `ArgumentColumn`; `costs` is empty or, where any task took 1 ms or more,
    two 32-bit words each: CPU in µs and peak memory in KiB (0 where not measured).
    """

    lo: int
    count: int
    base: int
    statuses: Frame
    run_us: Frame
    ends: Frame
    costs: Frame
    data: tuple[Frame, ...]

    @property
    def hi(self) -> int:
        return self.lo + self.count

    @property
    def size_bytes(self) -> int:
        return len(self.ends) + sum(len(frame) for frame in self.data)

    def slice(self, lo: int, hi: int) -> "ResultColumn":
        """The outcomes of [lo, hi), which lies within this column; shares the bytes."""
        if lo == self.lo and hi == self.hi:
            return self
        first, last = lo - self.lo, hi - self.lo
        ends = words(self.ends)
        start = ends[first - 1] if first else self.base
        return ResultColumn(
            lo=lo,
            count=hi - lo,
            base=start,
            statuses=memoryview(self.statuses)[first:last],
            run_us=memoryview(self.run_us)[first * 4 : last * 4],
            ends=memoryview(self.ends)[first * WORD_BYTES : last * WORD_BYTES],
            costs=memoryview(self.costs)[first * WORD_BYTES : last * WORD_BYTES] if len(self.costs) else self.costs,
            data=(memoryview(self.data[0])[start - self.base : ends[last - 1] - self.base],),
        )

    def one(self, index: int) -> tuple[int, tuple[Frame, ...]]:
        """Status and bytes of one outcome; they do not keep those of its neighbours in memory."""
        column = self.slice(index, index + 1)
        data = column.data if len(column.data) != 1 else (bytes(column.data[0]),)
        return memoryview(column.statuses)[0], data

    def frames(self) -> tuple[Frame, ...]:
        """As it goes on the wire, behind the header."""
        return (self.statuses, self.run_us, self.ends, self.costs, *self.data)

    @classmethod
    def from_frames(cls, lo: int, hi: int, base: int, frames: Sequence[Frame]) -> "ResultColumn":
        """What a peer sent, its sizes checked."""
        count = hi - lo
        if count < 1 or len(frames) < 5:
            raise ProtocolError(f"{count} results do not fit {len(frames)} frames")
        statuses, run_us, ends, costs, *data = frames
        sizes = (len(statuses), len(run_us), len(ends))
        if sizes != (count, 4 * count, WORD_BYTES * count) or len(costs) not in (0, WORD_BYTES * count):
            raise ProtocolError(f"{count} results do not fit columns of {sizes} bytes")
        total = sum(len(frame) for frame in data)
        if words(ends)[count - 1] - base != total or (len(data) > 1 and count != 1):
            raise ProtocolError(f"{count} results of {total} bytes do not fit their ends")
        return cls(lo, count, base, statuses, run_us, ends, costs, tuple(data))

    def unsuccessful(self) -> list[int]:
        """The indices whose tasks have no value, in order."""
        statuses = bytes(self.statuses)
        if not statuses.strip(b"\x00"):
            return []
        return [self.lo + i for i, status in enumerate(statuses) if status not in SUCCESSES]

    def stored(self) -> list[int]:
        """The indices whose value lies where it was made, in order."""
        statuses = bytes(self.statuses)
        if REFERENCE not in statuses:
            return []
        return [self.lo + i for i, status in enumerate(statuses) if status == REFERENCE]
