"""Columns and messages for the ledger's tests, in as few words as possible."""

from array import array
from collections.abc import Iterable
from itertools import accumulate

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, Range
from scaler.ledger.events import (
    Again,
    BatchClosed,
    BatchOpened,
    Command,
    Event,
    FunctionPickled,
    LinkUp,
    Received,
    Resolve,
    Say,
    TasksAppended,
)
from scaler.ledger.ledger import Ledger
from scaler.protocol import AppendTasks, BatchOptions, Cause, DefineFunction, Failure, OpenBatch, Results, Resumed
from scaler.protocol.columns import ArgumentColumn, ResultColumn

A, B, C = (BatchId(Incarnation(1), n) for n in (1, 2, 3))
F, G = FunctionId(b"f" * 16), FunctionId(b"g" * 16)
OPTIONS = BatchOptions(name="f")
FIRST, SECOND = Epoch(11), Epoch(12)
ROOM = 1 << 30
UP = LinkUp(FIRST, resumed=False)
UP_ANEW = LinkUp(SECOND, resumed=False)
UP_AGAIN = LinkUp(FIRST, resumed=True)
RESUMED = Say(Resumed())


FAILURE = Failure(Cause.DIED, "signal 9")


class Watched(Ledger):
    """A ledger that checks itself after every step."""

    def handle(self, events: Iterable[Event], now: float = 0.0, room_bytes: int = ROOM) -> list[Command]:
        commands = super().handle(events, now, room_bytes)
        self.check()
        return commands


def argument(index: int) -> bytes:
    return b"%d," % index


def arguments(lo: int, hi: int, size: int = 0) -> ArgumentColumn:
    """The calls of [lo, hi), each naming its index, filled up to `size` bytes."""
    calls = [argument(index).ljust(size) for index in range(lo, hi)]
    return ArgumentColumn(lo, hi - lo, array("Q", accumulate(map(len, calls), initial=0)).tobytes(), (b"".join(calls),))


def indices(column: ArgumentColumn) -> list[int]:
    """Which calls a column holds."""
    return [int(part) for part in b"".join(column.data).split(b",") if part.strip()]


def values(lo: int, hi: int, size: int = 1, base: int = 0) -> ResultColumn:
    """The results of [lo, hi)."""
    ends = array("Q", (base + size * (n + 1) for n in range(hi - lo)))
    count = hi - lo
    data = b"".join(bytes((index % 256,)) * size for index in range(lo, hi))
    return ResultColumn(lo, count, base, bytes(count), bytes(4 * count), ends.tobytes(), b"", (data,))


def results(batch: BatchId, lo: int, hi: int, size: int = 1) -> Received:
    column = values(lo, hi, size)
    return Received(Results(batch, lo, hi, 0, "host", 1), column.frames())


def opened(batch: BatchId = A, function: FunctionId = F) -> list[Event]:
    return [FunctionPickled(function, (b"code",)), BatchOpened(batch, function, OPTIONS)]


def mapped(lo: int, hi: int, batch: BatchId = A, function: FunctionId = F) -> list[Event]:
    """A whole map of one chunk."""
    return [*opened(batch, function), TasksAppended(batch, arguments(lo, hi)), BatchClosed(batch)]


def define(function: FunctionId = F, data: bytes = b"code") -> Say:
    return Say(DefineFunction(function, len(data)), (data,))


def open_batch(batch: BatchId = A, function: FunctionId = F) -> Say:
    return Say(OpenBatch(batch, function, OPTIONS))


def append(lo: int, hi: int, batch: BatchId = A) -> Say:
    return append_column(arguments(lo, hi), batch)


def append_column(column: ArgumentColumn, batch: BatchId = A) -> Say:
    return Say(AppendTasks(batch, column.lo, column.count), column.frames())


def spans(*bounds: tuple[int, int]) -> tuple[Range, ...]:
    return tuple(Range(lo, hi) for lo, hi in bounds)


def resolve(lo: int, hi: int, batch: BatchId = A) -> Resolve:
    return Resolve(batch, values(lo, hi), "host", 1)


def again(*columns: ArgumentColumn, function: FunctionId = F) -> Again:
    return Again(function, (b"code",), OPTIONS, columns)


def singles(*indices: int) -> tuple[Range, ...]:
    return tuple(Range(index, index + 1) for index in indices)
