"""Values in files are read in place, but for small ones, and for those beside too many."""

import os
import weakref
from pathlib import Path

import pytest

from scaler.storage import reading
from scaler.storage.store import Place, Store


def test_not_more_are_mapped_than_leaves_descriptors_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "READ_BYTES", 10)
    monkeypatch.setattr(reading, "LEAST_MAPPED", 2)
    monkeypatch.setattr(reading, "MOST_MAPPED", 2)
    monkeypatch.setattr(reading, "_mapped", weakref.WeakSet())
    store = Store([Place(tmp_path / "scaler-store-test", 1e9, "in a folder")])
    file = store.write("value", [b"pickle", b"x" * 1000])
    before = len(os.listdir("/proc/self/fd"))
    for is_ours in (False, True):
        found = [reading.mapped(str(file.path), is_ours=is_ours) for _ in range(10)]
        assert [bytes(parts[1]) for parts in found] == [b"x" * 1000] * 10
        assert len(os.listdir("/proc/self/fd")) == before + 2
        assert {parts[1].readonly for parts in found} == {not is_ours}
        del found
    store.remove()
