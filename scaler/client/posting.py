"""What other threads leave for the I/O thread: events for the ledger, and single calls that may travel together.

Futures among the arguments of calls are named here, in the thread that settles them: so what has become of one is
either told with the calls that need it, or comes to the ledger later.
"""

from collections import deque
from itertools import groupby
from typing import Protocol

from msgspec import Struct

from scaler.ids import BatchId, TaskId
from scaler.ledger.events import Event as LedgerEvent
from scaler.ledger.events import KnownOutcome, TasksAppended, Unwanted
from scaler.payload.calls import MAX_COLUMN_CALLS, Futures, joined_column, single_column
from scaler.protocol.columns import MAX_FRAME_BYTES, ArgumentColumn


class NeededTask(Protocol):
    """A task that a call needs: its future, or what is left of it."""

    @property
    def task(self) -> TaskId:
        """Its name."""

    def outcome(self) -> KnownOutcome | None:
        """What became of it, if it is done."""


class PostedColumn(Struct, frozen=True):
    """The next calls of a batch, and the futures among their arguments."""

    batch: BatchId
    column: ArgumentColumn
    futures: Futures


PostedCall = tuple[BatchId, int, bytes, tuple[NeededTask, ...]]
Posted = LedgerEvent | PostedCall | PostedColumn


def taken(posted: deque[Posted]) -> list[LedgerEvent]:
    """Take out what was posted, in order.

    Calls that are neighbours are joined, as far as one frame holds them, and so is what is given up of one batch.
    """
    events: list[LedgerEvent] = []
    has_unwanted = False
    joining: list[PostedCall] = []
    size = 0
    while posted:
        item = posted.popleft()
        if type(item) is tuple:
            if joining and (
                item[0] != joining[-1][0]
                or item[1] != joining[-1][1] + 1
                or size + len(item[2]) > MAX_FRAME_BYTES
                or len(joining) == MAX_COLUMN_CALLS
            ):
                events.append(_appended(joining))
                joining, size = [], 0
            joining.append(item)
            size += len(item[2])
            continue
        if joining:
            events.append(_appended(joining))
            joining, size = [], 0
        if isinstance(item, PostedColumn):
            events.append(_with_futures(item.batch, item.column, item.futures))
            continue
        has_unwanted = has_unwanted or type(item) is Unwanted
        events.append(item)  # type: ignore[arg-type]  # tuples are calls, and dealt with above
    if joining:
        events.append(_appended(joining))
    return _merged(events) if has_unwanted else events


def _appended(calls: list[PostedCall]) -> TasksAppended:
    batch, lo, first, futures = calls[0]
    if len(calls) == 1:
        column = single_column(lo, first)
        return _with_futures(batch, column, {lo: futures}) if futures else TasksAppended(batch, column)
    column = joined_column(lo, [call for _, _, call, _ in calls])
    found = {index: among for _, index, _, among in calls if among}
    return _with_futures(batch, column, found) if found else TasksAppended(batch, column)


def _with_futures(batch: BatchId, column: ArgumentColumn, futures: Futures) -> TasksAppended:
    dependencies = {index: tuple(future.task for future in among) for index, among in futures.items()}
    each = dict.fromkeys(future for among in futures.values() for future in among)
    known = tuple((future.task, outcome) for future in each if (outcome := future.outcome()) is not None)
    return TasksAppended(batch, column, dependencies, known)


def _merged(events: list[LedgerEvent]) -> list[LedgerEvent]:
    merged: list[LedgerEvent] = []
    for batch, group in groupby(events, lambda event: event.batch if isinstance(event, Unwanted) else None):
        if batch is None:
            merged += group
        else:
            ranges = (part for event in group if isinstance(event, Unwanted) for part in event.ranges)
            merged.append(Unwanted(batch, tuple(ranges)))
    return merged
