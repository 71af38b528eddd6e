"""Objects in a worker: mapped once while tasks that need them follow each other, and kept no longer."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaler.errors import ObjectLostError
from scaler.ids import Incarnation, ObjectId
from scaler.payload.parts import dump_parts
from scaler.protocol.references import Reference, read_record, record_of
from scaler.storage.store import Place, Store, StoredFile
from scaler.worker.objects import KEPT_BYTES, MOST_KEPT, Objects


class Host:
    def __init__(self, folder: Path) -> None:
        self.store = Store([Place(folder / "store", float("inf"), "in memory")])
        self.files: list[StoredFile] = []

    def record(self, value: Any) -> bytes:
        n = len(self.files)
        self.files.append(stored := self.store.write(str(n), dump_parts(value)))
        return record_of(Reference(ObjectId(Incarnation(1), n), stored.size_bytes, str(stored.path), stored.token))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_nobody_can_change_is_made_once(host: Host):
    objects = Objects()
    for value in (b"b" * 100_000, "t" * 100_000):
        record = host.record(value)
        first = objects.fetch(record)
        assert first == value
        objects.is_open()
        assert objects.fetch(memoryview(record)) is first


def test_what_can_be_changed_is_made_for_each_task_of_the_same_memory(host: Host):
    objects = Objects()
    record = host.record({"a": np.arange(1_000_000)})
    first, second = objects.fetch(record), objects.fetch(record)
    assert first is not second
    assert first["a"] is not second["a"]
    assert first["a"].ctypes.data == second["a"].ctypes.data
    first["b"] = 1
    assert list(objects.fetch(record)) == ["a"]


def test_what_is_read_and_not_mapped_is_read_for_each_task_since_compiled_code_may_write_to_it(host: Host):
    objects = Objects()
    record = host.record(np.arange(10_000))
    first, second = objects.fetch(record), objects.fetch(record)
    ctypes.memset(first.ctypes.data, 1, first.nbytes)
    assert (second[-1], objects.fetch(record)[-1]) == (9_999, 9_999)
    assert not objects


def test_what_is_kept_is_as_it_was_though_its_file_is_gone_until_no_task_follows(host: Host):
    objects = Objects()
    record = host.record(b"b" * 100_000)
    kept = objects.fetch(record)
    host.files.clear()
    assert objects.fetch(record) is kept
    objects.let_go()
    assert not objects
    with pytest.raises(ObjectLostError, match="object 0000000000000001-0 is not there any more"):
        objects.fetch(record)


def test_what_its_owner_has_freed_goes_when_another_comes(host: Host):
    objects = Objects()
    records = [host.record(bytes([number]) * 100_000) for number in range(4)]
    for record in records[:2]:
        objects.fetch(record)
    objects.is_open()
    objects.fetch(records[2])
    del host.files[:]
    with pytest.raises(ObjectLostError):
        objects.fetch(records[3])
    assert kept(objects, records) == [False, False, True, False]


def kept(objects: Objects, records: list[bytes]) -> list[bool]:
    """Which of these are kept."""
    return [read_record(record).object in objects._kept for record in records]


def test_no_more_than_a_few_are_kept(host: Host):
    objects = Objects()
    records = [host.record(bytes([number]) * 10_000) for number in range(MOST_KEPT + 3)]
    for record in records:
        objects.fetch(record)
        objects.is_open()
    assert kept(objects, records) == [False] * 3 + [True] * MOST_KEPT


def test_of_what_is_too_much_only_that_of_the_task_that_runs_is_kept(host: Host):
    objects = Objects()
    records = [host.record(np.zeros(KEPT_BYTES // 2 + 1, dtype="u1")) for _ in range(4)]
    for record in records[:2]:
        objects.fetch(record)
    objects.is_open()
    assert kept(objects, records) == [True, True, False, False]
    for record in (records[1], records[2], records[3]):
        objects.fetch(record)
    objects.is_open()
    assert kept(objects, records) == [False, True, True, True]
    objects.fetch(records[3])
    objects.is_open()
    assert kept(objects, records) == [False, False, False, True]
