"""The shelf of a cluster: says what lies on its host, and keeps copies of what does not."""

from pathlib import Path

from scaler.ids import Incarnation, ObjectId
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.protocol.references import Reference
from scaler.storage.layout import laid_out
from scaler.storage.reading import is_here, mapped
from scaler.storage.store import Place, Store
from scaler.worker.agent_events import DropObject, Hold, ObjectAway, ObjectHere, ObjectRefused, StorePiece
from scaler.worker.shelf import Shelf

NAME = ObjectId(Incarnation(255), 7)
PARTS = (b"pickle", b"buffer" * 100)
CONTENT = b"".join(laid_out((b"pickle", bytes(range(256)) * (MAX_FRAME_BYTES // 200))))
FIRST, SECOND = CONTENT[:MAX_FRAME_BYTES], CONTENT[MAX_FRAME_BYTES:]


def store(root: Path, limit_bytes: float = float("inf")) -> Place:
    return Place(root, limit_bytes, "in memory")


def piece(n: int, *, is_first: bool = False, is_last: bool = False) -> StorePiece:
    return StorePiece(NAME, len(CONTENT), n, ((FIRST, SECOND)[n],), is_first, is_last)


def test_it_knows_what_lies_on_its_host(tmp_path: Path):
    theirs, shelf = Store([store(tmp_path / "theirs")]), Shelf([store(tmp_path / "mine")])
    stored = theirs.write("1", PARTS)
    here = Reference(NAME, stored.size_bytes, str(stored.path), stored.token)
    assert shelf.perform(Hold(here)) == ObjectHere(here)
    away = Reference(NAME, stored.size_bytes, str(stored.path), b"another host")
    assert shelf.perform(Hold(away)) == ObjectAway(NAME)
    theirs.remove()
    assert shelf.perform(Hold(here)) == ObjectAway(NAME)


def test_a_copy_is_there_when_its_last_piece_is_until_it_is_dropped(tmp_path: Path):
    shelf = Shelf([store(tmp_path / "mine")])
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
    shelf = Shelf([store(tmp_path / "mine", 100)])
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
    shelf = Shelf([store(tmp_path / "mine")])
    shelf.perform(piece(1, is_first=True))
    shelf.perform(DropObject(NAME))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["token"]
    assert shelf.perform(piece(0, is_last=True)) is None
    shelf.close()
