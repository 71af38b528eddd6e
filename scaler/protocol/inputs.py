"""What calls need of other tasks: names of tasks on the way to the scheduler, their values on the way to the workers.

Both are laid out once, as frames behind the column of the calls: counts first, one for each call, then what is counted.
All words are little-endian 64-bit.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from scaler.errors import ProtocolError
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol.columns import MAX_FRAME_BYTES, WORD_BYTES, Frame, frames_of, words

#: of each call, the tasks whose values it needs, in the order in which its bytes speak of them
Dependencies = Mapping[int, tuple[TaskId, ...]]
#: no call needs more tasks: their names have to fit a message, and whoever reads it stands still meanwhile
MAX_INPUTS = 1_000_000
_TASK_WORDS = 3
_MAX_DEPENDENCY_BYTES = MAX_INPUTS * _TASK_WORDS * WORD_BYTES + MAX_FRAME_BYTES


def split_off(frames: tuple[Frame, ...], behind: int) -> tuple[tuple[Frame, ...], tuple[Frame, ...]]:
    """The frames of a column, and so many that lie behind it."""
    at = len(frames) - behind
    if at < 0:
        raise ProtocolError(f"{len(frames)} frames, of which {behind} lie behind the others")
    return frames[:at], frames[at:]


def dependency_frames(lo: int, hi: int, dependencies: Dependencies) -> tuple[Frame, ...]:
    """The tasks that the calls [lo, hi) depend on, as frames; none if they depend on nothing."""
    counts = array("Q", (len(dependencies.get(index, ())) for index in range(lo, hi)))
    if not any(counts):
        return ()
    for index in range(lo, hi):
        for (owner, n), number in dependencies.get(index, ()):
            counts.extend((owner, n, number))
    return frames_of(counts.tobytes())


def read_dependencies(lo: int, count: int, frames: Sequence[Frame]) -> dict[int, tuple[TaskId, ...]]:
    """The same, as a peer sent it: only the calls that depend on something."""
    size = sum(map(len, frames))
    if size > _MAX_DEPENDENCY_BYTES:
        raise ProtocolError(f"{size} bytes of dependencies are more than {_MAX_DEPENDENCY_BYTES}")
    flat = words(_joined(frames)).tolist()
    counts, names = flat[:count], flat[count:]
    if len(counts) != count or sum(counts) * _TASK_WORDS != len(names):
        raise ProtocolError(f"{len(flat)} words are no dependencies of {count} calls")
    batches: dict[tuple[int, int], BatchId] = {}
    tasks: list[TaskId] = []
    for owner, n, index in zip(names[::3], names[1::3], names[2::3], strict=True):
        batch = batches.get((owner, n)) or batches.setdefault((owner, n), BatchId(Incarnation(owner), n))
        tasks.append(TaskId(batch, index))
    at = 0
    dependencies: dict[int, tuple[TaskId, ...]] = {}
    for number, needed in enumerate(counts):
        if needed:
            dependencies[lo + number] = tuple(tasks[at : at + needed])
            at += needed
    return dependencies


def input_frames(needs: Sequence[Sequence[int]], values: Sequence[Sequence[Frame]]) -> tuple[Frame, ...]:
    """The values that consecutive calls need: of each call the positions in `values`, which are frames of bytes."""
    ends = accumulate(sum(map(len, value)) for value in values)
    head = array("Q", (len(values),))
    head.extend(ends)
    head.extend(map(len, needs))
    for need in needs:
        head.extend(need)
    return frames_of(b"".join((head.tobytes(), *(frame for value in values for frame in value))))


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
        positions = list(_flat(self.needs[first:last]))
        return WORD_BYTES * len(positions) + sum(len(self.values[position]) for position in set(positions))


def _flat(needs: Iterable[Iterable[int]]) -> Iterable[int]:
    return (position for need in needs for position in need)


def _joined(frames: Sequence[Frame]) -> Frame:
    return frames[0] if len(frames) == 1 else b"".join(frames)
