"""What is said about objects: immutable values that live in the stores of hosts and are moved by name."""

from msgspec import Struct

from scaler.ids import Natural, ObjectId
from scaler.protocol.connection import Label


class Door(Struct, frozen=True, array_like=True):
    """Where a cluster gives other clusters what it has: an address of tcp, and the public key it shows there."""

    address: Label
    key: Label


class ObjectsMade(Struct, frozen=True, array_like=True, tag=90):
    """New objects and their sizes in bytes; the sender holds a copy of each. Client or cluster to scheduler."""

    objects: tuple[tuple[ObjectId, Natural], ...]


class ObjectsHeld(Struct, frozen=True, array_like=True, tag=91):
    """The sender has copies of these now and can serve them. Cluster to scheduler, gathered."""

    objects: tuple[ObjectId, ...]


class ObjectsDropped(Struct, frozen=True, array_like=True, tag=92):
    """The sender has no copies of these any more, or will have none. Client or cluster to scheduler, or to cluster."""

    objects: tuple[ObjectId, ...]


class ReferencesTaken(Struct, frozen=True, array_like=True, tag=93):
    """The sender refers to these objects; they live on until it says `ReferencesReleased` or is lost. Any."""

    objects: tuple[ObjectId, ...]


class ReferencesReleased(Struct, frozen=True, array_like=True, tag=94):
    """The sender refers to these no longer. Any to scheduler, gathered."""

    objects: tuple[ObjectId, ...]


class LocateObject(Struct, frozen=True, array_like=True, tag=95):
    """Where is it? Any to scheduler; answered by `ObjectLocated` or `ObjectsLost`."""

    object: ObjectId


class ObjectLocated(Struct, frozen=True, array_like=True, tag=96):
    """Its size and the doors of clusters to ask for the bytes; empty: ask the scheduler. Scheduler to any.

    With doors it answers `FetchChunks`, of which nothing else comes; who stands behind one may still be fetching it.
    A size of 0 says that its owner has not come back yet: it is told again when that has.
    """

    object: ObjectId
    size_bytes: Natural
    holders: tuple[Door, ...]


class FetchChunks(Struct, frozen=True, array_like=True, tag=97):
    """Send `count` chunks of the object from chunk `first` on; answered by them, or `ObjectsDropped`. Any to any.

    The scheduler may answer a cluster by `ObjectLocated`. One that `insists` cannot have them from any other cluster. A
    `count` of 0 tells a cluster that others will come for what it has made.
    """

    object: ObjectId
    first: Natural
    count: Natural
    insists: bool = False


class ObjectChunk(Struct, frozen=True, array_like=True, tag=98):
    """Chunk `n` of an object of `size_bytes`, at most 1 MiB in a few frames behind it. Any to any."""

    object: ObjectId
    n: Natural
    size_bytes: Natural


class FreeObjects(Struct, frozen=True, array_like=True, tag=99):
    """Nobody refers to these any more: drop the copies. Scheduler to holders, gathered."""

    objects: tuple[ObjectId, ...]


class ObjectsLost(Struct, frozen=True, array_like=True, tag=100):
    """No copy of these is left. Scheduler to their owner (which may send them again) and to who waits for them."""

    objects: tuple[ObjectId, ...]


class PeerPass(Struct, frozen=True, array_like=True, tag=112):
    """The key pair that clusters show at each other's doors, where no other is let in. Scheduler to cluster."""

    public: Label
    secret: Label
