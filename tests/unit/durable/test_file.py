"""The file of one work: rows stay as they were appended, in order, and nothing is there by halves."""

import contextlib
import gc
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.durable import file as file_module
from scaler.durable.errors import (
    DamagedWorkError,
    UnstorableRowError,
    WorkExistsError,
    WorkFileError,
    WorkMissingError,
)
from scaler.durable.file import WorkFacts, WorkFile, files_of, read_facts
from scaler.durable.rows import Row
from tests.unit.durable.logs import FACTS, copied, numbered, read, row, some_rows, written

MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "work.sqlite"


def listed(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def test_a_new_file_is_its_users_alone_and_has_no_rows(path: Path):
    file = WorkFile.create(path, FACTS)
    assert (file.facts, list(file.read_all()), listed(path)) == (FACTS, [], ["work.sqlite", "work.sqlite-wal"])
    assert file.append([]) == 0
    assert [stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()] == [0o600, 0o600]
    file.close()
    file.close()
    assert listed(path) == ["work.sqlite"]
    assert read_facts(path) == FACTS


def test_rows_are_there_in_order_after_it_is_closed_and_after_a_kill(path: Path, tmp_path: Path):
    rows = some_rows(50)
    file = written(path, rows[:20])
    assert file.append(rows[20:]) == 50
    assert list(file.read_all()) == numbered(rows)
    killed = copied(path, tmp_path / "killed.sqlite")
    assert read(killed) == numbered(rows)
    file.close()
    assert read(path) == numbered(rows)


def test_rows_of_many_large_frames_and_none_come_back(path: Path):
    rows = [row(0, 1, *[b"x"] * 10_000), row(1, 2), row(2, 3, b""), row(3, 4, *[bytes(MEBIBYTE)] * 5)]
    view = memoryview(bytearray(b"abcdef"))[2:4]
    file = written(path, rows, [Row(1, 1, 4, 5, b"", (view, memoryview(b"x")))])
    assert [found for _, found in file.read_all()] == [*rows, Row(1, 1, 4, 5, b"", (b"cd", b"x"))]
    file.close()


def test_rows_are_read_in_pieces_of_bounded_size(path: Path):
    rows = [row(n, n + 1, bytes(MEBIBYTE)) for n in range(7)]
    file = written(path, rows)
    assert [len(file.piece(after, 2 * MEBIBYTE)) for after in (0, 2, 4, 6, 7)] == [2, 2, 2, 1, 0]
    assert [seq for seq, _ in file.piece(3, 1)] == [4]
    file.close()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 30), st.integers(0, 12)), max_size=25))
def test_what_overlaps_a_range_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, int, int]]
):
    path = tmp_path_factory.mktemp("work") / "work.sqlite"
    rows = [row(lo, lo + width, kind=kind, batch=batch) for kind, batch, lo, width in drawn]
    file = written(path, rows)
    for lo, hi in ((0, 50), (10, 11), (5, 20), (7, 7)):
        for kinds in ((), (0,), (1,), (0, 1)):
            assert file.read(kinds, 1, lo, hi) == [
                (seq, one)
                for seq, one in numbered(rows)
                if one.kind in kinds and one.batch == 1 and one.lo < hi and (one.hi > lo or one.lo >= lo)
            ]
    file.close()
    again = WorkFile.open(path)
    assert again.read((0, 1), 1, 29, 30) == [
        (seq, one) for seq, one in numbered(rows) if one.batch == 1 and one.lo < 30 and (one.hi > 29 or one.lo >= 29)
    ]
    again.close()


def test_deleted_rows_are_gone_and_their_numbers_are_not_given_again(path: Path):
    rows = some_rows(12)
    file = written(path, rows)
    file.delete([12, 3, 99])
    file.delete_batch(0)
    assert file.append([rows[2]]) == 13
    left = [(seq, one) for seq, one in numbered(rows) if seq not in (3, 12) and one.batch != 0] + [(13, rows[2])]
    assert list(file.read_all()) == left
    file.close()
    assert read(path) == left


def test_what_a_file_cannot_hold_is_refused_with_all_beside_it(path: Path):
    file = written(path, [row(0, 1)])
    with pytest.raises(UnstorableRowError, match="63 bits"):
        file.append([row(1, 2), row(2, 1 << 63)])
    assert file.append([row(1, 2)]) == 2
    assert list(file.read_all()) == numbered([row(0, 1), row(1, 2)])
    file.close()


def test_a_fault_of_ours_in_the_midst_leaves_nothing_behind(path: Path):
    file = written(path, [row(0, 1)])
    with pytest.raises(TypeError):
        file.append([row(1, 2), row(2, 3, "no bytes")])  # type: ignore[arg-type]  # the fault
    assert list(file.read_all()) == numbered([row(0, 1)])
    file.close()


