"""Where stores lie: in memory as far as there is some, then on the disk."""

import tempfile
from pathlib import Path

import pytest

from scaler.errors import ConfigurationError
from scaler.storage import places as module
from scaler.storage.places import LEAST_BYTES, default_limit_bytes, places


def test_memory_comes_first_then_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    memory, disk = places(1 << 30)
    assert (memory.folder.parent, memory.limit_bytes) == (module.MEMORY, 1 << 30)
    assert memory.what == "in memory (--object-store-limit is 1,024 MiB)"
    assert (disk.folder.parent, disk.limit_bytes, disk.what) == (tmp_path, float("inf"), f"on disk ({tmp_path})")


def test_without_memory_all_is_on_disk(tmp_path: Path):
    assert [place.folder.parent for place in places(0, tmp_path)] == [tmp_path]


def test_a_folder_that_is_none_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="is no folder that values could be laid in"):
        places(0, tmp_path / "nowhere")


def test_half_of_what_is_free_here_or_in_our_part_of_it_may_be_used(tmp_path: Path):
    free = default_limit_bytes(tmp_path, tmp_path / "no cgroup")
    assert free >= LEAST_BYTES
    for most, limit in (("max", free), (str(1 << 60), free), (str((2 << 30) + 1000), 1 << 30), (str(1 << 20), 0)):
        (tmp_path / "memory.max").write_text(f"{most}\n")
        (tmp_path / "memory.current").write_text("1000\n")
        assert default_limit_bytes(tmp_path, tmp_path) == pytest.approx(limit, rel=0.05)
    assert default_limit_bytes(tmp_path / "nowhere") == 0
