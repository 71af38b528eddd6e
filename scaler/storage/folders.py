"""Folders that belong to one process and go with it: removed when it ends, or swept by the next one if it was killed.

The owner holds a lock on its folder. Where the lock can be had there is no owner any more.
"""

import contextlib
import fcntl
import os
import shutil
import time
import weakref
from pathlib import Path

#: a folder that its owner makes is named so until it is locked
_MAKING = ".making"
#: one that was made so long ago and is not locked yet has no owner any more
_MAKING_S = 60.0


def new_path(root: str | os.PathLike[str], prefix: str) -> Path:
    """The name of a folder that nobody has, to be made when it is needed."""
    return Path(root, f"{prefix}{os.urandom(8).hex()}")


class OwnedFolder:
    """A new folder of this name, in which nobody but its user may look.

    Others below the same root whose names begin with `prefix` and that nobody owns any more are swept. Raises `OSError`
    where there can be none.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        if path.exists():
            raise FileExistsError(f"{path} is somebody else's")
        sweep(path.parent, prefix)
        making = path.with_name(path.name + _MAKING)
        making.mkdir(mode=0o700)
        try:
            self._lock = _locked(making)
            self.path = making.rename(path)
            _owned.add(self)
        except BaseException:
            for folder in (making, path):
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove it with all that is in it; nothing in a forked child, whose it is not."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.disown()

    def disown(self) -> None:
        """It is another process's, who alone may keep its lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


_owned: "weakref.WeakSet[OwnedFolder]" = weakref.WeakSet()


def _disown_all() -> None:
    for folder in list(_owned):
        folder.disown()


os.register_at_fork(after_in_child=_disown_all)


def _locked(folder: Path) -> int | None:
    """A folder as a descriptor with a lock on it; None if another process has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def sweep(root: Path, prefix: str) -> None:
    """Remove folders of this user below a root that nobody owns any more."""
    for folder in root.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # it has just gone, or is no folder
            _sweep_one(folder)


def _sweep_one(folder: Path) -> None:
    seen = folder.lstat()
    is_being_made = folder.name.endswith(_MAKING) and time.time() - seen.st_mtime < _MAKING_S
    if seen.st_uid != os.getuid() or is_being_made:
        return
    descriptor = _locked(folder)
    if descriptor is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
