import types
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from scaler.errors import DeserializeObjectError
from scaler.payload import archives
from scaler.payload.archives import archive, archive_id, files_of, is_too_large, place_of, unpack


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with sources, data and what does not belong to it."""
    files = {
        "p/__init__.py": "",
        "p/inner/deep.py": "x = 1",
        "p/inner/data.txt": "words",
        "p/__pycache__/deep.pyc": "old",
        "p/.git/config": "secret",
        "p/.hidden": "secret",
        "other.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "p"


def names(place: Path) -> list[str]:
    return [file.name for file in files_of(place)]


def test_a_package_is_its_sources_and_data(package: Path):
    assert names(package) == ["p/__init__.py", "p/inner/data.txt", "p/inner/deep.py"]


def test_a_module_is_its_file(package: Path):
    assert names(package.parent / "other.py") == ["other.py"]


def test_equal_files_are_called_the_same_wherever_they_are(package: Path, tmp_path: Path):
    data = archive(files_of(package))
    unpack(data, tmp_path / "there")
    assert archive_id(archive(files_of(tmp_path / "there" / "p"))) == archive_id(data)
    (tmp_path / "there" / "p" / "inner" / "deep.py").write_text("x = 2")
    assert archive_id(archive(files_of(tmp_path / "there" / "p"))) != archive_id(data)


def test_whoever_unpacks_it_last_changes_nothing(package: Path, tmp_path: Path):
    data = archive(files_of(package))
    for _ in range(2):
        unpack(data, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()].count("there") == 1
    assert not list(tmp_path.glob("there.*"))


@pytest.mark.parametrize("name", ["../up.py", "a/../../up.py", "/up.py"])
def test_nothing_is_unpacked_elsewhere(tmp_path: Path, name: str):
    with pytest.raises(DeserializeObjectError, match="has a file"):
        unpack(msgspec.msgpack.encode([(name, b"")]), tmp_path / "there")
    with pytest.raises(DeserializeObjectError, match="no archive"):
        unpack(b"\xff", tmp_path / "there")


def test_of_a_large_package_the_sources_alone_travel(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 8)
    assert names(package) == ["p/__init__.py", "p/inner/deep.py"]
    assert not is_too_large(files_of(package))
    monkeypatch.setattr(archives, "MOST_BYTES", 4)
    assert is_too_large(files_of(package))


def test_a_large_file_that_is_no_source_stays_behind(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST_FILE_BYTES", 4)
    assert names(package) == ["p/__init__.py", "p/inner/deep.py"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda module, package: setattr(module, "__path__", [str(package)]), "p"),
        (lambda module, package: setattr(module, "__file__", str(package.parent / "other.py")), "other.py"),
        (lambda module, package: setattr(module, "__file__", str(package / "gone.py")), None),
        (lambda _module, _package: None, None),
    ],
)
def test_where_a_module_is(package: Path, make: Callable[[types.ModuleType, Path], None], expected: str | None):
    module = types.ModuleType("m")
    make(module, package)
    place = place_of(module)
    assert (None if place is None else place.name) == expected
