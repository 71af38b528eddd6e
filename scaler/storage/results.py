"""Results of one slot of a worker, as files in the folders of its cluster's store.

The cluster owns the folders, and every file whose record it has harvested. What a task has left that came to nothing
is removed by `undo`; what a process leaves that was killed meanwhile is found by the number of its worker.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scaler.ids import Incarnation, ObjectId, WorkerId
from scaler.protocol.columns import Frame
from scaler.protocol.layout import file_bytes, laid_out
from scaler.protocol.references import Reference
from scaler.protocol.result_names import file_name, result_name
from scaler.storage.store import TOKEN_NAME
from scaler.storage.writing import new_file, no_room, reason, write_whole


@dataclass(frozen=True, slots=True)
class Maker:
    """Whose results they are: the cluster's and the worker's number, and numbers for all slots of that worker."""

    owner: Incarnation
    worker: WorkerId
    numbers: Iterator[int]


class ResultFiles:
    """Writes them; `room` tells how many bytes may still go where there is a limit.

    That limit is soft: several workers may see the same room, and it is told anew only once the cluster has harvested
    what they have written.
    """

    def __init__(self, maker: Maker, folders: Sequence[tuple[str, bool]], room: Callable[[], int]) -> None:
        self._maker = maker
        #: where files go, the first one first, and whether there is a limit
        self._folders = [(Path(folder), is_limited) for folder, is_limited in folders]
        self._room = room
        self._tokens: dict[Path, bytes] = {}
        #: what was begun last, and for which task
        self._last: tuple[int, Path] | None = None

    def __bool__(self) -> bool:
        """Whether there is any place for them."""
        return bool(self._folders)

    def lay(self, parts: Sequence[Frame], task: int) -> Reference:
        """A result of these parts, in a new file; `StoreFullError` if there is no room for it anywhere."""
        pieces = laid_out(parts)
        size = file_bytes(pieces)
        name = result_name(self._maker.owner, self._maker.worker, next(self._maker.numbers))
        reasons = []
        for folder, is_limited in self._folders:
            if is_limited and size > self._room():
                reasons.append(f"{folder} is full")
                continue
            try:
                return self._laid(name, folder, pieces, size, task)
            except OSError as error:
                reasons.append(reason(str(folder), error))
        raise no_room(size, reasons)

    def _laid(self, name: ObjectId, folder: Path, pieces: Sequence[Frame], size: int, task: int) -> Reference:
        token = self._tokens.get(folder)
        if token is None:
            # the folder says it, and not the command line that this process comes from, which anybody can read
            token = self._tokens[folder] = (folder / TOKEN_NAME).read_bytes()
        path = folder / file_name(name)
        self._last = task, path
        with new_file(path) as descriptor:
            write_whole(descriptor, pieces)
        return Reference(name, size, str(path), token)

    def undo(self, task: int) -> None:
        """Remove what was laid for a task that came to something else: it was interrupted at any point."""
        if self._last is not None and self._last[0] == task:
            with contextlib.suppress(OSError):
                self._last[1].unlink()
            self._last = None
