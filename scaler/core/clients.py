"""The client manager: who is connected, which batches are theirs, and what they were told."""

from typing import NamedTuple

from scaler.ids import BatchId, Incarnation, RunId


class Parent(NamedTuple):
    """The task that a client is inside of: task `index` of `run`, at a cluster."""

    cluster: Incarnation
    run: RunId
    index: int  # type: ignore[assignment]  # a tuple has a method of this name


class ClientRecord:
    """One client, operator or child."""

    def __init__(self, peer: Incarnation, role: str, name: str, parent: Parent | None = None) -> None:
        self.peer = peer
        self.role = role
        self.name = name
        #: None but for a child: a client inside a task
        self.parent = parent
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

    def __init__(self) -> None:
        self.clients: dict[Incarnation, ClientRecord] = {}
        #: all and only those with a parent, by its cluster
        self.children: dict[Incarnation, dict[Incarnation, ClientRecord]] = {}

    def join(self, peer: Incarnation, role: str, name: str, parent: Parent | None = None) -> ClientRecord:
        """A client connected, or a child spoke for the first time."""
        record = self.clients[peer] = ClientRecord(peer, role, name, parent)
        if parent is not None:
            self.children.setdefault(parent.cluster, {})[peer] = record
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
