"""Where tasks stand that a client inside a task submits: below that task, and in the turns of the client at its root.

Order and turns follow from it, so a child is not believed: what it says has to be what is known of its parent.
"""

from typing import NamedTuple

from msgspec.structs import replace

from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol import BatchOptions
from scaler.protocol.options import MAX_DEPTH


class Nesting(NamedTuple):
    """What the options of a child's batches say: its parent, in how many tasks they are nested, and whose turns count.

    `is_known` is False where the parent's own options have not been heard yet, after a restart.
    """

    parent: TaskId
    depth: int
    root: Incarnation
    is_known: bool = True


def below(batch: BatchId, index: int, options: BatchOptions, above: Nesting | None = None) -> Nesting:
    """The nesting of what task `index` of a batch with these options submits.

    `above` is the nesting of the batch itself, if it has one: where that is not known, no root below it is.
    """
    depth = min(options.depth + 1, MAX_DEPTH)
    is_known = above is None or above.is_known
    return Nesting(TaskId(batch, index), depth, options.root or batch.owner, is_known)


def below_unknown(batch: BatchId, index: int) -> Nesting:
    """The same of a batch nobody has resumed yet; it may itself be nested."""
    return Nesting(TaskId(batch, index), 1, batch.owner, is_known=False)


def nested(options: BatchOptions, nesting: Nesting | None) -> BatchOptions | None:
    """The options as they hold good; None where they claim what is not so.

    What cannot be known yet takes its own turns: neither those of others, nor those before them.
    """
    claimed = (options.parent, options.depth, options.root)
    if nesting is None:
        return None if any(claimed) else options
    if claimed == nesting[:3]:
        return options
    if nesting.is_known or options.parent != nesting.parent:
        return None
    return replace(options, root=Incarnation(0))
