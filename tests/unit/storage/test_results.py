"""Results in the folders of a store: whole files in the first that has room, and nothing of what came to nothing."""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scaler.errors import StoreFullError
from scaler.ids import Incarnation, ObjectId, WorkerId
from scaler.protocol.layout import file_bytes, laid_out
from scaler.protocol.references import Reference
from scaler.protocol.result_names import file_name, maker_of, named_by
from scaler.storage import writing
from scaler.storage.reading import is_here, mapped
from scaler.storage.results import Maker, ResultFiles
from scaler.storage.store import Place, Store

OWNER, WORKER = Incarnation(0xABC), WorkerId(5)
PARTS = (b"pickle", b"buffer" * 100)
SIZE = file_bytes(laid_out(PARTS))
TASK = 77


class Host:
    """A store of a cluster with memory and disk, and one worker of it."""

    def __init__(self, root: Path, limit_bytes: int = 10 * SIZE) -> None:
        self.root = root
        memory, disk = Place(root / "memory", limit_bytes, "in memory"), Place(root / "disk", float("inf"), "on disk")
        self.store = Store([memory, disk])
        self.folders = [(str(place.folder), place.is_limited) for place in self.store.open(self.refuse)]
        self.room = limit_bytes
        self.numbers = itertools.count()

    @staticmethod
    def refuse(place: Place, error: OSError) -> None:
        raise AssertionError(place, error)

    def results(self) -> ResultFiles:
        return ResultFiles(Maker(OWNER, WORKER, self.numbers), self.folders, lambda: self.room)

    def files(self) -> list[str]:
        found = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
        return [name for name in found if not name.endswith("token")]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.store.remove()


def name(count: int) -> ObjectId:
    return ObjectId(OWNER, WORKER << 32 | count)


def test_a_result_is_a_file_of_memory_that_whoever_shares_the_host_can_map(host: Host):
    reference = host.results().lay(PARTS, TASK)
    path = host.root / "memory" / f"{OWNER:016x}-{WORKER << 32}"
    assert reference == Reference(name(0), SIZE, str(path), reference.token)
    assert is_here(reference.path, reference.token)
    assert tuple(bytes(part) for part in mapped(reference.path)) == PARTS
    assert path.stat().st_mode & 0o777 == 0o600


def test_all_slots_of_a_worker_count_together(host: Host):
    first, second = host.results(), host.results()
    laid = [results.lay(PARTS, TASK).object for results in (first, second, first)]
    assert laid == [name(0), name(1), name(2)]
    assert {maker_of(one) for one in laid} == {WORKER}


def test_the_name_of_a_file_tells_whose_it_is():
    assert named_by(file_name(name(3))) == name(3)
    for other in (
        "token",
        f"{file_name(name(3))}.coming",
        "abc-1",
        "",
        "-",
        "00000000000000ff-01",
        "00000000000000ff-",
    ):
        assert named_by(other) is None, other


def test_what_has_no_room_in_memory_goes_to_the_disk(host: Host):
    host.room = SIZE
    results = host.results()
    assert Path(results.lay(PARTS, TASK).path).parent.name == "memory"
    host.room = SIZE - 1
    assert Path(results.lay(PARTS, TASK).path).parent.name == "disk"


def test_without_room_anywhere_nothing_is_left(host: Host):
    host.room = 0
    host.folders.pop()
    with pytest.raises(StoreFullError, match=r"no room for a value of 768 bytes: .*/memory is full"):
        host.results().lay(PARTS, TASK)
    host.folders.clear()
    assert not host.results()
    with pytest.raises(StoreFullError, match="nowhere"):
        host.results().lay(PARTS, TASK)
    assert host.files() == []


def writes_half_and_then(error: BaseException) -> object:
    def write(descriptor: int, pieces: Sequence[bytes]) -> None:
        os.write(descriptor, bytes(pieces[0])[:8])
        raise error

    return write


def test_what_cannot_be_written_whole_goes_elsewhere(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writing, "write_all", writes_half_and_then(OSError(28, "No space left on device")))
    with pytest.raises(StoreFullError, match=r"memory: No space left on device; .*disk: No space left on device"):
        host.results().lay(PARTS, TASK)
    assert host.files() == []


def test_what_is_interrupted_leaves_no_half_file(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writing, "write_all", writes_half_and_then(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        host.results().lay(PARTS, TASK)
    assert host.files() == []


def test_what_a_task_has_laid_that_came_to_something_else_is_removed_and_no_other(host: Host):
    results = host.results()
    results.undo(TASK)
    results.lay(PARTS, TASK)
    last = results.lay(PARTS, TASK + 1)
    results.undo(TASK)
    assert len(host.files()) == 2
    results.undo(TASK + 1)
    results.undo(TASK + 1)
    assert not Path(last.path).exists()
    assert len(host.files()) == 1


def test_a_folder_that_somebody_has_removed_is_no_place(host: Host):
    host.store.remove()
    with pytest.raises(StoreFullError, match="No such file or directory"):
        host.results().lay(PARTS, TASK)
