import tempfile
from pathlib import Path

import pytest

from scaler.ids import FunctionId
from scaler.worker.code_folder import CodeFolder, folder_name

ARCHIVE, OTHER = FunctionId(b"a" * 16), FunctionId(b"o" * 16)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_made_with_the_first_archive_for_its_user_alone_and_goes_with_the_last_word(place: Path):
    folder = CodeFolder(name := folder_name())
    assert list(place.iterdir()) == []
    folder.keep(ARCHIVE, (b"some", memoryview(b"bytes")))
    folder.keep(OTHER, (b"others",))
    assert Path(name).stat().st_mode & 0o777 == 0o700
    assert {path.name: path.read_bytes() for path in Path(name).iterdir()} == {
        f"{ARCHIVE.hex()}.archive": b"somebytes",
        f"{OTHER.hex()}.archive": b"others",
    }
    for unpacked in (ARCHIVE.hex(), f"{ARCHIVE.hex()}.4711"):
        Path(name, unpacked, "mine").mkdir(parents=True)
    folder.drop(ARCHIVE)
    folder.drop(ARCHIVE)
    assert [path.name for path in Path(name).iterdir()] == [f"{OTHER.hex()}.archive"]
    folder.remove()
    folder.remove()
    assert list(place.iterdir()) == []


def test_a_folder_that_is_there_already_is_somebody_else_s(place: Path):
    folder = CodeFolder(name := folder_name())
    Path(name).mkdir()
    with pytest.raises(FileExistsError):
        folder.keep(ARCHIVE, (b"",))
    assert place.exists()


def test_what_others_left_behind_is_swept_away_and_what_they_use_is_not(place: Path):
    left, used = Path(folder_name()), CodeFolder(name := folder_name())
    left.mkdir()
    (left / "some.archive").touch()
    (place / "scaler-code-link").symlink_to(place)
    used.keep(ARCHIVE, (b"",))
    assert not left.exists()
    mine = CodeFolder(folder_name())
    mine.keep(ARCHIVE, (b"",))
    assert Path(name).exists()
    assert place.exists()
    used.remove()
    mine.remove()


def test_nothing_that_was_not_made_here_is_ever_removed(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    (place / "precious").mkdir()
    for path in ("", ".", str(place), str(place / "precious")):
        CodeFolder(path).remove()
    assert (place / "precious").exists()
