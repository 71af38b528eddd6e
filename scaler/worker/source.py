"""Which task prints: what a worker and its cluster tell each other of it. Pure."""

from dataclasses import dataclass

from scaler.ids import BatchId, Incarnation


@dataclass(frozen=True, slots=True)
class Source:
    """A task, what its function is called, and the client that is to see what it prints, if one is."""

    batch: BatchId
    index: int
    name: str
    viewer: Incarnation | None
