"""What a client and a scheduler say of durable works: of what outlives the client that has submitted it."""

from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import NATURAL, BatchId, FunctionId, Incarnation, Natural
from scaler.protocol.connection import Label, Text

#: so many batches, or works, fit a message
MOST_LISTED = 1 << 10

# ---- client to scheduler


class OpenWork(Struct, frozen=True, array_like=True, tag=22):
    """Have a durable work, made now if there is none: the client's batches are the work's own from now on.

    Client to scheduler, before all else on every new link that did not resume; answered by `WorkBatches` and one
    `WorkOpened`. `incarnation` is the work's own where this client has had it before, else 0: should the scheduler have
    lost it, it is made anew as that.
    """

    name: Label
    incarnation: Annotated[Incarnation, NATURAL] = Incarnation(0)


class ListWorks(Struct, frozen=True, array_like=True, tag=23):
    """Which durable works of this client's key are there? Client to scheduler; answered by `WorksListed`."""


class DropWork(Struct, frozen=True, array_like=True, tag=24):
    """Forget a durable work, with all its tasks and results. Client to scheduler; answered by `WorkDropped`."""

    name: Label


# ---- scheduler to client


class WorkOpened(Struct, frozen=True, array_like=True, tag=40):
    """A durable work is there, as this incarnation; or why it is not. Scheduler to client."""

    name: Label
    incarnation: Annotated[Incarnation, NATURAL]
    refused: Text = ""


class WorkBatch(Struct, frozen=True, array_like=True):
    """A batch of a durable work: `appended` tasks are on disk, of which `ended` have an outcome there."""

    batch: BatchId
    function: FunctionId
    name: Label
    appended: Natural
    ended: Natural


class WorkBatches(Struct, frozen=True, array_like=True, tag=41):
    """Some of the batches that a durable work has when it is opened. Scheduler to client, before `WorkOpened`."""

    batches: Annotated[tuple[WorkBatch, ...], Meta(max_length=MOST_LISTED)]


class Acknowledged(Struct, frozen=True, array_like=True, tag=42):
    """All tasks of a batch below `hi` are on disk: they are not lost, whoever dies. Scheduler to client."""

    batch: BatchId
    hi: Natural


class WorkSummary(Struct, frozen=True, array_like=True):
    """A durable work in figures; `problem` says why it cannot be used, if it cannot."""

    name: Label
    unfinished: Natural
    ended: Natural
    size_bytes: Natural
    problem: Text = ""


class WorksListed(Struct, frozen=True, array_like=True, tag=43):
    """All durable works of the key that has asked. Scheduler to client; `more` says whether another one follows."""

    works: Annotated[tuple[WorkSummary, ...], Meta(max_length=MOST_LISTED)]
    more: bool = False


class WorkDropped(Struct, frozen=True, array_like=True, tag=44):
    """A durable work is gone, or why it is not. Scheduler to client."""

    name: Label
    refused: Text = ""
