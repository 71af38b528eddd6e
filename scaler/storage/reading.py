"""Values of other processes of this host: mapped where they lie, never copied and never to be written to."""

import mmap
import os
from pathlib import Path

from scaler.errors import ObjectLostError
from scaler.protocol.layout import parts_in
from scaler.protocol.references import Reference
from scaler.storage.store import TOKEN_BYTES, TOKEN_NAME

#: up to this size a value is read rather than mapped
READ_BYTES = 1 << 20


def is_here(path: str, token: bytes) -> bool:
    """Whether the store that a file lies in is on this host, and of a user whose files we may read."""
    try:
        beside = Path(path).with_name(TOKEN_NAME)
        descriptor = os.open(beside, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):  # of what is no path of a file
        return False
    try:
        return os.read(descriptor, TOKEN_BYTES) == token
    except OSError:
        return False
    finally:
        os.close(descriptor)


def mapped(path: str, *, is_ours: bool = False) -> list[memoryview]:
    """The parts of a value; `OSError` if it is gone, `ValueError` if it is none.

    A small one is read: what is mapped keeps a descriptor of its own. One that `is_ours` may be written to: what is
    changed of it is copied then, and nobody else's.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        if size <= READ_BYTES:
            content = os.pread(descriptor, size, 0)
            return parts_in(memoryview(bytearray(content)) if is_ours else content)
        access = mmap.ACCESS_COPY if is_ours else mmap.ACCESS_READ
        return parts_in(memoryview(mmap.mmap(descriptor, 0, access=access)))
    finally:
        os.close(descriptor)


def parts_of(reference: Reference) -> list[memoryview]:
    """The parts of the value that a reference of this host stands for; `ObjectLostError` if they cannot be had."""
    owner, n = reference.object
    name = f"object {owner:016x}-{n}"
    try:
        return mapped(reference.path)
    except FileNotFoundError:
        text = f"{name} is not there any more: its owner ended, or somebody removed {reference.path}"
        raise ObjectLostError(text) from None
    except (OSError, ValueError) as error:
        raise ObjectLostError(f"{name} cannot be read: {error}") from None


def piece(path: Path, first: int, size: int) -> bytes:
    """So many bytes of a file, fewer at its end; `OSError` if it is gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.pread(descriptor, size, first)
    finally:
        os.close(descriptor)
