"""The durable work of a client: what the scheduler has told of it, what it had before, and who waits for its disk.

Every client has one; that of a client without `durable=` has no name, is told nothing, and refuses what it is asked.
"""

import copy
import itertools
import secrets
import threading
from typing import Protocol

from scaler.client import sinks
from scaler.client.futures import ScalerFuture
from scaler.client.kept import KeptResults
from scaler.client.sinks import Sink
from scaler.client.waits import require_may_wait, wait_by
from scaler.errors import ClientQuitException, DurableError, ScalerError
from scaler.ids import BatchId, Incarnation
from scaler.ledger.events import BatchAttached, FlushAsked, FlushGivenUp
from scaler.protocol import Acknowledged, BatchOptions, WorkBatch, WorkBatches, WorkOpened

#: batches of one client are numbered from a number of its own on, of which these bits are 0
COUNT_BITS = 32
_FIRST_BITS = 31
#: of so many batches, those heard of last, it is known here how far they are on disk; else the ledger is asked
MOST_KNOWN = 4096
#: the I/O thread has to answer in any case
_ANSWER_S = 0.05


class Line(sinks.Line, Protocol):
    """The I/O thread."""

    lock: threading.Lock
    left_because: str

    @property
    def error(self) -> ScalerError:
        """What everybody who waits is told when it ends."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        ...

    def remember(self, sink: Sink) -> None:
        """Outcomes of its batch go to the sink."""
        ...

    def post(self, *events: BatchAttached | FlushAsked | FlushGivenUp) -> None:
        """Tell the ledger, in order."""
        ...


class _Waiting:
    """One who waits: told once it is on disk, or that it never will be."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.is_on_disk = False


class DurableWork:
    """What a client knows of its work; `name` is "" if it has none."""

    def __init__(self, name: str, line: Line) -> None:
        self.name = name
        #: the owner of its batches; 0 until it is opened
        self.incarnation = Incarnation(0)
        #: set once it is opened, or never will be
        self.told = threading.Event()
        self._line = line
        #: what it had when it was opened, as the scheduler has listed it
        self._batches: dict[BatchId, WorkBatch] = {}
        self._sinks: dict[BatchId, KeptResults] = {}
        self._futures: list[ScalerFuture] | None = None
        self._on_disk: dict[BatchId, int] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    def __contains__(self, batch: BatchId) -> bool:
        """Whether another process has submitted it, before this client opened the work."""
        return batch in self._batches

    def first_number(self) -> int:
        """A number for the batches of this client to begin with, so that no other client of the work has the same."""
        taken = {batch.n >> COUNT_BITS for batch in self._batches}
        while (drawn := secrets.randbits(_FIRST_BITS)) in taken:
            pass
        return drawn << COUNT_BITS

    # ---- called by the I/O thread

    def learn(self, message: WorkOpened | WorkBatches | Acknowledged) -> DurableError | None:
        """The scheduler told something; the error that ends the client, if it is one."""
        match message:
            case _ if not self.name:
                return None
            case WorkBatches(batches) if not self.incarnation:
                self._batches |= {one.batch: one for one in batches}
            case Acknowledged(batch, hi):
                self._on_disk[batch] = max(self._on_disk.pop(batch, 0), hi)
                if len(self._on_disk) > MOST_KNOWN:
                    del self._on_disk[next(iter(self._on_disk))]
            case WorkOpened(_, incarnation, refused):
                return self._opened(incarnation, refused)
            case _:
                pass
        return None

    def _opened(self, incarnation: Incarnation, refused: str) -> DurableError | None:
        if refused:
            return DurableError(refused if repr(self.name) in refused else f"durable work {self.name!r}: {refused}")
        if self.incarnation not in {0, incarnation}:
            return DurableError(f"the durable work {self.name!r} was dropped and begun anew: make a new Client")
        self.incarnation = incarnation
        self.told.set()
        return None

    def flushed(self, number: int) -> None:
        """What somebody waits for is on disk."""
        if (waiting := self._waiting.get(number)) is not None:
            waiting.is_on_disk = True
            waiting.told.set()

    def end(self) -> None:
        """Nothing more will be told: nobody waits for it any more."""
        self.told.set()
        for waiting in list(self._waiting.values()):
            waiting.told.set()

    # ---- the disk

    def wait(self, what: str, timeout: float | None, batch: BatchId | None = None, hi: int = 0) -> None:
        """Wait until a batch is on disk up to `hi`, or all there is; `TimeoutError` after so many seconds."""
        self.require_name(what)
        if batch is not None and self._on_disk.get(batch, 0) >= hi:
            return
        require_may_wait("waiting for the disk")
        number, waiting = next(self._numbers), _Waiting()
        self._waiting[number] = waiting
        try:
            self._line.post(FlushAsked(number, batch, hi))
            if self._line.left_because:
                raise ClientQuitException(f"{self._line.left_because}; make a new Client")
            if not self._line.is_over:
                wait_by(waiting.told.wait, None if timeout is None else max(timeout, _ANSWER_S))
            if not waiting.is_on_disk and (waiting.told.is_set() or self._line.is_over):
                raise copy.copy(self._line.error)
            if not waiting.is_on_disk:
                raise TimeoutError(f"{what} is not on disk after {timeout} s")
        finally:
            del self._waiting[number]
            if not waiting.is_on_disk:
                self._line.post(FlushGivenUp(number))

    def require_name(self, what: str) -> None:
        """`DurableError` where the client has no durable work."""
        if not self.name:
            raise DurableError(f"{what} is in memory alone: a client made with durable=NAME keeps its tasks on disk")

    # ---- what there was

    def futures(self) -> list[ScalerFuture]:
        """The futures of all tasks that it had when it was opened: the same at each call."""
        self.require_name("the work of this client")
        with self._line.lock:
            if self._futures is None:  # each step may be done again, after Ctrl-C
                for known in self._batches.values():
                    self._attach(known)
                every = [(self._sinks[batch], known.appended) for batch, known in self._batches.items()]
                self._futures = [sink.future(index) for sink, appended in every for index in range(appended)]
            return list(self._futures)

    def _attach(self, known: WorkBatch) -> None:
        sink = self._sinks.get(known.batch)
        if sink is None:
            sink = KeptResults(known.batch, self._line, known.name)
            sink.expect(known.appended)
            sink.complete()
            self._sinks[known.batch] = sink
        if not sink.is_over():
            self._line.remember(sink)
            options = BatchOptions(name=known.name, durable=self.name)
            self._line.post(BatchAttached(known.batch, known.function, options, known.appended))

    def clear(self) -> None:
        """All its tasks are dropped; the caller holds the lock of the line."""
        if self._futures is None:
            self._futures = []

    def disown(self) -> None:
        """In a forked child: the threads that wait are the parent's."""
        self._waiting = {}
