"""The folder of all works: one scheduler's at a time, its user's alone, and safe names whatever works are called."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.durable.errors import DamagedWorkError, WorkExistsError, WorkFolderError, WorkMissingError, WorkNameError
from scaler.durable.folder import MOST_NAME_CHARACTERS, WorkFolder, file_name
from tests.unit.durable.logs import numbered, row

#: surrogates are no text
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=MOST_NAME_CHARACTERS)
HOLD = (
    "import sys; from pathlib import Path; from scaler.durable.folder import WorkFolder\n"
    "folder = WorkFolder(Path(sys.argv[1])); print(flush=True); sys.stdin.readline()"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "durable"


def files(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir() if found.name != "lock")


def test_it_is_made_for_its_user_alone(path: Path):
    folder = WorkFolder(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "lock").stat().st_mode) == 0o600
    assert (path / "lock").read_text() == f"{os.getpid()}\n"
    assert folder.names() == []
    folder.close()
    folder.close()


@pytest.mark.parametrize("mode", [0o750, 0o707, 0o770, 0o777])
def test_one_that_others_may_enter_is_refused(path: Path, mode: int):
    path.mkdir(parents=True)
    path.chmod(mode)
    with pytest.raises(WorkFolderError, match=r"must be a folder of your own with mode 0700: .*chmod 700"):
        WorkFolder(path)
    assert list(path.iterdir()) == []


def test_a_link_and_a_file_and_the_folder_of_another_user_are_refused(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    (tmp_path / "file").write_bytes(b"")
    for refused in ("link", "file", "file/below"):
        with pytest.raises(WorkFolderError, match=str(tmp_path / refused)):
            WorkFolder(tmp_path / refused)
    WorkFolder(path).close()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(WorkFolderError, match="of your own"):
        WorkFolder(path)


def test_a_second_scheduler_is_told_who_has_it_until_that_one_is_gone(path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(WorkFolderError) as refused:
            WorkFolder(path)
        assert str(refused.value) == (
            f"{path} is in use by the scheduler with pid {holder.pid}: stop it, or choose another --state-dir"
        )
        holder.kill()
    WorkFolder(path).close()


def test_one_that_is_refused_is_not_held(path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr("scaler.durable.folder.remove", lambda _: (path / "none").stat())
        path.mkdir(parents=True, mode=0o700)
        (path / f"{file_name('x')}.new").write_bytes(b"")
        with pytest.raises(WorkFolderError, match="No such file"):
            WorkFolder(path)
    WorkFolder(path).close()


def test_works_are_found_by_the_names_they_were_made_with(path: Path):
    folder = WorkFolder(path)
    names = [
        "nightly",
        "Nightly",
        "NIGHTLY",
        "../nightly",
        "..",
        ".",
        "/",
        "a/b",
        "ü" * 256,
        " ",
        "con",
        "x\0y",
        "-",
        "%",
    ]
    open_ones = [folder.create(name, "key", number) for number, name in enumerate(names)]
    assert sorted(folder.names()) == sorted(names)
    for file in open_ones:
        file.close()
    for number, name in enumerate(names):
        file = folder.open(name)
        assert (file.facts.name, file.facts.owner, file.facts.incarnation) == (name, "key", number)
        file.close()
    assert {found.parent for found in path.rglob("*")} == {path}
    folder.close()


@settings(max_examples=50)
@given(texts, texts)
def test_names_of_files_are_harmless_and_differ_whatever_the_case(one: str, other: str):
    found = file_name(one), file_name(other)
    assert (found[0] == found[1]) is (one == other)
    for name in found:
        assert name == name.lower()
        assert len(name) <= 100
        assert name.strip("abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
        assert not name.startswith((".", "-"))


@pytest.mark.parametrize("name", ["", "x" * 257, "\ud800"])
def test_some_names_are_none(name: str):
    with pytest.raises(WorkNameError, match="durable work"):
        file_name(name)


def test_a_work_is_made_once_and_opened_where_it_is(path: Path):
    folder = WorkFolder(path)
    with pytest.raises(WorkMissingError):
        folder.open("nightly")
    folder.create("nightly", "key", 1).close()
    with pytest.raises(WorkExistsError):
        folder.create("nightly", "another", 2)
    file = folder.open("nightly")
    assert file.facts.owner == "key"
    file.close()
    folder.close()


def test_a_dropped_work_is_gone_with_all_that_was_beside_it(path: Path):
    folder = WorkFolder(path)
    folder.create("kept", "key", 1).close()
    file = folder.create("nightly", "key", 1)
    file.append([row(0, 1)])
    file.close()
    for side in ("-wal", "-shm"):
        folder.path_of("nightly").with_name(file_name("nightly") + side).write_bytes(b"left")
    folder.drop("nightly")
    folder.drop("nightly")
    assert (files(path), folder.names()) == ([file_name("kept")], ["kept"])
    folder.close()


def test_a_damaged_file_is_set_aside_whole_and_the_work_can_begin_anew(path: Path):
    folder = WorkFolder(path)
    for _ in range(2):
        folder.create("nightly", "key", 1).close()
        damaged = folder.path_of("nightly")
        damaged.write_bytes(b"damaged")
        damaged.with_name(damaged.name + "-wal").write_bytes(b"log")
        with pytest.raises(DamagedWorkError):
            folder.open("nightly")
        aside = folder.set_aside(damaged)
        assert aside.name.startswith(file_name("nightly").removesuffix(".sqlite") + ".damaged-2")
        assert (aside.read_bytes(), aside.with_name(aside.name + "-wal").read_bytes()) == (b"damaged", b"log")
    assert len(files(path)) == 4
    assert (folder.names(), folder.unreadable()) == ([], [])
    folder.close()
    folder = WorkFolder(path)
    assert len(files(path)) == 4
    folder.close()


def test_files_that_do_not_say_whose_they_are_can_be_set_aside_too(path: Path):
    folder = WorkFolder(path)
    folder.create("nightly", "key", 1).close()
    folder.create("other", "key", 2).close()
    (path / file_name("third")).write_bytes(folder.path_of("other").read_bytes())
    folder.path_of("nightly").write_bytes(b"damaged")
    assert folder.names() == ["other"]
    assert sorted((error.path, error.reason) for error in folder.unreadable()) == [
        (folder.path_of("nightly"), "file is not a database"),
        (folder.path_of("third"), "it says that it is the file of 'other'"),
    ]
    with pytest.raises(DamagedWorkError, match="it is the file of 'other'"):
        folder.open("third")
    for error in folder.unreadable():
        folder.set_aside(error.path)
    assert (folder.names(), folder.unreadable()) == (["other"], [])
    folder.close()


def test_what_a_kill_has_left_is_removed_and_nothing_else(path: Path):
    folder = WorkFolder(path)
    file = folder.create("nightly", "key", 1)
    file.append([row(0, 1)])
    folder.close()
    gone = file_name("gone")
    for left in (f"{gone}.new", f"{gone}.new-wal", f"{gone}-wal", f"{gone}-shm"):
        (path / left).write_bytes(b"left")
    (path / "notes.txt").write_bytes(b"of somebody")
    before = [file.path.name, f"{file.path.name}-wal", "notes.txt"]
    folder = WorkFolder(path)
    assert files(path) == sorted(before)
    file.close()
    file = folder.open("nightly")
    assert list(file.read_all()) == numbered([row(0, 1)])
    file.close()
    folder.close()
