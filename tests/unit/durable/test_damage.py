"""Damaged files: what was acknowledged is there, or is missed by name; what was never written is never read."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from scaler.durable.errors import DamagedWorkError
from scaler.durable.file import WorkFile, files_of
from scaler.durable.rows import DamagedRow, Row
from scaler.durable.wal import has_lost_commits
from tests.unit.durable.logs import copied, numbered, read, row, some_rows, written

ROWS = some_rows(40)
Change = Callable[[bytes], bytes]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A file with all rows in its tables."""
    path = tmp_path / "closed.sqlite"
    written(path, ROWS).close()
    return path


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A file with ten rows in its tables, and three commits of ten in its write-ahead log."""
    path = tmp_path / "work.sqlite"
    written(path, ROWS[:10]).close()
    file = WorkFile.open(path)
    for at in (10, 20, 30):
        file.append(ROWS[at : at + 10])
    copied(path, tmp_path / "killed.sqlite")
    file.close()
    return tmp_path / "killed.sqlite"


def changed(path: Path, change: Change, side: str = "") -> Path:
    """A copy of a file in which one of its parts is not as it was."""
    copy = copied(path, path.with_name("changed.sqlite"))
    part = copy.with_name(copy.name + side)
    part.write_bytes(change(part.read_bytes()))
    return copy


def flipped(at: int) -> Change:
    """Change a bit, counted from the first of all."""

    def change(data: bytes) -> bytes:
        bits = bytearray(data)
        bits[at // 8] ^= 1 << at % 8
        return bytes(bits)

    return change


def cut(size: int) -> Change:
    return lambda data: data[:size]


def found(path: Path) -> list[tuple[int, Row | DamagedRow]] | None:
    """What there is in a file, if it can be read; every row in it was written there."""
    try:
        rows = read(path)
    except DamagedWorkError:
        return None
    assert [one for one in rows if isinstance(one[1], Row) and one not in numbered(ROWS)] == []
    return rows


def size(path: Path, side: str = "") -> int:
    return path.with_name(path.name + side).stat().st_size


@pytest.mark.parametrize("seed", range(4))
def test_whatever_bit_of_a_file_is_not_as_it_was_no_row_is_wrong_and_none_is_missing(closed: Path, seed: int):
    chance = random.Random(seed)
    for _ in range(60):
        rows = found(changed(closed, flipped(chance.randrange(8 * size(closed)))))
        assert rows is None or [seq for seq, _ in rows] == [seq for seq, _ in numbered(ROWS)]


def test_a_damaged_row_is_told_with_its_number_and_the_others_are_read(closed: Path):
    frame = next(frame for frame in ROWS[20].frames if len(frame) == 9000)
    place = closed.read_bytes().index(frame[:1000]) + 500
    path = changed(closed, flipped(8 * place))
    rows = found(path)
    assert rows is not None
    assert [one for one in rows if isinstance(one[1], DamagedRow)] == [(21, DamagedRow(21, *ROWS[20][:4]))]
    file = WorkFile.open(path)
    kind, batch, lo, hi = ROWS[20][:4]
    assert file.read([kind], batch, lo, hi) == [(21, DamagedRow(21, kind, batch, lo, hi))]
    file.delete([21])
    file.close()
    assert read(path) == [one for one in numbered(ROWS) if one[0] != 21]


def test_a_file_that_is_cut_short_is_damaged(closed: Path):
    told = [found(changed(closed, cut(end))) for end in range(0, size(closed) - 4096, 1111)]
    assert told == [None] * len(told)


def test_a_file_whose_last_page_is_cut_short_lacks_no_row_without_a_word(closed: Path):
    for end in range(size(closed) - 4096, size(closed), 111):
        rows = found(changed(closed, cut(end)))
        assert rows is None or [seq for seq, _ in rows] == [seq for seq, _ in numbered(ROWS)]


def test_pages_of_nothing_and_other_files_are_damaged(closed: Path):
    for data in (bytes(size(closed)), b"no database" * 1000, b""):
        with pytest.raises(DamagedWorkError, match=r"changed\.sqlite: "):
            read(changed(closed, lambda _, data=data: data))  # type: ignore[misc]  # mypy knows no such lambda


def test_a_kill_or_a_power_cut_in_a_commit_loses_no_earlier_one(killed: Path):
    counts = []
    for end in range(0, size(killed, "-wal") + 1, 1997):
        rows = found(changed(killed, cut(end), "-wal"))
        assert rows is not None
        assert rows == numbered(ROWS[: len(rows)])
        counts.append(len(rows))
    assert counts == sorted(counts)
    assert set(counts) == {10, 20, 30}
    assert found(killed) == numbered(ROWS)


def test_a_commit_of_which_sectors_are_missing_is_not_there(killed: Path):
    last = size(killed, "-wal") - 4096

    def change(data: bytes) -> bytes:
        return data[: last + 512] + bytes(1024) + data[last + 1536 :]

    assert found(changed(killed, change, "-wal")) == numbered(ROWS[:30])


@pytest.mark.parametrize("seed", range(4))
def test_a_log_that_is_damaged_in_front_of_a_later_commit_is_told(killed: Path, seed: int):
    chance = random.Random(seed)
    lost = 0
    for _ in range(40):
        rows = found(changed(killed, flipped(chance.randrange(8 * size(killed, "-wal"))), "-wal"))
        # the last commit may as well be one that a power cut has torn
        assert rows in (None, numbered(ROWS[:30]))
        lost += rows is None
    assert 0 < lost < 40


def test_it_is_told_again_until_it_is_set_aside(killed: Path):
    path = changed(killed, flipped(8 * 100), "-wal")
    before = [part.read_bytes() for part in files_of(path) if part.exists()]
    for _ in range(2):
        with pytest.raises(DamagedWorkError, match="rows are lost: its write-ahead log is damaged"):
            WorkFile.open(path)
    assert [part.read_bytes() for part in files_of(path) if part.exists()] == before


def test_what_is_left_behind_the_end_of_a_log_is_no_damage(tmp_path: Path):
    file = written(tmp_path / "work.sqlite")
    for n in range(40):  # until it begins again at its front, with the frames of before behind it
        file.append([row(n, n + 1, bytes(1 << 20))])
    file.append([row(40, 41)])
    path = copied(file.path, tmp_path / "killed.sqlite")
    file.close()
    assert size(path, "-wal") > 2048 * 4096
    assert not has_lost_commits(path.with_name("killed.sqlite-wal"))
    assert len(read(path)) == 41


def test_what_was_rolled_back_is_no_damage(tmp_path: Path):
    file = written(tmp_path / "work.sqlite", [row(0, 1)])
    large = [row(n, n + 1, bytes(1 << 20)) for n in range(8)]  # more than is kept in memory
    with pytest.raises(TypeError):
        file.append([*large, row(9, 10, None)])  # type: ignore[arg-type]  # the fault
    path = copied(file.path, tmp_path / "killed.sqlite")
    file.append([row(1, 2)])
    later = copied(file.path, tmp_path / "later.sqlite")
    file.close()
    assert read(path) == numbered([row(0, 1)])
    assert read(later) == numbered([row(0, 1), row(1, 2)])


@pytest.mark.parametrize("data", [b"", b"short", bytes(32), bytes(10_000)])
def test_a_log_without_a_header_has_lost_nothing(tmp_path: Path, data: bytes):
    (tmp_path / "wal").write_bytes(data)
    assert not has_lost_commits(tmp_path / "wal")


def test_facts_that_cannot_be_read_are_damage(closed: Path):
    place = closed.read_bytes().index(b"nightly")
    with pytest.raises(DamagedWorkError, match="its facts cannot be read"):
        read(changed(closed, flipped(8 * place)))


def test_of_a_log_of_one_commit_nothing_can_be_told_and_nothing_is_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = written(tmp_path / "work.sqlite", [row(n, n + 1, bytes(1 << 20)) for n in range(4)])
    monkeypatch.setattr("scaler.durable.wal._Log.sums_of", None)
    assert not has_lost_commits(file.path.with_name("work.sqlite-wal"))
    file.close()


def test_a_log_whose_frames_are_of_another_is_damaged_in_front(killed: Path):
    wal = killed.with_name("killed.sqlite-wal")
    data = wal.read_bytes()
    wal.write_bytes(data[:32] + bytes(4096 + 24) + data[32 + 4096 + 24 :])
    assert has_lost_commits(wal)
