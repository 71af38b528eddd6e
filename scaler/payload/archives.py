"""Modules as bytes: all files of a package, or the one file of a module, named by their content.

Equal files make equal bytes on every machine, so a worker can tell whether what it has is what a client has.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import msgspec

from scaler.errors import DeserializeObjectError
from scaler.ids import FunctionId, function_id

#: what is larger than this stays behind, as far as it is no source
MOST_FILE_BYTES = 4 << 20
MOST_BYTES = 16 << 20
MOST_FILES = 10_000


class File(NamedTuple):
    """A file of a module: where it is, where in the archive, and what tells that it has changed."""

    path: str
    name: str
    mtime_ns: int
    size_bytes: int


def place_of(module: ModuleType) -> Path | None:
    """The folder of a package or the file of a module, if it is in either."""
    paths = list(getattr(module, "__path__", ()))
    place = paths[0] if paths else getattr(module, "__file__", None)
    return Path(place) if place and Path(place).exists() else None


def files_of(place: Path) -> list[File]:
    """What belongs to the module at a place, by name; of a package that is too large the sources alone."""
    if not place.is_dir():
        return [_file(place, place.name)]
    files = sorted(_walk(place), key=lambda file: file.name)
    if sum(file.size_bytes for file in files) > MOST_BYTES:
        files = [file for file in files if file.name.endswith(".py")]
    return files


def is_too_large(files: list[File]) -> bool:
    """Whether a module is too large to travel."""
    return len(files) > MOST_FILES or sum(file.size_bytes for file in files) > MOST_BYTES


def _walk(place: Path) -> Iterator[File]:
    for at, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        within = Path(at).relative_to(place.parent).as_posix()
        for name in names:
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")):
                with contextlib.suppress(OSError):  # it has just gone, or leads nowhere
                    file = _file(Path(at, name), f"{within}/{name}")
                    if file.size_bytes <= MOST_FILE_BYTES or name.endswith(".py"):
                        yield file


def _file(path: Path, name: str) -> File:
    status = path.stat()
    return File(str(path), name, status.st_mtime_ns, status.st_size)


def archive(files: Iterable[File], known: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """The files in one piece; those whose content is `known`, by name, with that, though they may have gone."""
    found = {file.name: Path(file.path).read_bytes() for file in files if file.name not in known}
    return msgspec.msgpack.encode(sorted({**known, **found}.items()))


def contents(data: bytes) -> list[tuple[str, bytes]]:
    """The names and contents of the files in an archive; `DeserializeObjectError` if it is none."""
    try:
        return msgspec.msgpack.decode(data, type=list[tuple[str, bytes]])
    except msgspec.MsgspecError as error:
        raise DeserializeObjectError(f"code that is no archive came with the function: {error}") from error


def archive_id(data: bytes) -> FunctionId:
    """What an archive is called."""
    return function_id((data,))


def unpack(data: bytes, folder: Path) -> None:
    """Have the files of an archive in a folder; another process may do the same at the same time."""
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    for name, content in contents(data):
        if ".." in name.split("/") or name.startswith("/"):
            raise DeserializeObjectError(f"the code that came with the function has a file {name!r}")
        path = making / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
    try:
        making.rename(folder)
    except OSError:  # it is there by now
        shutil.rmtree(making, ignore_errors=True)
