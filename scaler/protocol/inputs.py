"""What calls need of other tasks: names of tasks on the way to the scheduler, their values on the way to the workers.

Both are laid out once, as frames behind the column of the calls: counts first, one for each call, then what is counted.
All words are little-endian 64-bit.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from scaler.errors import ProtocolError
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol.columns import MAX_FRAME_BYTES, WORD_BYTES, Frame, words

#: of each call, the tasks whose values it needs, in the order in which its bytes speak of them
Dependencies = Mapping[int, tuple[TaskId, ...]]
_TASK_WORDS = 3


def dependency_frames(lo: int, hi: int, dependencies: Dependencies) -> tuple[Frame, ...]:
    """The tasks that the calls [lo, hi) depend on, as frames; none if they depend on nothing."""
    counts = array("Q", (len(dependencies.get(index, ())) for index in range(lo, hi)))
    if not any(counts):
        return ()
    for index in range(lo, hi):
        for (owner, n), number in dependencies.get(index, ()):
            counts.extend((owner, n, number))
    return _cut(counts.tobytes())


def read_dependencies(lo: int, count: int, frames: Sequence[Frame]) -> dict[int, tuple[TaskId, ...]]:
    """The same, as a peer sent it: only the calls that depend on something."""
    read = _joined(frames)
    flat = words(read).tolist()
    counts, names = flat[:count], flat[count:]
    if len(counts) != count or sum(counts) * _TASK_WORDS != len(names):
        raise ProtocolError(f"{len(flat)} words are no dependencies of {count} calls")
    tasks = iter(
        [TaskId(BatchId(Incarnation(names[at]), names[at + 1]), names[at + 2]) for at in range(0, len(names), 3)]
    )
    return {lo + i: tuple(next(tasks) for _ in range(number)) for i, number in enumerate(counts) if number}


def input_frames(needs: Sequence[Sequence[int]], values: Sequence[Sequence[Frame]]) -> tuple[Frame, ...]:
    """The values that consecutive calls need: of each call the positions in `values`, which are frames of bytes."""
    ends = accumulate(sum(map(len, value)) for value in values)
    head = array("Q", (len(values),))
    head.extend(ends)
    head.extend(map(len, needs))
    for need in needs:
        head.extend(need)
    return _cut(b"".join((head.tobytes(), *(frame for value in values for frame in value))))


class Inputs:
    """The values that consecutive calls need, as a peer sent them."""

    __slots__ = ("needs", "values")

    def __init__(self, count: int, content: Frame) -> None:
        whole = memoryview(content).cast("B")
        at = 0

        def take(number: int) -> list[int]:
            nonlocal at
            at += number * WORD_BYTES
            if number < 0 or at > len(whole):
                raise ProtocolError(f"{len(whole)} bytes are no inputs of {count} calls")
            return words(whole[at - number * WORD_BYTES : at]).tolist()

        [values] = take(1)
        ends = take(values)
        counts = take(count)
        #: of each call the positions of its inputs
        self.needs = [take(number) for number in counts]
        data = whole[at:]
        #: each value once
        self.values = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        if ends != sorted(ends) or (ends[-1] if ends else 0) != len(data):
            raise ProtocolError(f"{len(data)} bytes are not the {values} inputs of {count} calls")
        if any(position >= values for need in self.needs for position in need):
            raise ProtocolError(f"a call needs more than the {values} inputs there are")

    @classmethod
    def from_frames(cls, count: int, frames: Sequence[Frame]) -> "Inputs":
        """Read what lies behind a column of so many calls."""
        return cls(count, _joined(frames))

    def slice(self, first: int, last: int) -> tuple[Frame, ...]:
        """The inputs of the calls at [first, last) here, as frames; none if they need nothing."""
        needs = self.needs[first:last]
        used = {position: number for number, position in enumerate(dict.fromkeys(_flat(needs)))}
        if not used:
            return ()
        return input_frames(
            [[used[position] for position in need] for need in needs], [(self.values[position],) for position in used]
        )

    def size_bytes(self, first: int, last: int) -> int:
        """What `slice` would take, roughly."""
        return sum(len(self.values[position]) + WORD_BYTES for position in set(_flat(self.needs[first:last])))


def _flat(needs: Iterable[Iterable[int]]) -> Iterable[int]:
    return (position for need in needs for position in need)


def _joined(frames: Sequence[Frame]) -> Frame:
    return frames[0] if len(frames) == 1 else b"".join(frames)


def _cut(data: bytes) -> tuple[Frame, ...]:
    return tuple(data[at : at + MAX_FRAME_BYTES] for at in range(0, len(data), MAX_FRAME_BYTES))
