"""Stores: files while somebody holds them, in the first place that has room, told apart by what lies beside them."""

import gc
import os
from pathlib import Path

import pytest

from scaler.errors import StoreFullError
from scaler.protocol.layout import file_bytes, laid_out
from scaler.storage.reading import is_here, mapped, piece
from scaler.storage.store import Place, Store

PARTS = (b"pickle", b"buffer" * 100)
SIZE = file_bytes(laid_out(PARTS))


def place(root: Path, name: str, limit_bytes: float = float("inf")) -> Place:
    return Place(root / name, limit_bytes, f"in {name}")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def read(path: Path) -> tuple[bytes, ...]:
    return tuple(bytes(part) for part in mapped(str(path)))


def test_a_file_is_there_as_long_as_somebody_holds_it(tmp_path: Path):
    store = Store([place(tmp_path, "memory")])
    assert files(tmp_path) == []
    stored = store.write("1", PARTS)
    assert (stored.path, stored.size_bytes, store.used_bytes) == (tmp_path / "memory" / "1", SIZE, SIZE)
    assert read(stored.path) == PARTS
    assert stored.path.stat().st_mode & 0o777 == 0o600
    also, parts = stored, mapped(str(stored.path))
    del stored
    assert files(tmp_path) == ["memory/1", "memory/token"]
    del also
    gc.collect()
    assert (files(tmp_path), store.used_bytes) == (["memory/token"], 0)
    assert tuple(bytes(part) for part in parts) == PARTS  # who has mapped it keeps it
    store.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_is_mapped_cannot_be_written_to(tmp_path: Path):
    store = Store([place(tmp_path, "memory")])
    stored = store.write("1", PARTS)
    part = mapped(str(stored.path))[1]
    with pytest.raises(TypeError, match="read-only"):
        part[0] = 1
    store.remove()


def test_many_parts_go_in_few_calls_and_all_of_them_arrive(tmp_path: Path):
    store = Store([place(tmp_path, "memory")])
    parts = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    stored = store.write("1", parts)
    assert list(read(stored.path)) == parts
    store.remove()


def test_what_has_no_room_in_memory_goes_to_the_disk_and_comes_back_when_there_is_some(tmp_path: Path):
    store = Store([place(tmp_path, "memory", SIZE + 10), place(tmp_path, "disk", SIZE)])
    first, second = store.write("1", PARTS), store.write("2", PARTS)
    assert (first.path.parent.name, second.path.parent.name) == ("memory", "disk")
    assert first.token != second.token
    with pytest.raises(StoreFullError, match=r"value of 768 bytes: in memory: .*taken; in disk: 768 bytes of 768 byte"):
        store.write("3", PARTS)
    del first
    third = store.write("3", PARTS)
    assert third.path.parent.name == "memory"
    del second, third
    store.remove()


def test_without_any_place_there_is_no_room():
    with pytest.raises(StoreFullError, match="nowhere"):
        Store([]).write("1", PARTS)


def test_a_file_that_comes_piece_by_piece_has_its_name_when_it_is_complete(tmp_path: Path):
    content = b"".join(laid_out(PARTS))
    store = Store([place(tmp_path, "memory", SIZE)])
    filling = store.begin("1", SIZE)
    filling.write(0, [content[:100]])
    assert files(tmp_path) == ["memory/1.coming", "memory/token"]
    with pytest.raises(StoreFullError):
        store.begin("2", SIZE)
    del filling
    assert files(tmp_path) == ["memory/token"]
    filling = store.begin("1", SIZE)
    filling.write(100, [memoryview(content)[100:200], content[200:]])
    filling.write(0, [content[:100]])
    stored = filling.complete()
    del filling
    assert files(tmp_path) == ["memory/1", "memory/token"]
    assert read(stored.path) == PARTS
    del stored
    assert (files(tmp_path), store.used_bytes) == (["memory/token"], 0)
    store.remove()


def test_only_who_finds_the_token_beside_a_file_shares_its_host(tmp_path: Path):
    store, other = Store([place(tmp_path, "memory")]), Store([place(tmp_path, "other")])
    stored, theirs = store.write("1", PARTS), other.write("1", PARTS)
    assert is_here(str(stored.path), stored.token)
    assert not is_here(str(stored.path), theirs.token)
    assert not is_here(str(tmp_path / "nowhere" / "1"), stored.token)
    store.remove()
    other.remove()


def test_pieces_are_read_as_far_as_there_are_any(tmp_path: Path):
    store = Store([place(tmp_path, "memory")])
    stored = store.write("1", PARTS)
    content = b"".join(laid_out(PARTS))
    assert piece(stored.path, 0, 100) == content[:100]
    assert piece(stored.path, SIZE - 10, 100) == content[-10:]
    assert piece(stored.path, SIZE, 100) == b""
    store.remove()


def test_a_forked_child_removes_nothing(tmp_path: Path):
    store = Store([place(tmp_path, "memory")])
    stored = store.write("1", PARTS)
    child = os.fork()
    if not child:
        del stored
        store.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert read(stored.path) == PARTS
    del stored
    store.remove()


def test_folders_are_there_at_once_where_they_can_be_made(tmp_path: Path):
    (tmp_path / "no").write_bytes(b"a file")
    places = [place(tmp_path, "memory", 10 * SIZE), place(tmp_path / "no", "folder"), place(tmp_path, "disk")]
    store = Store(places)
    refused: list[Place] = []
    assert store.open(lambda place, _: refused.append(place)) == [places[0], places[2]]
    assert [place.is_limited for place in places] == [True, False, False]
    assert refused == [places[1]]
    assert files(tmp_path) == ["disk/token", "memory/token", "no"]
    store.remove()


def test_what_another_process_has_written_is_the_stores_once_it_is_adopted(tmp_path: Path):
    store = Store([place(tmp_path, "memory", 10 * SIZE), place(tmp_path, "disk")])
    store.open(lambda *_: None)
    for folder in ("memory", "disk"):
        (tmp_path / folder / folder).write_bytes(bytes(7 * SIZE))
    assert sorted(store.names()) == ["disk", "memory", "token", "token"]
    assert (store.adopt("nowhere"), store.room_bytes) == (None, 10 * SIZE)
    first, second = store.adopt("memory"), store.adopt("disk")
    assert first is not None
    assert second is not None
    assert (first.path, second.path) == (tmp_path / "memory" / "memory", tmp_path / "disk" / "disk")
    assert (first.size_bytes, store.used_bytes, store.room_bytes) == (7 * SIZE, 14 * SIZE, 3 * SIZE)
    (tmp_path / "memory" / "more").write_bytes(bytes(7 * SIZE))
    more = store.adopt("more")
    assert store.room_bytes == 0
    with pytest.raises(StoreFullError):
        Store([place(tmp_path, "other", SIZE - 1)]).write("1", PARTS)
    del first, second, more
    gc.collect()
    assert (files(tmp_path), store.used_bytes, store.room_bytes) == (["disk/token", "memory/token"], 0, 10 * SIZE)
    store.remove()
