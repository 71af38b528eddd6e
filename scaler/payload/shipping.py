"""The code that functions of this process travel with: its own modules, as it has imported them.

A module is its own if it lies below the folder of the script that runs, or below the working directory, and was neither
installed nor is part of Python. All that have been imported go along, and what these import from the same folders.
Their files are read when they are sent for the first time, and again when they are loaded anew: what somebody edits
meanwhile changes a running program no more here than it does at home.
"""

import contextlib
import os
import re
import sys
import threading
import time
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from opcode import opmap
from pathlib import Path

from scaler.ids import FunctionId
from scaler.payload.archives import File, archive, archive_id, contents, files_of, is_too_large, place_of
from scaler.protocol.code import MOST_ROOTS, NO_CODE, SHIPPED, WHOSE, Code

#: looking for modules that were loaded without a word of it may take one part in so many of the time
_PART = 50
#: bytes of archives that are kept, and what is sent of them is not asked for in vain
_KEPT_BYTES = 256 << 20
_EVERYTHING = Path(os.sep)
_PYTHON = Path(os.__file__).resolve().parent
_INSTALLED = frozenset(("site-packages", "dist-packages"))
#: never shipped: what workers have in any case, or could not change any more
_WITH_US = frozenset(sys.stdlib_module_names | {"scaler", "__main__", "__mp_main__"})
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)
_IMPORT_NAME, _EXTENDED_ARG = opmap["IMPORT_NAME"], opmap["EXTENDED_ARG"]


@dataclass(slots=True)
class _Root:
    """One outermost module of ours, as it was when its archive was made; it has none if it is too large."""

    #: what of it had been imported, each as its last loading
    loaded: dict[str, object]
    #: the files of one that had not been
    files: list[File]
    archive: FunctionId | None
    #: the outermost names that it imports
    imports: frozenset[str]

    def is_of(self, loaded: dict[str, object]) -> bool:
        """Whether nothing has been loaded since; of two loadings one may say that it equals the other."""
        return self.loaded.keys() == loaded.keys() and all(self.loaded[name] is loaded[name] for name in loaded)


