"""The store of one process: values in files that others on its host map, in memory while there is room, else on disk.

A file is written once and only ever removed, so that whoever has mapped it keeps what is in it. A token in its folder,
which only processes of this host can read there, tells whether two of them see the same one.
"""

import contextlib
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scaler.errors import StoreFullError
from scaler.protocol.columns import Frame
from scaler.resources import bytes_text
from scaler.storage.folders import OwnedFolder
from scaler.storage.layout import file_bytes, laid_out

_T = TypeVar("_T")

#: what the folders of stores are called
PREFIX = "scaler-store-"
TOKEN_NAME = "token"  # noqa: S105  # of a file
TOKEN_BYTES = 16
#: what a file is called until all of it is there
_COMING = ".coming"
#: so many pieces go in one system call
_MOST_PIECES = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store makes its folder, and how much may lie in it; `what` says for people what that is."""

    folder: Path
    limit_bytes: float
    what: str


class StoredFile:
    """A value in a file, which is there as long as anybody in this process holds this."""

    __slots__ = ("_shelf", "path", "size_bytes")

    def __init__(self, shelf: "_Shelf", path: Path, size_bytes: int) -> None:
        self._shelf = shelf
        self.path = path
        self.size_bytes = size_bytes

    @property
    def token(self) -> bytes:
        """What whoever is to read it finds beside it."""
        return self._shelf.token

    def __del__(self) -> None:
        self._shelf.drop(self.path, self.size_bytes)


class Filling:
    """A file that comes piece by piece, in any order, and has its name once all of it is there."""

    def __init__(self, stored: StoredFile, descriptor: int) -> None:
        self._stored = stored
        self._descriptor = descriptor

    def write(self, at: int, piece: Sequence[Frame]) -> None:
        """Some of its bytes; `OSError` where the disk is full."""
        os.lseek(self._descriptor, at, os.SEEK_SET)
        _write_all(self._descriptor, [memoryview(frame).cast("B") for frame in piece])

    def complete(self) -> StoredFile:
        """Nothing follows."""
        stored = self._stored
        stored.path = stored.path.rename(stored.path.with_name(stored.path.name.removesuffix(_COMING)))
        return stored

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._descriptor)


class Store:
    """Files in the first of some places that has room. Any thread may use it; a forked child has none of it."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._shelves = [_Shelf(place) for place in places]
        self._lock = threading.RLock()

    def write(self, name: str, parts: Sequence[Frame]) -> StoredFile:
        """A value of these parts, in a new file of this name; `StoreFullError` if there is no room for it anywhere."""
        pieces = laid_out(parts)

        def written(path: Path, descriptor: int) -> Path:
            try:
                _write_all(descriptor, [memoryview(piece).cast("B") for piece in pieces])
            finally:
                os.close(descriptor)
            return path

        path, shelf = self._placed(name, size := file_bytes(pieces), written)
        return StoredFile(shelf, path, size)

    def begin(self, name: str, size: int) -> Filling:
        """The same for so many bytes that come one after the other."""
        (path, descriptor), shelf = self._placed(f"{name}{_COMING}", size, lambda path, descriptor: (path, descriptor))
        return Filling(StoredFile(shelf, path, size), descriptor)

    def _placed(self, name: str, size: int, make: Callable[[Path, int], _T]) -> "tuple[_T, _Shelf]":
        """What is made of the descriptor of a new file, in the first place that has room for it."""
        reasons = []
        for shelf in self._shelves:
            try:
                with self._room(shelf, size) as folder, _new_file(folder / name) as descriptor:
                    return make(folder / name, descriptor), shelf
            except OSError as error:
                reasons.append(f"{shelf.place.what}: {error.strerror or error}")
        raise StoreFullError(f"there is no room for a value of {bytes_text(size)}: {'; '.join(reasons) or 'nowhere'}")

    @contextlib.contextmanager
    def _room(self, shelf: "_Shelf", size: int) -> Iterator[Path]:
        with self._lock:
            folder = shelf.reserve(size)
        try:
            yield folder
        except BaseException:
            shelf.free(size)
            raise

    @property
    def used_bytes(self) -> int:
        """What lies in it."""
        with self._lock:
            return sum(shelf.used_bytes() for shelf in self._shelves)

    def remove(self) -> None:
        """Remove every file; what is mapped stays as it is for those who have mapped it."""
        with self._lock:
            for shelf in self._shelves:
                shelf.remove()


class _Shelf:
    """One place of a store; its folder is made when the first value comes. The store's lock guards it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.token = os.urandom(TOKEN_BYTES)
        self._owner = os.getpid()
        self._owned: OwnedFolder | None = None
        self._used = 0
        #: sizes of files that are gone; put in without the lock, by whoever lets go of them in the midst of anything
        self._freed: deque[int] = deque()

    def used_bytes(self) -> int:
        while self._freed:
            self._used -= self._freed.popleft()
        return self._used

    def reserve(self, size: int) -> Path:
        """The folder, where there is to be a file of this size; `OSError` if that is too much."""
        used, limit = self.used_bytes(), self.place.limit_bytes
        if used + size > limit:
            text = f"{bytes_text(used)} of {bytes_text(limit)} are taken"
            raise OSError(errno.ENOSPC, text, str(self.place.folder))
        if self._owned is None:
            owned = OwnedFolder(self.place.folder, PREFIX)
            try:
                (owned.path / TOKEN_NAME).write_bytes(self.token)
            except BaseException:
                owned.remove()
                raise
            self._owned = owned
        self._used += size
        return self._owned.path

    def free(self, size: int) -> None:
        """A file of this size is gone, or could not be written."""
        self._freed.append(size)

    def drop(
        self,
        path: Path,
        size: int,
        unlink: Callable[[Path], None] = os.unlink,
        getpid: Callable[[], int] = os.getpid,
    ) -> None:
        """Nobody holds a file any more; in a forked child that means nothing."""
        if getpid() == self._owner:
            with contextlib.suppress(OSError):
                unlink(path)
            self._freed.append(size)

    def remove(self) -> None:
        if self._owned is not None:
            self._owned.remove()
            self._owned = None


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """A descriptor to write to; there is no file if that goes wrong."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    at = 0
    while at < len(pieces):
        written = os.writev(descriptor, pieces[at : at + _MOST_PIECES])
        while at < len(pieces) and written >= len(pieces[at]):
            written -= len(pieces[at])
            at += 1
        if written:
            pieces[at] = pieces[at][written:]
