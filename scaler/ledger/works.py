"""A durable work as the ledger of one of its clients sees it: opened on every new link, and what of it is on disk.

A ledger without one has this too, and it never has anything to say.
"""

from collections import OrderedDict
from collections.abc import Mapping

from scaler.ids import BatchId, Incarnation
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import Command, FlushAsked, Flushed, FlushGivenUp, Learned, Say
from scaler.protocol import Acknowledged, OpenWork, WorkBatches, WorkOpened


class LedgerWork:
    """The name of the work, "" for none, and who waits for the disk."""

    def __init__(self, name: str, batches: Mapping[BatchId, LedgerBatch]) -> None:
        self.name = name
        self._incarnation = Incarnation(0)
        self._batches = batches
        #: by number, what each who waits still waits for: of these batches all below that index
        self._waiting: dict[int, OrderedDict[BatchId, int]] = {}

    def open(self) -> list[Command]:
        """What a scheduler is to hear before all else."""
        return [Say(OpenWork(self.name, self._incarnation))] if self.name else []

    def received(self, message: WorkOpened | WorkBatches | Acknowledged) -> list[Command]:
        """The scheduler says what it has of it."""
        match message:
            case WorkOpened(_, incarnation, refused) if not refused:
                self._incarnation = incarnation
            case Acknowledged(batch, hi) if (known := self._batches.get(batch)) is not None:
                known.acknowledged = max(known.acknowledged, hi)
            case _:
                pass
        return [Learned(message)]

    # ---- who waits for the disk

    def wait(self, event: FlushAsked | FlushGivenUp) -> None:
        """Somebody does, or not any more."""
        if isinstance(event, FlushGivenUp):
            self._waiting.pop(event.number, None)
            return
        upto = [(batch.id, batch.appended) for batch in self._batches.values()]
        self._waiting[event.number] = OrderedDict(upto if event.batch is None else [(event.batch, event.hi)])

    @property
    def is_awaited(self) -> bool:
        """Whether anybody does."""
        return bool(self._waiting)

    def flushed(self) -> list[Command]:
        """Those who need not wait longer are told."""
        said: list[Command] = []
        for number, waited in list(self._waiting.items()):
            while waited and self._is_on_disk(*next(iter(waited.items()))):
                waited.popitem(last=False)
            if not waited:
                del self._waiting[number]
                said.append(Flushed(number))
        return said

    def leave(self) -> None:
        """Nothing will be heard of it any more."""
        self._waiting.clear()

    def _is_on_disk(self, batch: BatchId, hi: int) -> bool:
        """Whether all below `hi` is, as far as somebody waits for it: an outcome comes from there."""
        known = self._batches.get(batch)
        return known is None or not known.unresolved.intersects(known.acknowledged, hi)
