"""What a ledger says of a batch that takes several messages."""

from collections.abc import Iterable
from itertools import pairwise

from scaler.ids import Range
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import Command, Say
from scaler.protocol import AppendTasks, CancelTasks, Resume
from scaler.protocol.columns import ArgumentColumn
from scaler.protocol.inputs import dependency_frames
from scaler.protocol.options import MAX_RANGES


def resume(batch: LedgerBatch) -> list[Command]:
    """What a scheduler that does not know a batch has to know of it, without a single argument."""
    is_whole = batch.closed and batch.sent == batch.appended
    unresolved = batch.unresolved.within(0, batch.sent)
    batch.close_said = is_whole
    if is_whole and not unresolved and not batch.unwanted:
        return []
    batch.announced = batch.ever_announced = True
    # Of a list too long for a message the end is named as one range, and what is not waited for cancelled in it.
    known, rest = unresolved[:MAX_RANGES], unresolved[MAX_RANGES:]
    if rest:
        rest.insert(0, known.pop())
        known.append(Range(rest[0].lo, rest[-1].hi))
    gaps = tuple(Range(before.hi, after.lo) for before, after in pairwise(rest))
    size = batch.appended if is_whole and not batch.attached else None
    return [
        Say(Resume(batch.id, batch.function, batch.options, size, tuple(known))),
        *(Say(CancelTasks(batch.id, part)) for part in parts(gaps)),
    ]


def append(batch: LedgerBatch, column: ArgumentColumn) -> Say:
    """Calls of a batch, with what they need behind them."""
    behind = dependency_frames(column.lo, column.hi, batch.needs) if batch.needs else ()
    return Say(AppendTasks(batch.id, column.lo, column.count, len(behind)), column.frames() + behind)


def cancel(batch: LedgerBatch) -> list[Command]:
    """What of a batch is to be cancelled, as far as the scheduler knows of it."""
    unwanted, asked = tuple(batch.unwanted_now()), tuple(batch.asked_now())
    said: list[Command] = [Say(CancelTasks(batch.id, part)) for part in parts(unwanted)]
    return said + [Say(CancelTasks(batch.id, part, unless_begun=True)) for part in parts(asked)]


def unsent_because(batch: LedgerBatch | None, index: int, held_by: str, *, is_linked: bool) -> str:
    """Why a task cannot be where the scheduler says where tasks are; "" if it is there."""
    if not is_linked:
        return "the scheduler cannot be reached at the moment"
    if batch is None or index < batch.sent:
        return ""
    return f"it has not been sent: {held_by or 'what was submitted before it goes first'}"


def parts(ranges: tuple[Range, ...]) -> Iterable[tuple[Range, ...]]:
    """A list of ranges in parts that each fit a message."""
    return (ranges[at : at + MAX_RANGES] for at in range(0, len(ranges), MAX_RANGES))
