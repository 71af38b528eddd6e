"""The folder of all durable works of one scheduler: a file each, named so that people can tell which is whose."""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from scaler.durable.disk import named_errors, remove, sync_folder
from scaler.durable.errors import DamagedWorkError, WorkFolderError, WorkNameError
from scaler.durable.file import FORMAT, MAKING, SIDES, WorkFacts, WorkFile, files_of, read_facts

MOST_NAME_CHARACTERS = 256
_SUFFIX = ".sqlite"
_LOCK = "lock"
_SLUG_CHARACTERS = 40
_HASH_BYTES = 16
_WORK = re.compile(r"[a-z0-9-]+\.sqlite")
#: what a kill may leave: files that were not complete, and what lay beside files that are gone
_LEFT = re.compile(rf"(?P<owner>[a-z0-9-]+\.sqlite)(?:{re.escape(MAKING)})?(?:{'|'.join(SIDES)})?")


class WorkFolder:
    """The works below a path, which one process has at a time, until `close` or its end.

    Raises `WorkFolderError` if another has it, or if it is not its user's alone. All but `names` and `unreadable` is
    to be called in one thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make_private(path)
            self._lock: int | None = _locked(path)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _sweep(path)
        except OSError as error:
            self.close()
            raise _unusable(path, error) from error

    def names(self) -> list[str]:
        """The works that are there, as their files say."""
        return [found.name for found in self._facts() if isinstance(found, WorkFacts)]

    def unreadable(self) -> list[DamagedWorkError]:
        """What is wrong with the files that do not even say whose they are; each can be set aside."""
        return [found for found in self._facts() if isinstance(found, DamagedWorkError)]

    def _facts(self) -> Iterator[WorkFacts | DamagedWorkError]:
        for path in sorted(self.path.iterdir()):
            if _WORK.fullmatch(path.name):
                try:
                    facts = read_facts(path)
                    yield facts if self.path_of(facts.name) == path else _of_another(path, facts)
                except DamagedWorkError as error:
                    yield error

    def path_of(self, name: str) -> Path:
        """The file of a work; `WorkNameError` if none can have this name."""
        return self.path / file_name(name)

    def create(self, name: str, owner: str, incarnation: int) -> WorkFile:
        """The file of a new work; `WorkExistsError` if there is one."""
        return WorkFile.create(self.path_of(name), WorkFacts(name, owner, incarnation, FORMAT))

    def open(self, name: str) -> WorkFile:
        """The file of a work that is there; `WorkMissingError` or `DamagedWorkError` if it cannot be had."""
        path = self.path_of(name)
        file = WorkFile.open(path)
        if file.facts.name != name:
            file.close()
            raise _of_another(path, file.facts)
        return file

    def drop(self, name: str) -> None:
        """Remove a work whose file is closed, for good; nothing if there is none."""
        path = self.path_of(name)
        with named_errors(path):
            remove(files_of(path))

    def set_aside(self, path: Path) -> Path:
        """Give a damaged file that is closed, and what is beside it, another name, for people to look at."""
        aside = self._free_name(path)
        with named_errors(path):
            # both names stand until all are on disk: no kill leaves a file without what is beside it
            for old, new in zip(files_of(path), files_of(aside), strict=True):
                if old.exists():
                    os.link(old, new, follow_symlinks=False)
            sync_folder(self.path)
            remove(files_of(path))
        return aside

    def _free_name(self, path: Path) -> Path:
        stem = f"{path.name.removesuffix(_SUFFIX)}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        aside, number = path.with_name(stem + _SUFFIX), 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{stem}-{number}{_SUFFIX}")
        return aside

    def close(self) -> None:
        """Let another process have it; closing again is nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def file_name(name: str) -> str:
    """What the file of a work is called: as much of its name as is harmless anywhere, and a hash of all of it."""
    if not 0 < len(name) <= MOST_NAME_CHARACTERS:
        raise WorkNameError(f"the name of a durable work has 1 to {MOST_NAME_CHARACTERS} characters, not {len(name)}")
    try:
        hashed = hashlib.blake2b(name.encode(), digest_size=_HASH_BYTES).hexdigest()
    except UnicodeEncodeError:
        raise WorkNameError(f"{name!r} is no name of a durable work: it is no text") from None
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_SLUG_CHARACTERS].strip("-")
    return f"{slug or 'work'}-{hashed}{_SUFFIX}"


def _of_another(path: Path, facts: WorkFacts) -> DamagedWorkError:
    return DamagedWorkError(path, f"it says that it is the file of {facts.name!r}")


def _unusable(path: Path, error: OSError) -> WorkFolderError:
    return WorkFolderError(f"{path} cannot be the folder of durable works: {error.strerror or error}")


def _make_private(path: Path) -> None:
    """Make a folder of our user's alone, or find one that is."""
    if not os.path.lexists(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(path.parent)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise WorkFolderError(f"{path} must be a folder of your own with mode 0700: move it away, or chmod 700 it")


def _locked(path: Path) -> int:
    """The descriptor of a file that is locked as long as it is open, and says by whom."""
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", errors="replace").strip() or "of an unknown number"
        os.close(descriptor)
        raise WorkFolderError(
            f"{path} is in use by the scheduler with pid {holder}: stop it, or choose another --state-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _sweep(folder: Path) -> None:
    """Remove what a kill has left."""
    for path in sorted(folder.iterdir()):
        match = _LEFT.fullmatch(path.name)
        if match is not None and (MAKING in path.name or not path.with_name(match["owner"]).exists()):
            remove([path])
