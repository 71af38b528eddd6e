"""Where the code that comes with functions lies for the workers of a cluster: a folder of its own, gone with it."""

import contextlib
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

    def keep(self, archive: FunctionId, frames: Sequence[Frame]) -> None:
        """Lay an archive there, so that whoever sees it sees all of it."""
        with contextlib.suppress(FileExistsError):
            self._path.mkdir(mode=0o700)
        making = self._path / f"{archive.hex()}.making"
        with making.open("wb") as file:
            file.writelines(frames)
        making.rename(making.with_suffix(ARCHIVE_SUFFIX))

    def drop(self, archive: FunctionId) -> None:
        """Remove an archive, but not what workers have unpacked of it."""
        (self._path / f"{archive.hex()}{ARCHIVE_SUFFIX}").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove it with all that is in it; nothing that was not made here."""
        if self._path.name.startswith(_PREFIX) and self._path.is_dir():
            shutil.rmtree(self._path, ignore_errors=True)
