"""Where the code that comes with functions lies for the workers of a cluster: a folder of its own, gone with it.

Whoever made it holds a lock on it. Where the lock can be had all processes were killed at once: it is swept away.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scaler.ids import FunctionId
from scaler.protocol.code import ARCHIVE_SUFFIX
from scaler.protocol.columns import Frame

_PREFIX = "scaler-code-"


def folder_name() -> str:
    """The name of a folder that nobody has, to be made when it is needed."""
    return str(Path(tempfile.gettempdir(), f"{_PREFIX}{os.urandom(8).hex()}"))


class CodeFolder:
    """The folder, made when the first archive comes."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock: int | None = None

    def keep(self, archive: FunctionId, frames: Sequence[Frame]) -> None:
        """Lay an archive there, so that whoever sees it sees all of it."""
        if self._lock is None:
            self._path.mkdir(mode=0o700)
            self._lock = _locked(self._path)
            _sweep(self._path.parent)
        making = self._path / f"{archive.hex()}.making"
        with making.open("wb") as file:
            file.writelines(frames)
        making.rename(making.with_suffix(ARCHIVE_SUFFIX))

    def drop(self, archive: FunctionId) -> None:
        """Remove an archive, and what workers have unpacked of it."""
        (self._path / f"{archive.hex()}{ARCHIVE_SUFFIX}").unlink(missing_ok=True)
        # a worker that was killed while it unpacked has left a folder behind, too
        for folder in self._path.glob(f"{archive.hex()}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove it with all that is in it; nothing that was not made here."""
        if self._path.name.startswith(_PREFIX) and self._path.is_dir():
            shutil.rmtree(self._path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(folder: Path) -> int | None:
    """A folder as a descriptor with a lock on it; None if another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(place: Path) -> None:
    """Remove folders of this user that nobody holds any more."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            descriptor = _locked(folder) if folder.lstat().st_uid == os.getuid() else None
        except OSError:  # it has just gone, or is no folder
            continue
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