class _Watch(MetaPathFinder):
    """Is asked first for whatever is imported or loaded anew; finds nothing, and has it looked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """None, as it only listens."""
        del fullname, path, target
        shipping.look_again()
        return None


class Shipping:
    """What this process has of its own code."""

    def __init__(self) -> None:
        # a handler of a signal may come back to it
        self._lock = threading.RLock()
        self._is_looking = False
        #: by name, and where they are
        self._roots: dict[tuple[str, Path], _Root] = {}
        self._archives: OrderedDict[FunctionId, bytes] = OrderedDict()
        #: where modules are that have been imported, by name, file and our folders; None for those that are not ours
        self._places: dict[tuple[str, str, tuple[Path, ...]], Path | None] = {}
        #: names that functions import when they run, beside what has been imported
        self._named: set[str] = set()
        #: our folders as they were found, and as they are
        self._given: tuple[Path, ...] = ()
        self._real: tuple[Path, ...] = ()
        self._code: Code = NO_CODE
        self._modules = 0
        self._due = 0.0
        #: how often it was told to look again
        self._told = 0
        self._watch = _Watch()
        #: folders that are ours beside the usual ones
        self.folders: tuple[str, ...] = ()

    def code(self) -> Code:
        """The code that a function has to travel with now; the same object as long as it is the same."""
        if len(sys.modules) == self._modules and time.monotonic() < self._due:
            return self._code
        with self._lock:
            if not self._is_looking:
                self._is_looking = True
                try:
                    self._look()
                finally:
                    self._is_looking = False
        return self._code

    def _look(self) -> None:
        if self._watch not in sys.meta_path:
            sys.meta_path.insert(0, self._watch)
        begun, told = time.monotonic(), self._told
        self._modules = len(sys.modules)
        found = tuple(sorted(self._find().items()))[: MOST_ROOTS - 1]
        if found:
            found = ((WHOSE, SHIPPED), *found)
        if found != self._code:
            self._code = found
        ended = time.monotonic()
        self._due = ended + _PART * (ended - begun) if told == self._told else 0.0

    def look_again(self) -> None:
        """Something may have been loaded anew: it is looked for when the code is asked for next."""
        self._told += 1
        self._due = 0.0

    def renew(self) -> None:
        """This process was forked off, maybe while another thread looked."""
        self._lock = threading.RLock()
        self._is_looking = False

    def note(self, code: types.CodeType) -> None:
        """A function with this code travels by value: what it imports when it runs has to go along."""
        new = {name for name in _imported(code) if name not in self._named and name not in _WITH_US}
        if new:
            self._named |= new
            self.look_again()

    def archive(self, name: FunctionId) -> bytes | None:
        """The bytes of an archive that was named by the code of a function."""
        with self._lock:
            data = self._archives.get(name)
            if data is not None:
                self._archives.move_to_end(name)
            return data

    # ---- which modules

    def _find(self) -> dict[str, FunctionId]:
        folders = self._folders()
        waiting = OrderedDict(self._imported_roots(folders))
        named = (name for name in self._named if name not in sys.modules)
        waiting.update((name, place) for name in named if (place := _look_for(name, folders)))
        found: dict[str, FunctionId] = {}
        seen = set(waiting)
        while waiting:
            name, place = waiting.popitem()
            root = self._root(name, place)
            if root is None or root.archive is None:
                continue
            found[name] = root.archive
            for other in root.imports - seen - _WITH_US:
                seen.add(other)
                if other not in sys.modules and (place := _look_for(other, folders)):
                    waiting[other] = place
        return found

    def _imported_roots(self, folders: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
        """Name and place of each outermost module of ours that has been imported."""
        for name, module in list(sys.modules.items()):
            if "." in name or name in _WITH_US or not isinstance(module, types.ModuleType):
                continue
            key = name, str(getattr(module, "__file__", None)), folders
            if key not in self._places:
                place = place_of(module)
                self._places[key] = place if place is not None and is_ours(place, folders) else None
            found = self._places[key]
            if found is not None:
                yield name, found

    def _folders(self) -> tuple[Path, ...]:
        """Where our own modules are."""
        found = [Path(folder) for folder in self.folders]
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if script:
            found.append(Path(script).absolute().parent)
        with contextlib.suppress(FileNotFoundError):  # somebody may have removed it
            found.append(Path.cwd())
        key = tuple(found)
        if key != self._given:
            self._given = key
            self._real = tuple(dict.fromkeys(real for folder in found if (real := folder.resolve()) != _EVERYTHING))
        return self._real

    def _root(self, name: str, place: Path) -> _Root | None:
        known, loaded = self._roots.get((name, place)), _loaded(name)
        if known is not None and loaded and known.is_of(loaded):
            return known
        try:
            files = files_of(place)
            if known is None or loaded or known.files != files:
                known = self._roots[name, place] = self._made(name, files, loaded, known)
                self._let_go_of_old()
        except OSError:  # it is changing just now, or has gone
            return known if loaded else None
        return known

    def _made(self, name: str, files: list[File], loaded: dict[str, object], before: _Root | None) -> _Root:
        if is_too_large(files):
            warnings.warn(
                f"the module {name} is too large to be sent to workers: they need it themselves", stacklevel=2
            )
            return _Root(loaded, files, None, frozenset())
        data = archive(files, {} if before is None else self._unchanged(loaded, before))
        key = archive_id(data)
        self._archives[key] = data
        sources = [content for path, content in contents(data) if path.endswith(".py")]
        return _Root(loaded, files, key, frozenset(name for source in sources for name in _names(source)))

    def _unchanged(self, loaded: dict[str, object], before: _Root) -> dict[str, bytes]:
        """What was sent of the modules that have not been loaded anew since, by the names of their files."""
        steady = {name for name, loading in loaded.items() if before.loaded.get(name) is loading}
        data = None if before.archive is None else self._archives.get(before.archive)
        return {} if data is None else {path: text for path, text in contents(data) if _module_of(path) in steady}

    def _let_go_of_old(self) -> None:
        """Keep the archives of what files are now; of what they were before as much as there is room for."""
        present = {root.archive for root in self._roots.values()}
        excess = sum(map(len, self._archives.values())) - _KEPT_BYTES
        for name in [name for name in self._archives if name not in present]:
            if excess <= 0:
                return
            excess -= len(self._archives.pop(name))


def _loaded(root: str) -> dict[str, object]:
    """What has been imported of an outermost module, itself and all below it: each loading is another object."""
    modules = sys.modules.copy()  # in one step, while other threads may import
    below = root + "."
    return {
        name: getattr(module, "__spec__", None) or module
        for name, module in modules.items()
        if name == root or name.startswith(below)
    }


def _module_of(path: str) -> str:
    """The module that a source in an archive is; anything else is none that was loaded."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") if path.endswith(".py") else ""


def is_ours(place: Path, folders: Iterable[Path]) -> bool:
    """Whether a file or folder is below one of these, and not installed there."""
    if not _INSTALLED.isdisjoint(place.parts) or place.is_relative_to(_PYTHON):
        return False  # as for most, without a look at the disk
    real = place.resolve()
    if not _INSTALLED.isdisjoint(real.parts) or real.is_relative_to(_PYTHON):
        return False
    return any(folder in real.parents for folder in folders)


def _look_for(name: str, folders: tuple[Path, ...]) -> Path | None:
    """Where a module of ours is that has not been imported, if there is one of that name."""
    below = (path for path in map(Path, sys.path) if is_ours(path, folders))
    for folder in dict.fromkeys((*below, *folders)):
        for place, file in ((folder / name, folder / name / "__init__.py"), (folder / f"{name}.py",) * 2):
            if file.exists():
                return place if is_ours(place, folders) else None
    return None


def _names(source: bytes) -> Iterator[str]:
    """The outermost names that a source imports, and maybe some that it only speaks of."""
    for match in _IMPORTS.finditer(source):
        for part in (match[1] or match[2]).split(b","):
            word = part.split()[0] if part.split() else b""
            yield word.partition(b".")[0].decode()


def _imported(code: types.CodeType) -> Iterator[str]:
    """The outermost names that code imports when it runs, however deep in it."""
    instructions = code.co_code
    if _IMPORT_NAME in instructions[::2]:
        high = 0
        for operation, argument in zip(instructions[::2], instructions[1::2], strict=True):
            if operation == _IMPORT_NAME:
                yield code.co_names[high | argument].partition(".")[0]
            high = (high | argument) << 8 if operation == _EXTENDED_ARG else 0
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _imported(constant)


#: of this process
shipping = Shipping()
os.register_at_fork(after_in_child=shipping.renew)