def test_every_commit_is_synced_and_the_settings_are_what_makes_it_so(path: Path):
    file = written(path, [row(0, 1)])
    settings = ("journal_mode", "synchronous", "locking_mode", "mmap_size", "wal_autocheckpoint")
    found = [file._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings]
    assert found == [b"wal", 2, b"exclusive", 0, 2048]
    file.close()


def test_a_group_of_rows_is_one_commit(path: Path):
    file = written(path)
    said: list[str] = []
    file._connection.set_trace_callback(said.append)
    file.append(some_rows(100))
    assert [one for one in said if not one.startswith("INSERT")] == ["BEGIN IMMEDIATE", "COMMIT"]
    file.close()


def test_the_size_is_what_it_takes_on_disk(path: Path):
    file = written(path, [row(0, 1, bytes(MEBIBYTE))])
    assert file.size_bytes == sum(found.stat().st_size for found in path.parent.iterdir()) > MEBIBYTE
    file.close()


def test_the_write_ahead_log_does_not_grow_without_end(path: Path):
    file = written(path)
    for n in range(60):
        file.append([row(n, n + 1, bytes(MEBIBYTE))])
    assert path.with_name("work.sqlite-wal").stat().st_size < 12 * MEBIBYTE
    file.close()


def test_one_that_is_there_is_not_made_anew(path: Path):
    written(path, [row(0, 1)]).close()
    with pytest.raises(WorkExistsError, match=r"work\.sqlite: it is there already"):
        WorkFile.create(path, FACTS)
    assert read(path) == numbered([row(0, 1)])


def test_one_that_is_not_there_is_not_made_by_opening_it(path: Path):
    with pytest.raises(WorkMissingError, match="not there"):
        WorkFile.open(path)
    assert listed(path) == []


def test_what_is_left_of_another_file_of_its_name_is_not_taken_for_its_own(path: Path, tmp_path: Path):
    other = written(tmp_path / "other.sqlite", some_rows(20))
    copied(other.path, path)
    copied(other.path, path.with_name("work.sqlite.new"))
    other.close()
    path.unlink()
    file = WorkFile.create(path, FACTS)
    assert list(file.read_all()) == []
    file.close()
    assert listed(path) == ["other.sqlite", "work.sqlite"]


def test_one_that_could_not_be_made_is_not_there(path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(file_module, "sync_file", fail)
    with pytest.raises(WorkFileError, match=r"work\.sqlite: Input/output error"):
        WorkFile.create(path, FACTS)
    assert listed(path) == []


@pytest.mark.parametrize("kill_at", ["sync_file", "sync_folder"])
def test_a_kill_while_one_is_made_leaves_it_whole_or_not_there(path: Path, kill_at: str):
    script = (
        "import os, sys; from pathlib import Path; from scaler.durable import file\n"
        f"file.{kill_at} = lambda _: os.kill(os.getpid(), 9)\n"
        "file.WorkFile.create(Path(sys.argv[1]), file.WorkFacts('nightly', 'key', 1))"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    if kill_at == "sync_file":
        assert listed(path) == ["work.sqlite.new"]
        WorkFile.create(path, FACTS).close()
    assert read(path) == []
    assert listed(path) == ["work.sqlite"]


def test_nobody_else_can_have_it_meanwhile(path: Path):
    file = written(path, [row(0, 1)])
    assert read_facts(path) == FACTS
    script = (
        "import sys; from pathlib import Path; from scaler.durable.file import WorkFile\n"
        "try: WorkFile.open(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    told = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True).stdout
    assert told == f"WorkFileError {path}: another process has it open\n"
    with (
        contextlib.closing(sqlite3.connect(path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("SELECT * FROM rows")
    assert file.append([row(1, 2)]) == 2
    file.close()


def test_it_stands_in_folders_whose_names_mean_something_to_sqlite(tmp_path: Path):
    folder = tmp_path / "100% ?mode=ro#é"
    folder.mkdir()
    written(folder / "work.sqlite", [row(0, 1)]).close()
    assert os.listdir(folder) == ["work.sqlite"]
    assert read(folder / "work.sqlite") == numbered([row(0, 1)])


def test_files_of_a_later_format_are_not_read_as_if_they_were_known(path: Path):
    with pytest.raises(DamagedWorkError, match="its format is 2, and only 1 is known here"):
        WorkFile.create(path, WorkFacts("nightly", "key", 1, format=2))
    for find in (WorkFile.open, read_facts):
        with pytest.raises(DamagedWorkError, match="its format is 2"):
            find(path)


def test_no_descriptor_is_left_open(path: Path):
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    file = written(path, [row(0, 1)])
    read_facts(path)
    file.close()
    with pytest.raises(WorkMissingError):
        WorkFile.open(path.with_name("none"))
    for found in files_of(path)[1:]:
        assert not found.exists()
    assert sorted(os.listdir("/proc/self/fd")) == before
