"""New files in the folders of stores: whole, or not there."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scaler.errors import StoreFullError
from scaler.protocol.columns import Frame
from scaler.resources import bytes_text

#: so many pieces go in one system call
_MOST_PIECES = 512


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """A descriptor to write to; there is no file if that goes wrong."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_whole(descriptor: int, pieces: Iterable[Frame]) -> None:
    """All that a file is to have, and the end of its descriptor."""
    try:
        write_all(descriptor, pieces)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, pieces: Iterable[Frame]) -> None:
    """These pieces from where the descriptor is; `OSError` where there is no room."""
    rest = [memoryview(piece).cast("B") for piece in pieces]
    at = 0
    while at < len(rest):
        written = os.writev(descriptor, rest[at : at + _MOST_PIECES])
        while at < len(rest) and written >= len(rest[at]):
            written -= len(rest[at])
            at += 1
        if written:
            rest[at] = rest[at][written:]


def reason(what: str, error: OSError) -> str:
    """Why there is no room in a place, for people."""
    return f"{what}: {error.strerror or error}"


def no_room(size: int, reasons: Sequence[str]) -> StoreFullError:
    """What a value of so many bytes is refused with."""
    return StoreFullError(f"there is no room for a value of {bytes_text(size)}: {'; '.join(reasons) or 'nowhere'}")
