"""Acknowledgements of results: gathered for a moment, since results come in crowds."""

from collections import OrderedDict
from collections.abc import Iterable

from scaler.ids import BatchId
from scaler.ledger.events import Command, Say
from scaler.ledger.sayings import parts
from scaler.protocol import Taken
from scaler.ranges import RangeSet

#: acknowledgements of results are gathered for so long, or until they stand for so much
TAKEN_DELAY_S = 0.05
TAKEN_MESSAGES = 64
TAKEN_BYTES = 1 << 20


class TakenNotes:
    """Results that came and were not acknowledged; `due` is when they are to be, or None if there are none."""

    def __init__(self) -> None:
        self._taken: OrderedDict[BatchId, RangeSet] = OrderedDict()
        self._messages = 0
        self._bytes = 0
        self.due: float | None = None

    def check(self) -> None:
        """Raise unless every invariant holds."""
        assert (self.due is None) == (not self._taken)

    def note(self, batch: BatchId, ranges: Iterable[tuple[int, int]], size_bytes: int, now: float) -> None:
        """These have come, in a message of that size."""
        taken = self._taken.setdefault(batch, RangeSet())
        for lo, hi in ranges:
            taken.add(lo, hi)
        self._messages += 1
        self._bytes += size_bytes
        if self._messages >= TAKEN_MESSAGES or self._bytes > TAKEN_BYTES:
            self.due = now
        elif self.due is None:
            self.due = now + TAKEN_DELAY_S

    def say(self) -> list[Command]:
        """The acknowledgements of all of them."""
        said: list[Command] = [
            Say(Taken(batch, part)) for batch, taken in self._taken.items() for part in parts(taken.ranges())
        ]
        self.forget()
        return said

    def forget(self) -> None:
        """Nobody is to hear of them."""
        self._taken.clear()
        self._messages = self._bytes = 0
        self.due = None
