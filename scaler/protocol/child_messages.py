"""What passes between a scheduler and the clients inside tasks: each speaks through the worker cluster it runs on.

A child is such a client. It is to the scheduler a client like any other, but that it has no link of its own, and that
it is gone when its parent is: the task it is inside of. It says nothing until its cluster has told it of a link.
"""

from typing import Annotated

from msgspec import Struct

from scaler.ids import NATURAL, Epoch, Incarnation, Natural, RunId
from scaler.protocol import FromClient, ToClient
from scaler.protocol.options import check_range


class ChildSays(Struct, frozen=True, array_like=True, tag=101):
    """What a client inside a task says; the frames behind it are those of `message`. Cluster to scheduler.

    The parent is task `index` of `run`. The first makes the child known; the cluster says `Goodbye` for it when its
    parent has ended, in whatever way. Answered as `message` is, by `TellChild`s.
    """

    child: Annotated[Incarnation, NATURAL]
    run: RunId
    index: Natural
    message: FromClient

    def __post_init__(self) -> None:
        check_range(self.index, self.index + 1)


class TellChild(Struct, frozen=True, array_like=True, tag=102):
    """What is said to a client inside a task, its frames behind it. Scheduler to cluster, which passes it on.

    A `Goodbye` says that the child is not, or no longer, known: its client can wait for nothing any more.
    """

    child: Annotated[Incarnation, NATURAL]
    message: ToClient


class ParkParent(Struct, frozen=True, array_like=True, tag=103):
    """Nothing that this child has submitted could start, for want of a slot: its parent is to give up its own.

    Scheduler to cluster. Whatever the parent waits with, it is no call of ours, which would have said so. `parked`
    False takes it back: nothing is left to wait for.
    """

    child: Annotated[Incarnation, NATURAL]
    parked: bool


class ChildLinked(Struct, frozen=True, array_like=True, tag=104):
    """A link to a scheduler stands: everything is said anew. Cluster to a client inside a task, first of all.

    `link` counts the links of the cluster; the child acknowledges that number with all it says on that link.
    """

    epoch: Annotated[Epoch, NATURAL]
    link: Natural
