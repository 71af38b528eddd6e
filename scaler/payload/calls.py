"""Calls to columns and back: each call is pickled by itself, many are laid end to end.

What is pickled is the tuple of arguments, or, with keywords, an exact list of that tuple and a dict. Calls of plain
values are drawn and pickled in blocks; others one by one, so that what changes later is sent as it was when drawn.
"""

import pickle
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, islice, repeat
from typing import Any, NamedTuple

from scaler.errors import MissingObjects, SerializationError, StoreFullError
from scaler.payload.diagnosis import too_large, unpicklable_path
from scaler.payload.inputs import Found, inline
from scaler.payload.pickling import PLAIN, PROTOCOL, Lift, dumps
from scaler.protocol.columns import MAX_FRAME_BYTES, MAX_VALUE_BYTES, WORD_BYTES, ArgumentColumn, Frame, frames_of

#: so many offsets of calls fit one frame
MAX_COLUMN_CALLS = MAX_FRAME_BYTES // WORD_BYTES - 1
#: a block grows while it is plain, small and quickly drawn, so that neither memory nor a first result waits for it
_MAX_BLOCK = 2048
_MAX_BLOCK_BYTES = 256 << 10
_MAX_BLOCK_S = 0.02
#: the first column is complete with so many calls, the following ones with more and more bytes
_FIRST_COLUMN_CALLS = 16
_SECOND_COLUMN_BYTES = 16 << 10

#: their pickling asks no one, so that they have to be found before
_SILENT = frozenset((bytes, bytearray, str))

Call = tuple[Any, ...]
#: of each call that has any, the futures among its arguments, and what stands for large values
Futures = dict[int, tuple[Any, ...]]


class Block(NamedTuple):
    """Calls drawn together, and the types of all their arguments where those are known already."""

    calls: Iterable[Call]
    types: set[type] | None = None


def pickle_call(args: Call, kwargs: dict[str, Any] | None = None, lift: Lift | None = None) -> bytes:
    """One call in bytes; `SerializationError` names the argument that cannot be pickled.

    `lift` makes of a large value what stands for it, within a `Found`.
    """
    if not kwargs:
        for value in args:
            if type(value) not in PLAIN or _is_large(value):
                break
        else:
            return _checked(pickle.dumps(args, PROTOCOL))
    try:
        if lift is not None:
            lifted: dict[int, Any] = {}
            args = tuple(_lifted(args, lift, lifted))
            kwargs = kwargs and dict(zip(kwargs, _lifted(kwargs.values(), lift, lifted), strict=True))
        data = dumps([args, kwargs] if kwargs else args, lift)
    except (MissingObjects, StoreFullError):
        raise
    except Exception as error:
        raise SerializationError(f"the call cannot be sent: {_culprit(args, kwargs or {}, error)}") from error
    return _checked(data)


def _is_large(value: Any) -> bool:  # Any: whatever users send
    """Whether a value is one of those whose pickling asks nobody, and too large for the bytes of a call."""
    return type(value) in _SILENT and len(value) > inline.most_bytes


def _largest(calls: Iterable[Call]) -> int:
    """How large the largest argument is."""
    return max(map(sys.getsizeof, chain.from_iterable(calls)), default=0)


def _lifted(values: Iterable[Any], lift: Lift, lifted: dict[int, Any]) -> Iterator[Any]:
    """The values, and in the place of each that is large what stands for it, which is `lifted` once in a call."""
    for value in values:
        if not _is_large(value):
            yield value
            continue
        if id(value) not in lifted:
            lifted[id(value)] = lift(value)
        yield lifted[id(value)]


def _checked(data: bytes) -> bytes:
    if len(data) > MAX_VALUE_BYTES:
        raise too_large("the call", len(data))
    return data


def load_call(data: Frame) -> tuple[Call, dict[str, Any]]:
    """The arguments in the bytes of one call."""
    call = pickle.loads(data)  # noqa: S301  # the scheduler let only our own keys in
    return (call, {}) if type(call) is tuple else (call[0], call[1])


def single_column(lo: int, data: bytes) -> ArgumentColumn:
    """A column of one call."""
    return ArgumentColumn(lo, 1, array("Q", (0, len(data))).tobytes(), frames_of(data))


def joined_column(lo: int, calls: list[bytes]) -> ArgumentColumn:
    """A column of several calls, which together fit one frame, as do their offsets; or of a single call of any size."""
    if len(calls) == 1:
        return single_column(lo, calls[0])
    offsets = array("Q", accumulate(map(len, calls), initial=0))
    return ArgumentColumn(lo, len(calls), offsets.tobytes(), (b"".join(calls),))


def columns(
    elements: Iterable[Any],
    lo: int,
    as_calls: Callable[[list[Any]], Block] = Block,
    clock: Callable[[], float] = time.monotonic,
    lift: Lift | None = None,
) -> "Columns":
    """The elements, made calls by `as_calls`, in columns of at most 1 MiB, from index `lo` on, with their futures.

    `lift` makes of a large value what stands for it. A larger single call has a column of its own. The first column is
    small, and a slow iterable is not waited for: what was drawn goes on its way.
    """
    return Columns(iter(elements), as_calls, clock, _Gathering(lo, lift))


