"""Which task prints: what a worker and its cluster tell each other of it. Pure."""

from dataclasses import dataclass

from scaler.ids import BatchId


@dataclass(frozen=True, slots=True)
class Source:
    """A task, and what its function is called."""

    batch: BatchId
    index: int
    name: str
