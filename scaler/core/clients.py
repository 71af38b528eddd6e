"""The client manager: who is connected, which batches are theirs, and what they were told."""

from collections import deque
from typing import NamedTuple

from scaler.core.nesting import Nesting
from scaler.ids import BatchId, Incarnation, RunId


class Parent(NamedTuple):
    """The task that a client is inside of: task `index` of `run`, at a cluster."""

    cluster: Incarnation
    run: RunId
    index: int  # type: ignore[assignment]  # a tuple has a method of this name


class KeptResults(NamedTuple):
    """What a message brought for which there was no room, left at the cluster of its run."""

    run: RunId
    lo: int
    hi: int
    size_bytes: int


class Way:
    """The way to one client: how much room there is, and what waits at clusters until there is more."""

    __slots__ = ("asked_at", "asked_bytes", "is_awaited", "kept", "room_bytes")

    def __init__(self, room_bytes: int) -> None:
        #: what may be sent, as far as is known, beside what was asked for; below 0 by one message at most
        self.room_bytes = room_bytes
        #: whether `RoomFound` is to come
        self.is_awaited = False
        #: oldest first; of some of it nobody knows, or wants to know, any more
        self.kept: deque[KeptResults] = deque()
        #: what was asked for of it and has not come, about, and when some of that was asked for or came last
        self.asked_bytes = 0
        self.asked_at = 0.0


class ClientRecord:
    """One client, operator or child."""

    def __init__(
        self,
        peer: Incarnation,
        role: str,
        name: str,
        room_bytes: int,
        parent: Parent | None = None,
        nesting: Nesting | None = None,
    ) -> None:
        self.peer = peer
        self.role = role
        self.name = name
        self.way = Way(room_bytes)
        #: None but for a child: a client inside a task
        self.parent = parent
        #: where the tasks of a child stand
        self.nesting = nesting
        #: its batches that are not over, oldest first
        self.batches: dict[BatchId, None] = {}
        #: the highest batch number it ever named
        self.highest = -1
        #: it has told everything it waits for
        self.has_resumed = False

    def names(self, batch: BatchId) -> None:
        """A batch of its own is opened or resumed."""
        self.batches[batch] = None
        self.highest = max(self.highest, batch.n)

    def may_be_over(self, batch: BatchId) -> bool:
        """Whether an unknown batch can be one of its own that is over; else it never was."""
        return batch.owner == self.peer and batch.n <= self.highest


class ClientManager:
    """All clients and operators with a link, and all children of clusters with one."""

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self.clients: dict[Incarnation, ClientRecord] = {}
        #: all and only those with a parent, by its cluster
        self.children: dict[Incarnation, dict[Incarnation, ClientRecord]] = {}

    def join(self, peer: Incarnation, role: str, name: str) -> ClientRecord:
        """A client connected."""
        record = self.clients[peer] = ClientRecord(peer, role, name, self._window_bytes)
        return record

    def join_child(self, child: Incarnation, parent: Parent, nesting: Nesting) -> ClientRecord:
        """A child spoke for the first time."""
        record = self.clients[child] = ClientRecord(child, "child", "", self._window_bytes, parent, nesting)
        self.children.setdefault(parent.cluster, {})[child] = record
        return record

    def children_of(self, cluster: Incarnation) -> list[ClientRecord]:
        """The clients inside tasks of a cluster."""
        return list(self.children.get(cluster, {}).values())

    def leave(self, peer: Incarnation) -> None:
        """A client is gone; its batches were dealt with before."""
        parent = self.clients.pop(peer).parent
        if parent is not None:
            siblings = self.children[parent.cluster]
            del siblings[peer]
            if not siblings:
                del self.children[parent.cluster]

    def batch_is_over(self, batch: BatchId) -> None:
        """A batch is forgotten."""
        self.clients[batch.owner].batches.pop(batch, None)
