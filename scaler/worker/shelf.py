"""The store of a worker cluster: copies of objects that were made on other hosts, for all its workers to map."""

import logging
from collections.abc import Sequence
from typing import assert_never

from scaler.errors import StoreFullError
from scaler.ids import ObjectId
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.protocol.references import Reference
from scaler.storage.folders import sweep
from scaler.storage.places import sweep_stores
from scaler.storage.reading import is_here
from scaler.storage.store import PREFIX, Filling, Place, Store, StoredFile
from scaler.worker.agent_events import DropObject, Hold, ObjectAway, ObjectHere, ObjectRefused, StorePiece

log = logging.getLogger("scaler.worker")


class Shelf:
    """What is on it, and what is coming."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._store = Store(places)
        for place in places:
            sweep(place.folder.parent, PREFIX)
        self._coming: dict[ObjectId, Filling] = {}
        self._copies: dict[ObjectId, StoredFile] = {}

    def perform(self, command: Hold | StorePiece | DropObject) -> ObjectHere | ObjectAway | ObjectRefused | None:
        """Do what the agent asks for; the answer, if there is one."""
        match command:
            case Hold(reference):
                here = is_here(reference.path, reference.token)
                return ObjectHere(reference) if here else ObjectAway(reference.object)
            case StorePiece():
                return self._store_piece(command)
            case DropObject(name):
                self._coming.pop(name, None)
                self._copies.pop(name, None)
                return None
            case _:
                assert_never(command)

    def _store_piece(self, command: StorePiece) -> ObjectHere | ObjectRefused | None:
        name = command.object
        try:
            if command.is_first:
                self._coming[name] = self._store.begin(f"{name.owner:016x}-{name.n}", command.size_bytes)
            if (filling := self._coming.get(name)) is None:
                return None  # an earlier piece was refused
            filling.write(command.n * MAX_FRAME_BYTES, command.frames)
            if not command.is_last:
                return None
            copy = self._copies[name] = filling.complete()
        except (OSError, StoreFullError) as error:
            self._coming.pop(name, None)
            log.warning("a copy of object %016x-%d cannot be stored: %s", *name, error)
            return ObjectRefused(name, str(error))
        del self._coming[name]
        return ObjectHere(Reference(name, copy.size_bytes, str(copy.path), copy.token))

    def close(self) -> None:
        """Nothing is left of it."""
        self._coming.clear()
        self._copies.clear()
        self._store.remove()
        sweep_stores()
