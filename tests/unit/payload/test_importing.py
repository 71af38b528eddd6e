"""What came with functions is imported from where it lies, unless the same is there already."""

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler.errors import DeserializeObjectError
from scaler.ids import FunctionId
from scaler.payload.archives import archive, archive_id, files_of
from scaler.payload.importing import CodeFinder
from scaler.protocol.code import ARCHIVE_SUFFIX, OWN_CODE


@pytest.fixture
def finder(tmp_path: Path) -> Iterator[CodeFinder]:
    made = CodeFinder(tmp_path / "code")
    (tmp_path / "code").mkdir()
    before = set(sys.modules)
    sys.meta_path.insert(0, made)
    yield made
    sys.meta_path.remove(made)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def lay(tmp_path: Path, text: str, name: str = "came") -> FunctionId:
    """Archive a package of a client."""
    place = tmp_path / "client" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "__init__.py").write_text(text)
    (place / "part.py").write_text("PART = __name__")
    data = archive(files_of(place))
    key = archive_id(data)
    (tmp_path / "code" / f"{key.hex()}{ARCHIVE_SUFFIX}").write_bytes(data)
    return key


def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """The same package, as the worker has it itself."""
    place = tmp_path / "worker" / "came"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(text)
    (place / "part.py").write_text("PART = __name__")
    monkeypatch.syspath_prepend(str(tmp_path / "worker"))
    return place


def test_what_is_not_here_is_unpacked_when_it_is_imported(tmp_path: Path, finder: CodeFinder):
    key = lay(tmp_path, "X = 1")
    finder.use((("came", key),))
    assert not (tmp_path / "code" / key.hex()).exists()
    assert importlib.import_module("came").X == 1
    assert importlib.import_module("came.part").PART == "came.part"
    assert (tmp_path / "code" / key.hex() / "came" / "part.py").exists()


def test_what_is_here_with_the_same_content_is_taken(
    tmp_path: Path, finder: CodeFinder, monkeypatch: pytest.MonkeyPatch
):
    place = theirs(tmp_path, monkeypatch, "X = 1")
    key = lay(tmp_path, "X = 1")
    finder.use((("came", key),))
    assert importlib.import_module("came").__path__ == [str(place)]
    assert not (tmp_path / "code" / key.hex()).exists()


def test_what_is_here_with_another_content_is_not(tmp_path: Path, finder: CodeFinder, monkeypatch: pytest.MonkeyPatch):
    theirs(tmp_path, monkeypatch, "X = 2")
    finder.use((("came", lay(tmp_path, "X = 1")),))
    assert importlib.import_module("came").X == 1


def test_what_no_function_came_with_is_imported_as_ever(
    tmp_path: Path, finder: CodeFinder, monkeypatch: pytest.MonkeyPatch
):
    theirs(tmp_path, monkeypatch, "X = 2")
    finder.use(OWN_CODE)
    assert importlib.import_module("came").X == 2


def test_a_module_that_was_imported_before_must_be_the_same(
    tmp_path: Path, finder: CodeFinder, monkeypatch: pytest.MonkeyPatch
):
    place = theirs(tmp_path, monkeypatch, "X = 1")
    module = importlib.import_module("came")
    same, other = lay(tmp_path, "X = 1"), lay(tmp_path, "X = 3")
    with pytest.raises(DeserializeObjectError, match=f"another module came than .*, from {place}: start workers anew"):
        finder.use((("came", other),))
    finder._began_at = time.time() + 10
    finder.use((("came", same),))
    assert importlib.import_module("came") is module


def test_a_module_whose_files_have_changed_since_it_was_imported_is_not_the_same(
    tmp_path: Path, finder: CodeFinder, monkeypatch: pytest.MonkeyPatch
):
    place = theirs(tmp_path, monkeypatch, "X = 1")
    importlib.import_module("came")
    finder._began_at = time.time() - 10
    (place / "__init__.py").write_text("X = 22")
    with pytest.raises(DeserializeObjectError, match="another module came"):
        finder.use((("came", lay(tmp_path, "X = 22")),))


def test_one_process_never_has_two_contents_of_a_module(tmp_path: Path, finder: CodeFinder):
    first, second = lay(tmp_path, "X = 1"), lay(tmp_path, "X = 2")
    finder.use((("came", first),))
    finder.use((("came", first),))
    with pytest.raises(DeserializeObjectError, match="another module came"):
        finder.use((("came", second),))


def test_code_that_did_not_come_is_told_as_a_failed_import(finder: CodeFinder):
    finder.use((("came", FunctionId(b"x" * 16)),))
    with pytest.raises(ImportError, match="its code did not come with the function"):
        importlib.import_module("came")
