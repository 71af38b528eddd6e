"""Where stores lie: in memory as far as there is some, then on the disk."""

import errno
import tempfile
from pathlib import Path

import pytest

from scaler.errors import ConfigurationError, StoreFullError
from scaler.storage import places as module
from scaler.storage.places import LEAST_BYTES, default_limit_bytes, places
from scaler.storage.store import Store


def test_memory_comes_first_then_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    memory, disk = places(1 << 30)
    assert (memory.folder.parent, memory.limit_bytes) == (module.MEMORY, 1 << 30)
    assert memory.what == "in memory (--object-store-limit is 1.07 GB)"
    assert (disk.folder.parent, disk.limit_bytes, disk.what) == (tmp_path, float("inf"), f"on disk ({tmp_path})")


def test_without_memory_all_is_on_disk(tmp_path: Path):
    assert [place.folder.parent for place in places(0, tmp_path)] == [tmp_path]


def test_a_folder_that_is_none_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="is no folder that values could be laid in"):
        places(0, tmp_path / "nowhere")


def test_whose_limit_it_is_is_told_in_the_units_of_what_is_taken(tmp_path: Path):
    store = Store(places(10_000_000, tmp_path, option="SCALER_OBJECT_STORE_LIMIT")[:1])
    text = r"value of 20 MB: in memory \(SCALER_OBJECT_STORE_LIMIT is 10 MB\): 0 bytes of 10 MB are taken$"
    with pytest.raises(StoreFullError, match=text):
        store.write("one", [bytes(20_000_000)])
    store.remove()


def test_a_folder_that_was_named_and_takes_no_files_is_told_with_the_reason():
    with pytest.raises(ConfigurationError, match=r"^/proc takes no files \(No such file or directory\): name another$"):
        places(0, Path("/proc"))


def test_a_folder_that_is_full_may_have_room_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert len(places(0, tmp_path)) == 1


def test_a_folder_for_temporary_files_that_takes_none_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    store = Store(places(0))
    with pytest.raises(StoreFullError, match=r"on disk \(/proc\): it takes no files \(No such file or directory\)$"):
        store.write("one", [b"1"])


def test_half_of_what_is_free_here_or_in_our_part_of_it_may_be_used(tmp_path: Path):
    free = default_limit_bytes(tmp_path, tmp_path / "no cgroup")
    assert free >= LEAST_BYTES
    for most, limit in (("max", free), (str(1 << 60), free), (str((2 << 30) + 1000), 1 << 30), (str(1 << 20), 0)):
        (tmp_path / "memory.max").write_text(f"{most}\n")
        (tmp_path / "memory.current").write_text("1000\n")
        assert default_limit_bytes(tmp_path, tmp_path) == pytest.approx(limit, rel=0.05)
    assert default_limit_bytes(tmp_path / "nowhere") == 0
