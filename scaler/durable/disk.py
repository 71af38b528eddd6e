"""Files and folders that outlast a power cut, and what goes wrong with them under the names of our errors."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from scaler.durable.errors import DamagedWorkError, WorkDiskFullError, WorkError, WorkFileError

#: the low byte of SQLite's codes says what is wrong, the others where
_KIND_OF_CODE = 0xFF
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Raise what SQLite and the system say about a file as a `WorkError` that names it."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a fault of ours
        raise
    except sqlite3.Error as error:
        raise _of_sqlite(path, error) from error
    except UnicodeDecodeError as error:  # SQLite tells of a damaged name
        raise DamagedWorkError(path, "names in it are no text") from error
    except OSError as error:
        kind = WorkDiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else WorkFileError
        raise kind(path, error.strerror or str(error)) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> WorkError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _KIND_OF_CODE
    if code == sqlite3.SQLITE_FULL:
        return WorkDiskFullError(path, str(error))
    if code in _DAMAGED:
        return DamagedWorkError(path, str(error))
    if code in _BUSY:
        return WorkFileError(path, "another process has it open")
    return WorkFileError(path, f"{error} ({getattr(error, 'sqlite_errorname', 'unknown')})")


def sync_folder(path: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Have a file on disk that nobody has open: closing it would give away the locks that this process has on it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(paths: Iterable[Path]) -> None:
    """Remove the files that are there, each for good before the next one: a power cut leaves the later ones."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)
