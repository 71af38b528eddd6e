"""Values of other processes of this host: mapped where they lie, never copied and never to be written to."""

import mmap
import os
import resource
import weakref
from pathlib import Path

from scaler.errors import ObjectLostError
from scaler.protocol.layout import parts_in
from scaler.protocol.references import Reference
from scaler.storage.store import TOKEN_BYTES, TOKEN_NAME

#: up to this size a value is read rather than mapped
READ_BYTES = 1 << 20
#: from this size on memory is asked of the system: what programs give back themselves they may keep
OWN_BYTES = 128 << 10
#: of a quarter of the descriptors that this process may have, so many are for mapped values, at least and at most
LEAST_MAPPED, MOST_MAPPED = 64, 4096

#: all that are
_mapped: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()


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

    A small one is read, and so is one beside which too many are mapped already. One that `is_ours` may be written to:
    what is changed of it is copied then, and nobody else's.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        if not is_read(size):
            whole = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY if is_ours else mmap.ACCESS_READ)
            _mapped.add(whole)
            return parts_in(memoryview(whole))
        content = _read(descriptor, size)
        return parts_in(content if is_ours else content.toreadonly())
    finally:
        os.close(descriptor)


def are_protected(parts: list[memoryview]) -> bool:
    """Whether nobody here can write to these parts of a value, compiled code neither: they are mapped, and not read."""
    return parts[0].obj in _mapped


def memory(size: int) -> memoryview:
    """So many bytes to be filled; where they are many they go back to the system as soon as nobody has them."""
    return memoryview(bytearray(size) if size < OWN_BYTES else mmap.mmap(-1, size))


def _read(descriptor: int, size: int) -> memoryview:
    content = memory(size)
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        rest = content
        while rest and (count := file.readinto(rest)):
            rest = rest[count:]
    return content


def is_read(size: int) -> bool:
    """Whether a value of this size is read and not mapped: that takes a descriptor, of which others need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return size <= READ_BYTES or len(_mapped) >= max(LEAST_MAPPED, min(MOST_MAPPED, soft // 4))


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
        found = [os.pread(descriptor, size, first)]
        while found[-1] and (had := sum(map(len, found))) < size:  # one call reads no more than 2 GiB
            found.append(os.pread(descriptor, size - had, first + had))
        return found[0] if len(found) == 1 else b"".join(found)
    finally:
        os.close(descriptor)
