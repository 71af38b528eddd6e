"""The client manager: who is connected, which batches are theirs, and what they were told."""

from scaler.ids import BatchId, Incarnation


class ClientRecord:
    """One client or operator."""

    def __init__(self, peer: Incarnation, role: str, name: str) -> None:
        self.peer = peer
        self.role = role
        self.name = name
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
    """All clients and operators with a link."""

    def __init__(self) -> None:
        self.clients: dict[Incarnation, ClientRecord] = {}

    def join(self, peer: Incarnation, role: str, name: str) -> ClientRecord:
        """A client connected."""
        record = self.clients[peer] = ClientRecord(peer, role, name)
        return record

    def leave(self, peer: Incarnation) -> None:
        """A client is gone; its batches were dealt with before."""
        del self.clients[peer]

    def batch_is_over(self, batch: BatchId) -> None:
        """A batch is forgotten."""
        self.clients[batch.owner].batches.pop(batch, None)
