"""Results that workers have laid in the store of this cluster: whoever keeps the record of one here keeps its file.

What a worker says of such a result is looked at once, when it is harvested. From then on the file is this cluster's,
and goes when its entry does: see `Runs`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from scaler.errors import ProtocolError
from scaler.ids import Incarnation, ObjectId, RunId, WorkerId
from scaler.protocol import Cause, Failure, FetchChunks, ObjectChunk, ObjectsDropped, ToPeer
from scaler.protocol.columns import MAX_FRAME_BYTES, MAX_VALUE_BYTES, REFERENCE, Frame, ResultColumn
from scaler.protocol.options import MAX_RANGES
from scaler.protocol.references import Reference, read_record
from scaler.protocol.result_names import maker_of
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_peer_events import AnswerPeer
from scaler.worker.agent_peers import pieces_of
from scaler.worker.agent_result_events import (
    AdoptResults,
    DropLeftovers,
    DropResults,
    PieceRead,
    ReadPiece,
    ReadResult,
)
from scaler.worker.agent_results import entry, failed_column
from scaler.worker.agent_work import Worker

#: so much of what goes by value when the cluster leaves is on its way at a time
MOST_HANDED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Stored:
    """The run that a result is of, and how large its file is."""

    run: RunId
    size_bytes: int


class StoredResults:
    """All and only results in the store whose records are kept here, by name."""

    def __init__(self, owner: Incarnation, outbox: Outbox) -> None:
        self._owner = owner
        self._outbox = outbox
        self._by_name: dict[ObjectId, _Stored] = {}
        #: those that others may have copies of
        self._served: set[ObjectId] = set()
        #: the cluster leaves: those whose values are to go before, and how much of such is on its way
        self._to_hand_over: deque[ObjectId] | None = None
        self._handed: dict[tuple[RunId, int], int] = {}
        self._is_reading = False

    def take_in(self, run: RunId, worker: Worker, column: ResultColumn) -> list[ResultColumn]:
        """Results of a worker, some of which are records: these files are ours now.

        What is no record of its own is no result: it becomes a failure.
        """
        adopted: list[ObjectId] = []
        columns: list[ResultColumn] = []
        start = column.lo
        for number, status in enumerate(bytes(column.statuses)):
            if status != REFERENCE:
                continue
            index = column.lo + number
            try:
                reference = self._read(worker.id, column, index)
            except ProtocolError as error:
                if start < index:
                    columns.append(column.slice(start, index))
                text = f"what its worker said of the result cannot be right: {error}"
                columns.append(failed_column(index, Failure(Cause.OBJECT_LOST, text, worker.place)))
                start = index + 1
            else:
                self._by_name[reference.object] = _Stored(run, reference.size_bytes)
                if self._to_hand_over is not None:
                    self._to_hand_over.append(reference.object)
                adopted.append(reference.object)
        if adopted:
            self._outbox.order(AdoptResults(tuple(adopted)))
        if start < column.hi:
            columns.append(column.slice(start, column.hi))
        return columns

    def _read(self, worker: WorkerId, column: ResultColumn, index: int) -> Reference:
        reference = read_record(entry(column, index))
        name = reference.object
        if (name.owner, maker_of(name)) != (self._owner, worker):
            raise ProtocolError(f"object {name.owner:016x}-{name.n} is another's")
        if name in self._by_name:
            raise ProtocolError(f"object {name.owner:016x}-{name.n} is another task's")
        return reference

    def run_of(self, name: ObjectId) -> RunId | None:
        """The run that a result is of; None if it is not here."""
        stored = self._by_name.get(name)
        return None if stored is None else stored.run

    def drop(self, names: Iterable[ObjectId]) -> None:
        """The entries of these are not kept any more."""
        dropped = tuple(names)
        for name in dropped:
            del self._by_name[name]
        if dropped:
            self._outbox.order(DropResults(dropped))
        served = tuple(name for name in dropped if name in self._served)
        if served:
            self._served.difference_update(served)
            for at in range(0, len(served), MAX_RANGES):
                self._outbox.say(ObjectsDropped(served[at : at + MAX_RANGES]))

    def ended(self, worker: WorkerId) -> None:
        """A worker is gone, and what it had finished is harvested: nobody will hear of what else it has written."""
        self._outbox.order(DropLeftovers(worker))

    # ---- the cluster leaves

    def hand_over(self) -> bool:
        """What is not read yet goes by value, a little at a time; whether there is anything."""
        if self._to_hand_over is None:
            self._to_hand_over = deque(self._by_name)
        return bool(self._to_hand_over)

    def tick(self) -> None:
        """Read the next, while not too much is on its way."""
        if self._is_reading or sum(self._handed.values()) >= MOST_HANDED_BYTES:
            return
        while self._to_hand_over and not self._is_reading:
            name = self._to_hand_over.popleft()
            stored = self._by_name.get(name)
            if stored is not None and stored.size_bytes <= MAX_VALUE_BYTES:
                self._is_reading = True
                self._outbox.order(ReadResult(name))

    def was_read(self, run: RunId | None = None, index: int = 0, size_bytes: int = 0) -> None:
        """It is an outcome of its run like any now, if it was there."""
        self._is_reading = False
        if run is not None:
            self._handed[run, index] = size_bytes

    def delivered(self, run: RunId, lo: int, hi: int) -> None:
        """These have arrived, or nobody wants them: there is room for others."""
        if self._handed:
            for key in [key for key in self._handed if key[0] == run and lo <= key[1] < hi]:
                del self._handed[key]

    # ---- who asks for them

    def asked(self, wanted: FetchChunks, by: int = 0) -> None:
        """Somebody on another host needs pieces of one: who has come by this connection, or has asked the scheduler."""
        stored = self._by_name.get(wanted.object)
        if stored is None:
            self._answer(by, ObjectsDropped((wanted.object,)))
            return
        self._served.add(wanted.object)
        for n in pieces_of(wanted, -(-stored.size_bytes // MAX_FRAME_BYTES)):
            self._outbox.order(ReadPiece(wanted.object, n, by))

    def read(self, event: PieceRead) -> None:
        """A piece is here."""
        stored = self._by_name.get(event.object)
        if stored is None:
            self._answer(event.to, ObjectsDropped((event.object,)))
        else:
            self._answer(event.to, ObjectChunk(event.object, event.n, stored.size_bytes), event.frames)

    def _answer(self, to: int, message: ToPeer, frames: tuple[Frame, ...] = ()) -> None:
        if to:
            self._outbox.order(AnswerPeer(to, message, frames))
        else:
            self._outbox.say(message, frames)

    def check(self, kept: Iterable[tuple[RunId, ObjectId]]) -> None:
        """Every entry that is kept has its file, and no other has."""
        assert {name: stored.run for name, stored in self._by_name.items()} == {name: run for run, name in kept}
