"""Calls to columns and back: each call is pickled by itself, many are laid end to end.

What is pickled is the tuple of arguments, or, with keywords, an exact list of that tuple and a dict. Calls of plain
values take the shortest way; all others go through cloudpickle, so that what is defined in `__main__` travels too.
"""

import pickle
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice, repeat
from typing import Any

import cloudpickle

from scaler.errors import SerializationError
from scaler.payload.diagnosis import unpicklable_path
from scaler.payload.functions import PROTOCOL, split_frames
from scaler.protocol.columns import MAX_FRAME_BYTES, ArgumentColumn, Frame

#: exact types that pickle the same everywhere and hold nothing else
PLAIN = frozenset((int, float, bool, str, bytes, complex, type(None)))
#: blocks begin small, so that workers start before a slow iterable is at its end
_BLOCKS = (64, 256, 1024)
_BLOCK = 2048
#: the first column is flushed at this size, the following ones at four times the last
_FIRST_COLUMN_BYTES = 16 << 10

Call = tuple[Any, ...]


def pickle_call(args: Call, kwargs: dict[str, Any] | None = None) -> bytes:
    """One call in bytes; `SerializationError` names the argument that cannot be pickled."""
    if not kwargs:
        for value in args:
            if type(value) not in PLAIN:
                return _dump_call(args)
        return pickle.dumps(args, PROTOCOL)
    return _dump_call([args, kwargs])


def load_call(data: Frame) -> tuple[Call, dict[str, Any]]:
    """The arguments in the bytes of one call."""
    call = pickle.loads(data)  # noqa: S301  # the scheduler let only our own keys in
    return (call, {}) if type(call) is tuple else (call[0], call[1])


def single_column(lo: int, data: bytes) -> ArgumentColumn:
    """A column of one call."""
    return ArgumentColumn(
        lo, 1, array("Q", (0, len(data))).tobytes(), tuple(split_frames(data))
    )


def joined_column(lo: int, calls: list[bytes]) -> ArgumentColumn:
    """A column of several calls, which together fit one frame."""
    if len(calls) == 1:
        return single_column(lo, calls[0])
    offsets = array("Q", accumulate(map(len, calls), initial=0))
    return ArgumentColumn(lo, len(calls), offsets.tobytes(), (b"".join(calls),))


def columns(calls: Iterable[Call], lo: int) -> Iterator[ArgumentColumn]:
    """The calls in columns of at most 1 MiB, from index `lo` on; a larger single call has a column of its own."""
    gathering = _Gathering(lo)
    for block in _blocks(iter(calls)):
        if PLAIN.issuperset(map(type, chain.from_iterable(block))):
            yield from gathering.extend(
                list(map(pickle.dumps, block, repeat(PROTOCOL)))
            )
        else:
            for call in block:
                yield from gathering.extend([pickle_call(call)])
    yield from gathering.flush()


class _Gathering:
    """Pickled calls that wait for their column to be full."""

    def __init__(self, lo: int) -> None:
        self._lo = lo
        self._calls: list[bytes] = []
        self._size = 0
        self._target = _FIRST_COLUMN_BYTES

    def extend(self, calls: list[bytes]) -> Iterator[ArgumentColumn]:
        size = sum(map(len, calls))
        if self._size + size <= MAX_FRAME_BYTES:
            self._calls += calls
            self._size += size
        else:
            for call in calls:
                if self._size + len(call) > MAX_FRAME_BYTES:
                    yield from self.flush()
                self._calls.append(call)
                self._size += len(call)
        if self._size >= self._target:
            yield from self.flush()
            self._target = min(self._target * 4, MAX_FRAME_BYTES * 3 // 4)

    def flush(self) -> Iterator[ArgumentColumn]:
        if self._calls:
            yield joined_column(self._lo, self._calls)
            self._lo += len(self._calls)
            self._calls, self._size = [], 0


def _blocks(calls: Iterator[Call]) -> Iterator[list[Call]]:
    for size in chain(_BLOCKS, repeat(_BLOCK)):
        block = list(islice(calls, size))
        if not block:
            return
        yield block


def _dump_call(call: Call | list[Any]) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(call, PROTOCOL)
    except Exception as error:
        args, kwargs = (call, {}) if type(call) is tuple else call
        parts = {
            **{f"argument {index}": value for index, value in enumerate(args)},
            **kwargs,
        }
        raise SerializationError(
            f"the call cannot be sent: {_culprit(parts, error)}"
        ) from error
    return data


def _culprit(parts: dict[str, Any], error: Exception) -> str:
    for name, value in parts.items():
        try:
            cloudpickle.dumps(value, PROTOCOL)
        except Exception as own:  # noqa: BLE001  # whatever a __reduce__ raises is the answer looked for
            return unpicklable_path(value, name, own)
    return str(error)
