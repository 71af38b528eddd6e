"""Modules that came with functions, where workers find them: what they have themselves is used where it is the same.

A process imports one content of a module and keeps it, so its cluster gives it functions of no other. Nothing is read
or unpacked before a module is imported.
"""

import contextlib
import importlib.machinery
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

from scaler.errors import DeserializeObjectError
from scaler.ids import FunctionId
from scaler.payload.archives import archive, archive_id, files_of, place_of, unpack
from scaler.payload.shipping import shipping
from scaler.protocol.code import ARCHIVE_SUFFIX, WHOSE, Code


class CodeFinder(MetaPathFinder):
    """Finds the modules of archives that lie in a folder, each named by its id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began_at = time.time()
        #: what this process is to import, or has imported
        self._archives: dict[str, FunctionId] = {}

    def use(self, code: Code) -> None:
        """From now on these are the modules of these names; raises what is in the way of that."""
        for name, wanted in code:
            if name != WHOSE and self._archives.get(name) != wanted:
                module = sys.modules.get(name)
                if name in self._archives or (module is not None and not self._is_the_same(module, wanted)):
                    raise DeserializeObjectError(
                        f"this worker has imported another module {name} than the one that the client has"
                        f"{'' if module is None else f', from {place_of(module)}'}: start workers anew where their "
                        "files have changed, or leave the client's where it is by Client(…, ship_code=False)"
                    )
                self._archives[name] = wanted

    def _is_the_same(self, module: ModuleType, wanted: FunctionId) -> bool:
        """Whether a module that was imported before has this content: had it, and has it still."""
        place = place_of(module)
        return place is not None and _id_at(place, self._began_at) == wanted

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002  # as importlib calls it
    ) -> importlib.machinery.ModuleSpec | None:
        """What is here already if it is the same, else what is in the archive."""
        wanted = self._archives.get(fullname)
        if path is not None or wanted is None:
            return None
        own = self._own(fullname)
        place = None if own is None else _place(own)
        if place is not None and _id_at(place) == wanted:
            return own
        return importlib.machinery.PathFinder.find_spec(fullname, [str(self._unpacked(wanted))])

    def _own(self, name: str) -> importlib.machinery.ModuleSpec | None:
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, None)
            if spec is not None:
                return spec
        return None

    def _unpacked(self, wanted: FunctionId) -> Path:
        folder = self._folder / wanted.hex()
        if not folder.is_dir():
            try:
                data = folder.with_suffix(ARCHIVE_SUFFIX).read_bytes()
            except OSError as error:
                raise ImportError(f"its code did not come with the function: {error}") from error
            unpack(data, folder)
        return folder


def _place(spec: importlib.machinery.ModuleSpec) -> Path | None:
    """The folder of a package or the file of a module, if it is in either."""
    paths = list(spec.submodule_search_locations or ())
    place = paths[0] if paths else spec.origin
    return Path(place) if place and Path(place).exists() else None


def _id_at(place: Path, before: float | None = None) -> FunctionId | None:
    """What the archive of the module at a place would be called; None if some of it has changed since."""
    with contextlib.suppress(OSError):  # it is changing just now
        files = files_of(place)
        if before is None or all(file.mtime_ns < before * 1e9 for file in files):
            return archive_id(archive(files))
    return None


_finders: list[CodeFinder] = []


def find_code_in(folder: str) -> None:
    """From now on this process finds what comes with functions in this folder, and passes it on with its own."""
    finder = CodeFinder(Path(folder))
    _finders.append(finder)
    sys.meta_path.insert(0, finder)
    shipping.folders = (folder,)


def use_code(code: Code) -> None:
    """A function came with this code; in a process that was not told where it lies, what is here is used."""
    for finder in _finders:
        finder.use(code)
