"""The shelf of a cluster: says what lies on its host, and keeps copies of what does not."""

import shutil
from pathlib import Path

import pytest

from scaler.ids import Incarnation, ObjectId, WorkerId
from scaler.pieces import piece_frames
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.protocol.layout import laid_out
from scaler.protocol.references import Reference
from scaler.protocol.result_names import file_name, result_name
from scaler.storage.reading import is_here, mapped
from scaler.storage.store import Place, Store
from scaler.worker.agent_events import DropObject, Hold, ObjectAway, ObjectHere, ObjectRefused, StorePiece
from scaler.worker.agent_result_events import (
    AdoptResults,
    DropLeftovers,
    DropResults,
    PieceRead,
    ReadPiece,
    ReadResult,
    ResultGone,
    ResultRead,
)
from scaler.worker.shelf import Shelf

OWNER = Incarnation(254)
NAME = ObjectId(Incarnation(255), 7)
WORKER, OTHER = WorkerId(3), WorkerId(4)
PARTS = (b"pickle", b"buffer" * 100)
CONTENT = b"".join(laid_out((b"pickle", bytes(range(256)) * (MAX_FRAME_BYTES // 200))))
FIRST, SECOND = CONTENT[:MAX_FRAME_BYTES], CONTENT[MAX_FRAME_BYTES:]


def store(root: Path, limit_bytes: float = float("inf")) -> Place:
    return Place(root, limit_bytes, "in memory")


def piece(n: int, *, is_first: bool = False, is_last: bool = False) -> StorePiece:
    return StorePiece(NAME, len(CONTENT), n, ((FIRST, SECOND)[n],), is_first, is_last)


def test_it_knows_what_lies_on_its_host(tmp_path: Path):
    theirs, shelf = Store([store(tmp_path / "theirs")]), Shelf([store(tmp_path / "mine")], OWNER)
    stored = theirs.write("1", PARTS)
    here = Reference(NAME, stored.size_bytes, str(stored.path), stored.token)
    assert shelf.perform(Hold(here)) == ObjectHere(here)
    away = Reference(NAME, stored.size_bytes, str(stored.path), b"another host")
    assert shelf.perform(Hold(away)) == ObjectAway(NAME)
    theirs.remove()
    assert shelf.perform(Hold(here)) == ObjectAway(NAME)


def test_there_is_room_for_what_is_not_needed_yet_only_once(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine", 2.5 * len(CONTENT))], OWNER)
    names = [ObjectId(NAME.owner, n) for n in range(1, 4)]
    early = [Hold(Reference(name, len(CONTENT), "/there/1", b"t"), early=True) for name in names]
    answers = [shelf.perform(one) for one in early]
    assert answers[:2] == [ObjectAway(names[0]), ObjectAway(names[1])]
    assert isinstance(answers[2], ObjectRefused)
    shelf.perform(DropObject(names[0]))
    assert shelf.perform(early[2]) == ObjectAway(names[2])
    # what a run needs is asked for in any case
    assert shelf.perform(Hold(early[0].reference)) == ObjectAway(names[0])


def test_on_a_disk_there_is_room_for_what_is_not_needed_yet_while_some_is_left_for_others(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine")], OWNER)
    free = shutil.disk_usage(tmp_path).free
    assert shelf.perform(Hold(Reference(NAME, 1000, "/there/1", b"t"), early=True)) == ObjectAway(NAME)
    much = Hold(Reference(ObjectId(NAME.owner, 9), free, "/there/1", b"t"), early=True)
    assert isinstance(shelf.perform(much), ObjectRefused)


def test_a_copy_is_there_when_its_last_piece_is_until_it_is_dropped(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine")], OWNER)
    assert shelf.perform(piece(1, is_first=True)) is None
    answer = shelf.perform(piece(0, is_last=True))
    assert isinstance(answer, ObjectHere)
    copy = answer.reference
    assert (copy.object, copy.size_bytes, copy.path) == (
        NAME,
        len(CONTENT),
        str(tmp_path / "mine" / "00000000000000ff-7"),
    )
    assert is_here(copy.path, copy.token)
    assert Path(copy.path).read_bytes() == CONTENT
    assert len(mapped(copy.path)) == 2
    shelf.perform(DropObject(NAME))
    assert not Path(copy.path).exists()
    shelf.perform(DropObject(NAME))
    shelf.close()
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_room_is_refused_and_leaves_nothing(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine", 100)], OWNER)
    answer = shelf.perform(piece(1, is_first=True))
    assert isinstance(answer, ObjectRefused)
    assert answer.object == NAME
    assert (
        f"there is no room for a value of {len(CONTENT) / 1e6:.3g} MB: in memory: 0 bytes of 100 bytes are taken"
        in answer.text
    )
    assert shelf.perform(piece(0, is_last=True)) is None
    shelf.close()
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_dropped_while_it_comes_leaves_nothing(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine")], OWNER)
    shelf.perform(piece(1, is_first=True))
    shelf.perform(DropObject(NAME))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["token"]
    assert shelf.perform(piece(0, is_last=True)) is None
    shelf.close()


class Results:
    """A shelf, and workers that write into its folders."""

    def __init__(self, root: Path) -> None:
        self.shelf = Shelf([Place(root / "memory", 1000, "in memory"), store(root / "disk")], OWNER)
        self.folders = [Path(folder) for folder, _ in self.shelf.open()]

    def write(self, count: int, worker: WorkerId = WORKER, folder: int = 0, owner: Incarnation = OWNER) -> ObjectId:
        name = result_name(owner, worker, count)
        (self.folders[folder] / file_name(name)).write_bytes(b"r" * 100)
        return name

    def files(self) -> set[str]:
        return {path.name for folder in self.folders for path in folder.iterdir()} - {"token"}


def test_workers_are_told_of_the_folders_that_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "no").write_bytes(b"a file")
    shelf = Shelf([store(tmp_path / "no" / "folder"), Place(tmp_path / "memory", 10, "in memory")], OWNER)
    assert shelf.open() == ((str(tmp_path / "memory"), True),)
    assert [record.getMessage() for record in caplog.records] == [
        f"no value can be laid in memory: [Errno 20] Not a directory: '{tmp_path / 'no' / 'folder'}.making'"
    ]
    assert shelf.open() == ((str(tmp_path / "memory"), True),)
    shelf.close()
    assert [path.name for path in tmp_path.iterdir()] == ["no"]


def test_results_count_from_when_they_are_adopted_until_they_are_dropped(tmp_path: Path):
    results = Results(tmp_path)
    shelf = results.shelf
    first, second, third = results.write(0), results.write(1), results.write(2, folder=1)
    assert shelf.room_bytes == 1000
    assert shelf.perform_on_results(AdoptResults((first, third))) is None
    assert shelf.room_bytes == 900
    shelf.perform_on_results(AdoptResults((first, second)))
    assert shelf.room_bytes == 800
    shelf.perform_on_results(DropResults((first, third)))
    assert (shelf.room_bytes, results.files()) == (900, {file_name(second)})
    shelf.perform_on_results(DropResults((first, second)))
    assert (shelf.room_bytes, results.files()) == (1000, set())
    shelf.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_adopted_is_dropped_all_the_same(tmp_path: Path):
    results = Results(tmp_path)
    results.shelf.perform_on_results(DropResults((results.write(0), results.write(1, folder=1))))
    assert (results.shelf.room_bytes, results.files()) == (1000, set())
    results.shelf.close()


def test_of_a_worker_that_is_gone_only_what_was_adopted_stays(tmp_path: Path):
    results = Results(tmp_path)
    kept, _, _ = results.write(0), results.write(1), results.write(2, folder=1)
    others = {results.write(3, OTHER), results.write(4, owner=Incarnation(1)), kept}
    results.shelf.perform_on_results(AdoptResults((kept,)))
    results.shelf.perform_on_results(DropLeftovers(WORKER))
    assert results.files() == {file_name(name) for name in others}
    assert results.shelf.room_bytes == 900
    results.shelf.close()


def test_pieces_of_results_are_read_as_long_as_they_are_there(tmp_path: Path):
    results = Results(tmp_path)
    name = result_name(OWNER, WORKER, 0)
    path = results.folders[1] / file_name(name)
    path.write_bytes(CONTENT)
    assert results.shelf.perform_on_results(ReadPiece(name, 0)) == ResultGone(name)
    results.shelf.perform_on_results(AdoptResults((name,)))
    assert results.shelf.perform_on_results(ReadPiece(name, 0)) == PieceRead(name, 0, piece_frames(FIRST))
    assert results.shelf.perform_on_results(ReadPiece(name, 1)) == PieceRead(name, 1, piece_frames(SECOND))
    assert results.shelf.perform_on_results(ReadPiece(name, 2)) == ResultGone(name)
    assert results.shelf.perform_on_results(ReadResult(name)) == ResultRead(name, (FIRST, SECOND))
    path.unlink()
    assert results.shelf.perform_on_results(ReadPiece(name, 0)) == ResultGone(name)
    assert results.shelf.perform_on_results(ReadResult(name)) == ResultGone(name)
    results.shelf.close()


def test_one_that_cannot_be_read_is_told_of_once_whatever_is_asked_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    results = Results(tmp_path)
    names = [results.write(n) for n in range(2)]
    results.shelf.perform_on_results(AdoptResults(tuple(names)))
    for name in names:
        (results.folders[0] / file_name(name)).unlink()
    for _ in range(3):
        for name in names:
            assert results.shelf.perform_on_results(ReadPiece(name, 0)) == ResultGone(name)
    assert [f"-{name.n} cannot be read" in text for name, text in zip(names, caplog.messages, strict=True)] == [
        True
    ] * 2
    results.shelf.close()


def test_what_is_no_file_is_no_result(tmp_path: Path):
    results = Results(tmp_path)
    name = result_name(OWNER, WORKER, 0)
    (results.folders[0] / file_name(name)).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    results.shelf.perform_on_results(AdoptResults((name,)))
    assert results.shelf.perform_on_results(ReadPiece(name, 0)) == ResultGone(name)
    results.shelf.close()
