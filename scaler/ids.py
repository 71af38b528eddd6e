"""The names of things: plain values, made without chance, that sort and hash alike in every process.

Incarnations and epochs are the only random ones; a shell draws them once when its process starts, an incarnation as
the secret behind it.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, NamedTuple, NewType

from msgspec import Meta

#: What is on no wire below 0: a decoder refuses it before anybody counts with it. Beyond 64 bits there is nothing.
NATURAL = Meta(ge=0)
Natural = Annotated[int, NATURAL]

#: 64 random bits that name one life of a process: a client, a worker cluster or a scheduler.
Incarnation = NewType("Incarnation", int)

#: of the secret behind the incarnation of a client or a worker cluster, which `incarnation_of` makes of it
SECRET_BYTES = 32

#: The incarnation of a scheduler. Runs are named by it, so that a run of an earlier scheduler is never mistaken.
Epoch = NewType("Epoch", int)

#: BLAKE2b-128 of the pickled bytes of a function: 16 bytes.
FunctionId = NewType("FunctionId", bytes)


def incarnation_of(secret: bytes) -> Incarnation:
    """The name of a life whose process has drawn these bytes: everybody sees the name, and it alone can show them."""
    return Incarnation(int.from_bytes(hashlib.blake2b(secret, digest_size=8).digest()))


def function_id(frames: Iterable[bytes | memoryview]) -> FunctionId:
    """The name of the function with these bytes, however they are cut."""
    named = hashlib.blake2b(digest_size=16)
    for frame in frames:
        named.update(frame)
    return FunctionId(named.digest())


#: A worker of one cluster: 0, 1, 2 …; a replacement gets a new number.
WorkerId = NewType("WorkerId", int)

#: A ticket of one cluster: a counter from 1, below 2**32, never used twice by a cluster.
TicketId = NewType("TicketId", int)


class BatchId(NamedTuple):
    """One function, one set of options, n calls: the n-th batch of one client."""

    owner: Annotated[Incarnation, NATURAL]
    n: Natural


class TaskId(NamedTuple):
    """One call: an index of a batch."""

    batch: BatchId
    index: Natural  # type: ignore[assignment]  # a tuple has a method of this name

    def __str__(self) -> str:
        return f"{self.batch.owner:016x}-{self.batch.n}-{self.index}"


class ObjectId(NamedTuple):
    """One immutable value: the n-th object of its owner."""

    owner: Annotated[Incarnation, NATURAL]
    n: Natural


class RunId(NamedTuple):
    """One sending of a span to a cluster: the n-th of one scheduler."""

    epoch: Annotated[Epoch, NATURAL]
    n: Natural


class Range(NamedTuple):
    """The half-open range [lo, hi) of indices of a batch."""

    lo: int
    hi: int