class Columns(Iterator[tuple[ArgumentColumn, Futures]]):
    """See `columns`. Where there is no room for a value it raises, with all before it given, and may be asked again."""

    def __init__(
        self,
        source: Iterator[Any],
        as_calls: Callable[[list[Any]], Block],
        clock: Callable[[], float],
        gathering: "_Gathering",
    ) -> None:
        self._source = source
        self._as_calls = as_calls
        self._clock = clock
        self._gathering = gathering
        #: how many to draw at once
        self._size = 1
        self._complete: deque[ArgumentColumn] = deque()
        #: drawn, and to be pickled one by one
        self._left: deque[Call] = deque()
        self._begun = 0.0
        self._is_over = False

    def __next__(self) -> tuple[ArgumentColumn, Futures]:
        while not self._complete:
            if self._left:
                self._pickle_next()
            elif self._is_over:
                raise StopIteration
            else:
                self._draw()
        return self._gathering.with_futures(self._complete.popleft())

    def _draw(self) -> None:
        """Draw the next ones, and pickle them if they are plain."""
        self._begun = self._clock()
        drawn = list(islice(self._source, self._size))
        if not drawn:
            self._is_over = True
            self._complete += self._gathering.flush()
            return
        calls, types = self._as_calls(drawn)
        types = set(map(type, chain.from_iterable(calls))) if types is None else types
        if types <= PLAIN and (_SILENT.isdisjoint(types) or _largest(calls) <= inline.most_bytes):
            pickled = list(map(pickle.dumps, calls, repeat(PROTOCOL)))
            size_bytes = sum(map(len, pickled))
            self._size = _next_size(self._size, size_bytes, self._clock() - self._begun)
            if size_bytes > MAX_VALUE_BYTES:
                self._gathering.check(pickled)
            self._take(pickled, size_bytes)
        else:
            self._size = 1
            self._left.extend(calls)

    def _pickle_next(self) -> None:
        try:
            data = self._gathering.pickle(self._left[0])
        except StoreFullError:
            self._complete += self._gathering.flush()
            if not self._complete:  # what fills the store may be there for those
                raise
            return
        self._left.popleft()
        self._take([data], len(data))

    def _take(self, pickled: list[bytes], size_bytes: int) -> None:
        self._complete += self._gathering.extend(pickled, size_bytes)
        if not self._left and self._clock() - self._begun > _MAX_BLOCK_S:
            self._complete += self._gathering.flush()


def _next_size(size: int, size_bytes: int, seconds: float) -> int:
    share = max(size_bytes / _MAX_BLOCK_BYTES, seconds / _MAX_BLOCK_S, 1 / 4)
    return max(1, min(int(size / share), _MAX_BLOCK))


class _Gathering:
    """Pickled calls that wait for their column to be complete."""

    def __init__(self, lo: int, lift: Lift | None) -> None:
        self._lo = lo
        self._lift = lift
        self._calls: list[bytes] = []
        self._size = 0
        self._target_calls = _FIRST_COLUMN_CALLS
        self._target_bytes = _SECOND_COLUMN_BYTES
        self._found = Found()
        self._futures: Futures = {}

    def pickle(self, call: Call) -> bytes:
        """The next call in bytes, and note which futures are in it."""
        index = self._lo + len(self._calls)
        try:
            with self._found as found:
                data = pickle_call(call, None, self._lift)
                if futures := found.take():
                    self._futures[index] = futures
        except SerializationError as error:
            raise SerializationError(f"element {index}: {error}") from error.__cause__
        except StoreFullError:  # it is pickled anew once there is room
            self._found.forget()
            raise
        return data

    def check(self, calls: list[bytes]) -> None:
        """None of the next calls may be too large."""
        for index, data in enumerate(calls, self._lo + len(self._calls)):
            if len(data) > MAX_VALUE_BYTES:
                raise SerializationError(f"element {index}: {too_large('the call', len(data))}")

    def with_futures(self, column: ArgumentColumn) -> tuple[ArgumentColumn, Futures]:
        """A column, and the futures in its calls."""
        within = [index for index in self._futures if index < column.hi]
        return column, {index: self._futures.pop(index) for index in within}

    def extend(self, calls: list[bytes], size: int) -> list[ArgumentColumn]:
        """The columns that are complete with these calls of so many bytes in all."""
        complete = []
        if self._size + size <= MAX_FRAME_BYTES and len(self._calls) + len(calls) <= MAX_COLUMN_CALLS:
            self._calls += calls
            self._size += size
        else:
            for call in calls:
                if self._size + len(call) > MAX_FRAME_BYTES or len(self._calls) == MAX_COLUMN_CALLS:
                    complete += self.flush()
                self._calls.append(call)
                self._size += len(call)
        if self._size >= self._target_bytes or len(self._calls) >= self._target_calls:
            complete += self.flush()
        return complete

    def flush(self) -> list[ArgumentColumn]:
        """What waits, as a column, if anything does."""
        if not self._calls:
            return []
        column = joined_column(self._lo, self._calls)
        if self._size >= self._target_bytes:
            self._target_bytes = min(self._target_bytes * 4, MAX_FRAME_BYTES * 3 // 4)
        self._target_calls = MAX_COLUMN_CALLS
        self._lo = column.hi
        self._calls, self._size = [], 0
        return [column]


def _culprit(args: Call, kwargs: dict[str, Any], error: Exception) -> str:
    for name, value in chain(((f"argument {index}", value) for index, value in enumerate(args)), kwargs.items()):
        try:
            dumps(value)
        except Exception as own:  # noqa: BLE001  # whatever a __reduce__ raises is the answer looked for
            return unpicklable_path(value, name, own)
    return str(error)
