"""Where stores of this host lie, and how much there may be in them: in memory first, then on disk."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scaler.errors import ConfigurationError
from scaler.resources import bytes_text
from scaler.storage.folders import new_path, sweep
from scaler.storage.store import PREFIX, Place

#: files below it are memory
MEMORY = Path("/dev/shm")  # noqa: S108  # folders in it are our user's alone
#: a store in memory that could hold less is none
LEAST_BYTES = 256 << 20
_CGROUP = Path("/sys/fs/cgroup")


def places(
    limit_bytes: int | None = None, spill_folder: Path | None = None, *, option: str = "--object-store-limit"
) -> tuple[Place, ...]:
    """The places of a new store: so many bytes of memory, as an option says, then the disk under a folder.

    `ConfigurationError` where that folder takes no files.
    """
    limit = default_limit_bytes() if limit_bytes is None else limit_bytes
    found = []
    if limit:
        found.append(Place(new_path(MEMORY, PREFIX), limit, f"in memory ({option} is {bytes_text(limit)})"))
    if spill_folder is not None:
        require_takes_files(spill_folder)
    spill = spill_folder or Path(tempfile.gettempdir())
    return (*found, Place(new_path(spill, PREFIX), float("inf"), f"on disk ({spill})"))


def require_takes_files(folder: Path) -> None:
    """`ConfigurationError` where no values could be laid in a folder, also if others had left room."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder that values could be laid in: make it, or name another")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigurationError(f"{folder} takes no files ({error.strerror}): name another") from None


def sweep_stores(more: Iterable[Path] = ()) -> None:
    """Remove the stores of processes that were killed, from where stores usually lie and from these folders."""
    for root in dict.fromkeys((MEMORY, Path(tempfile.gettempdir()), *more)):
        with contextlib.suppress(OSError):  # it cannot be read
            sweep(root, PREFIX)


def default_limit_bytes(memory: Path = MEMORY, cgroup: Path = _CGROUP) -> int:
    """Half of what the host, or our part of it, has left for files in memory; 0 where that is hardly anything."""
    try:
        free = shutil.disk_usage(memory).free
    except OSError:
        return 0
    with contextlib.suppress(OSError, ValueError):  # no limit is written as "max"
        most = int((cgroup / "memory.max").read_text(encoding="ascii"))
        free = min(free, most - int((cgroup / "memory.current").read_text(encoding="ascii")))
    return free // 2 if free // 2 >= LEAST_BYTES else 0
