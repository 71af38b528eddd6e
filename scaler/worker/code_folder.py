"""Where the code that comes with functions lies for the workers of a cluster: a folder of its own, gone with it."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scaler.ids import FunctionId
from scaler.protocol.code import ARCHIVE_SUFFIX
from scaler.protocol.columns import Frame
from scaler.storage.folders import OwnedFolder, new_path

_PREFIX = "scaler-code-"


def folder_name() -> str:
    """The name of a folder that nobody has, to be made when it is needed."""
    return str(new_path(tempfile.gettempdir(), _PREFIX))


class CodeFolder:
    """The folder, made when the first archive comes."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._owned: OwnedFolder | None = None

    def keep(self, archive: FunctionId, frames: Sequence[Frame]) -> None:
        """Lay an archive there, so that whoever sees it sees all of it."""
        if self._owned is None:
            self._owned = OwnedFolder(self._path, _PREFIX)
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
        """Remove it with all that is in it, also where another process that is gone made it."""
        if self._path.name.startswith(_PREFIX) and self._path.is_dir():
            shutil.rmtree(self._path, ignore_errors=True)
        if self._owned is not None:
            self._owned.remove()
            self._owned = None
