"""Folders of one process: seen by its user alone, gone with it, swept by others once nobody holds them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaler.storage.folders import OwnedFolder, new_path

PREFIX = "scaler-test-"


def owned(root: Path) -> OwnedFolder:
    return OwnedFolder(new_path(root, PREFIX), PREFIX)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_a_folder_is_its_users_alone_and_is_removed_with_all_that_is_in_it(tmp_path: Path):
    folder = owned(tmp_path)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "inner").mkdir()
    (folder.path / "inner" / "file").write_bytes(b"value")
    folder.remove()
    folder.remove()
    assert names(tmp_path) == []


def test_one_that_is_there_already_is_somebody_elses(tmp_path: Path):
    path = new_path(tmp_path, PREFIX)
    path.mkdir()
    with pytest.raises(FileExistsError, match="somebody else's"):
        OwnedFolder(path, PREFIX)
    assert names(tmp_path) == [path.name]


def test_the_next_one_sweeps_what_nobody_owns_and_nothing_else(tmp_path: Path):
    left, used = new_path(tmp_path, PREFIX), owned(tmp_path)
    left.mkdir()
    (left / "file").write_bytes(b"value")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    (tmp_path / f"{PREFIX}file").write_bytes(b"no folder")
    (tmp_path / "others").mkdir()
    mine = owned(tmp_path)
    assert names(tmp_path) == sorted([f"{PREFIX}file", f"{PREFIX}link", "others", used.path.name, mine.path.name])
    used.remove()
    mine.remove()


def test_one_that_is_being_made_is_left_alone_for_a_while(tmp_path: Path):
    making = tmp_path / f"{PREFIX}1.making"
    making.mkdir()
    owned(tmp_path).remove()
    assert names(tmp_path) == [making.name]
    long_ago = time.time() - 3600
    os.utime(making, (long_ago, long_ago))
    owned(tmp_path).remove()
    assert names(tmp_path) == []


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_the_folder_of_a_process_that_is_gone_is_swept_and_that_of_a_living_one_is_not(tmp_path: Path, end: str):
    script = (
        "import os, sys; from pathlib import Path; from scaler.storage.folders import OwnedFolder, new_path\n"
        f"kept = OwnedFolder(new_path(sys.argv[1], {PREFIX!r}), {PREFIX!r})\n"
        f"print(kept.path.name, flush=True); sys.stdin.readline(); {end}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        owned(tmp_path).remove()
        assert names(tmp_path) == [name]
        process.stdin.close()
        process.wait()
    owned(tmp_path).remove()
    assert names(tmp_path) == []


def test_a_forked_child_neither_removes_the_folder_nor_keeps_it(tmp_path: Path):
    folder = owned(tmp_path)
    (reading, writing), (heard, said) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        folder.remove()
        os.write(said, b"1")
        os.read(reading, 1)
        os._exit(0)
    try:
        os.read(heard, 1)
        assert folder.path.is_dir()
        folder.disown()
        owned(tmp_path).remove()
        assert names(tmp_path) == []
    finally:
        for descriptor in (writing, reading, heard, said):
            os.close(descriptor)
        os.waitpid(child, 0)
