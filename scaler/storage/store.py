"""The store of one process: values in files that others on its host map, in memory while there is room, else on disk.

A file is written once and only ever removed, so that whoever has mapped it keeps what is in it. A token in its folder,
which only processes of this host can read there, tells whether two of them see the same one.
"""

import contextlib
import errno
import math
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from scaler.protocol.columns import Frame
from scaler.protocol.layout import file_bytes, laid_out
from scaler.resources import bytes_text
from scaler.storage.folders import OwnedFolder
from scaler.storage.writing import new_file, no_room, reason, write_all, write_whole

_T = TypeVar("_T")

#: what the folders of stores are called
PREFIX = "scaler-store-"
TOKEN_NAME = "token"  # noqa: S105  # of a file
TOKEN_BYTES = 16
#: what is left free on a disk for others where room is asked for beforehand
SPARE_BYTES = 64 << 20
#: what a file is called until all of it is there
_COMING = ".coming"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store makes its folder, and how much may lie in it; `what` says for people what that is."""

    folder: Path
    limit_bytes: float
    what: str

    @property
    def is_limited(self) -> bool:
        """Whether anything but the disk itself bounds what may lie in it."""
        return self.limit_bytes != math.inf


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
        self.stored = stored
        self._descriptor = descriptor

    def write(self, at: int, piece: Sequence[Frame]) -> None:
        """Some of its bytes; `OSError` where the disk is full."""
        os.lseek(self._descriptor, at, os.SEEK_SET)
        write_all(self._descriptor, piece)

    def complete(self) -> StoredFile:
        """Nothing follows."""
        stored = self.stored
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
            write_whole(descriptor, pieces)
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
                with self._room(shelf, size) as folder, new_file(folder / name) as descriptor:
                    return make(folder / name, descriptor), shelf
            except OSError as error:
                reasons.append(reason(shelf.place.what, error))
        raise no_room(size, reasons)

    @contextlib.contextmanager
    def _room(self, shelf: "_Shelf", size: int) -> Iterator[Path]:
        with self._lock:
            folder = shelf.reserve(size)
        try:
            yield folder
        except BaseException:
            shelf.free(size)
            raise

    def open(self, refused: Callable[[Place, OSError], None]) -> list[Place]:
        """Make the folders of all places now, so that others can be told of them; the places that have theirs."""
        found = []
        with self._lock:
            for shelf in self._shelves:
                try:
                    shelf.open()
                except OSError as error:
                    refused(shelf.place, error)
                else:
                    found.append(shelf.place)
        return found

    def adopt(self, name: str) -> StoredFile | None:
        """A file that another process has written into a folder of this store, which owns it from now on.

        None if it is not there. Nobody is asked whether there is room for it: it takes some already.
        """
        for shelf in self._shelves:
            with contextlib.suppress(OSError), self._lock:
                path = shelf.open() / name
                seen = path.lstat()
                if stat.S_ISREG(seen.st_mode):
                    shelf.take(seen.st_size)
                    return StoredFile(shelf, path, seen.st_size)
        return None

    def names(self) -> list[str]:
        """What all files in its folders are called, whoever has written them."""
        found: list[str] = []
        for shelf in self._shelves:
            with contextlib.suppress(OSError), self._lock:
                found += os.listdir(shelf.open())
        return found

    @property
    def used_bytes(self) -> int:
        """What lies in it."""
        with self._lock:
            return sum(shelf.used_bytes() for shelf in self._shelves)

    @property
    def room_bytes(self) -> int:
        """What there is room for still where there is a limit; 0 without any such place."""
        with self._lock:
            rooms = [shelf.room_bytes() for shelf in self._shelves if shelf.place.is_limited]
        return min(rooms, default=0)

    def has_room(self, size: int) -> bool:
        """Whether so many bytes can be laid in some place, as far as can be told before."""
        with self._lock:
            return any(shelf.has_room(size) for shelf in self._shelves)

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

    def room_bytes(self) -> int:
        return int(max(0, self.place.limit_bytes - self.used_bytes()))

    def has_room(self, size: int) -> bool:
        if self.place.is_limited:
            return size <= self.room_bytes()
        with contextlib.suppress(OSError):
            return size + SPARE_BYTES <= shutil.disk_usage(self.place.folder.parent).free
        return False

    def reserve(self, size: int) -> Path:
        """The folder, where there is to be a file of this size; `OSError` if that is too much."""
        used, limit = self.used_bytes(), self.place.limit_bytes
        if used + size > limit:
            text = f"{bytes_text(used)} of {bytes_text(limit)} are taken"
            raise OSError(errno.ENOSPC, text, str(self.place.folder))
        try:
            folder = self.open()
        except OSError as error:
            raise OSError(error.errno, f"it takes no files ({error.strerror or error})") from error
        self._used += size
        return folder

    def open(self) -> Path:
        """Its folder, made now if there is none."""
        if self._owned is None:
            owned = OwnedFolder(self.place.folder, PREFIX)
            try:
                (owned.path / TOKEN_NAME).write_bytes(self.token)
            except BaseException:
                owned.remove()
                raise
            self._owned = owned
        return self._owned.path

    def take(self, size: int) -> None:
        """A file of this size is there."""
        self._used += size

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
