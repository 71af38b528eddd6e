"""The store of a worker cluster: copies of objects of other hosts, for all its workers to map, and their own results.

Workers write their results themselves, into the folders that `open` has made. They count here once they are adopted.
"""

import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from scaler.errors import StoreFullError
from scaler.ids import Incarnation, ObjectId, WorkerId
from scaler.pieces import piece_frames
from scaler.protocol.columns import MAX_FRAME_BYTES, MAX_VALUE_BYTES, frames_of
from scaler.protocol.references import Reference
from scaler.protocol.result_names import file_name, maker_of, named_by
from scaler.refusals import Allowance
from scaler.storage.folders import sweep
from scaler.storage.places import sweep_stores
from scaler.storage.reading import is_here, piece
from scaler.storage.store import PREFIX, Filling, Place, Store, StoredFile
from scaler.worker.agent_events import DropObject, Hold, ObjectAway, ObjectHere, ObjectRefused, StorePiece
from scaler.worker.agent_result_events import (
    AdoptResults,
    DropLeftovers,
    DropResults,
    PieceRead,
    ReadPiece,
    ReadResult,
    ResultCommand,
    ResultEvent,
    ResultGone,
    ResultRead,
)

#: of so many objects it is known that they were told not to be readable
_MOST_TOLD = 1000

log = logging.getLogger("scaler.worker")


class Shelf:
    """What is on it, and what is coming."""

    def __init__(self, places: Sequence[Place], owner: Incarnation) -> None:
        #: whose objects the results of its workers are
        self._owner = owner
        self._store = Store(places)
        for place in places:
            sweep(place.folder.parent, PREFIX)
        #: there may be a warning for each object
        self._allowance = Allowance()
        #: those that cannot be read and were told, the oldest first: they are asked for piece by piece
        self._told: dict[ObjectId, None] = {}
        self._coming: dict[ObjectId, Filling] = {}
        #: the sizes of those that nothing has come of yet and that go elsewhere if others take the room
        self._early: dict[ObjectId, int] = {}
        self._copies: dict[ObjectId, StoredFile] = {}
        #: all and only results that were adopted and not dropped
        self._results: dict[ObjectId, StoredFile] = {}

    def open(self) -> tuple[tuple[str, bool], ...]:
        """The folders that workers may write to, made by now, and whether there is a limit to each."""
        return tuple([(str(place.folder), place.is_limited) for place in self._store.open(_tell_refused)])

    @property
    def room_bytes(self) -> int:
        """What there is room for still where there is a limit."""
        return self._store.room_bytes

    def perform(self, command: Hold | StorePiece | DropObject) -> ObjectHere | ObjectAway | ObjectRefused | None:
        """Do what the agent asks for; the answer, if there is one."""
        match command:
            case Hold(reference, early):
                return self._look_for(reference, early=early)
            case StorePiece():
                return self._store_piece(command)
            case DropObject(name):
                self._early.pop(name, None)
                self._coming.pop(name, None)
                self._copies.pop(name, None)
                return None
            case _:
                assert_never(command)

    def _look_for(self, reference: Reference, *, early: bool) -> ObjectHere | ObjectAway | ObjectRefused:
        if is_here(reference.path, reference.token) and Path(reference.path).exists():
            return ObjectHere(reference)
        if early and not self._store.has_room(reference.size_bytes + sum(self._early.values())):
            return ObjectRefused(reference.object, "there is no room for what is not needed yet")
        if early:
            self._early[reference.object] = reference.size_bytes
        return ObjectAway(reference.object)

    def perform_on_results(self, command: ResultCommand) -> ResultEvent | None:
        """The same for what workers of this cluster have made."""
        match command:
            case AdoptResults(names):
                for name in names:
                    self._adopt(name)
            case DropResults(names):
                for name in names:
                    self._adopt(name)  # else it is not known where its file is
                    self._results.pop(name, None)
            case DropLeftovers(worker):
                self._drop_leftovers(worker)
            case ReadPiece(name, n, to):
                data = self._read(name, n * MAX_FRAME_BYTES, MAX_FRAME_BYTES)
                return ResultGone(name, to) if data is None else PieceRead(name, n, piece_frames(data), to)
            case ReadResult(name):
                data = self._read(name, 0, MAX_VALUE_BYTES)
                return ResultGone(name) if data is None else ResultRead(name, frames_of(data))
            case _:
                assert_never(command)
        return None

    def _adopt(self, name: ObjectId) -> None:
        if name not in self._results and (stored := self._store.adopt(file_name(name))) is not None:
            self._results[name] = stored

    def _drop_leftovers(self, worker: WorkerId) -> None:
        for file in self._store.names():
            name = named_by(file)
            if (
                name is not None
                and name.owner == self._owner
                and maker_of(name) == worker
                and name not in self._results
            ):
                self._store.adopt(file)  # and nobody holds it

    def _read(self, name: ObjectId, first: int, most: int) -> bytes | None:
        stored = self._results.get(name) or self._copies.get(name)
        if stored is None and (coming := self._coming.get(name)) is not None:
            stored = coming.stored
        if stored is not None:
            with contextlib.suppress(OSError):
                data = piece(stored.path, first, most)
                if data and len(data) == min(most, stored.size_bytes - first):
                    return data
            if name in self._told:
                return None
            if len(self._told) == _MOST_TOLD:
                del self._told[next(iter(self._told))]
            self._told[name] = None
            owner, n = name
            self._tell(f"object {owner:016x}-{n} cannot be read: somebody has removed or changed {stored.path}")
        return None

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        count = self._allowance.held_back(now)
        if self._allowance.take(now):
            log.warning("%s%s", text, f" ({count} more were not shown)" if count else "")

    def _store_piece(self, command: StorePiece) -> ObjectHere | ObjectRefused | None:
        name = command.object
        try:
            if command.is_first:
                self._early.pop(name, None)
                self._coming[name] = self._store.begin(file_name(name), command.size_bytes)
            if (filling := self._coming.get(name)) is None:
                return None  # an earlier piece was refused
            filling.write(command.n * MAX_FRAME_BYTES, command.frames)
            if not command.is_last:
                return None
            copy = self._copies[name] = filling.complete()
        except (OSError, StoreFullError) as error:
            self._coming.pop(name, None)
            self._tell(f"a copy of object {name.owner:016x}-{name.n} cannot be stored: {error}")
            return ObjectRefused(name, str(error))
        del self._coming[name]
        return ObjectHere(Reference(name, copy.size_bytes, str(copy.path), copy.token))

    def close(self) -> None:
        """Nothing is left of it."""
        self._coming.clear()
        self._copies.clear()
        self._results.clear()
        self._store.remove()
        sweep_stores()


def _tell_refused(place: Place, error: OSError) -> None:
    log.warning("no value can be laid %s: %s", place.what, error)
