"""The writer: one thread for all works, whose reports come in order and never before what they say is on disk."""

import gc
import os
import random
import select
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from scaler.durable import writer as writer_module
from scaler.durable.errors import (
    DamagedWorkError,
    UnstorableRowError,
    WorkDiskFullError,
    WorkExistsError,
    WorkFileError,
    WorkMissingError,
    WorkNameError,
)
from scaler.durable.file import WorkFacts, WorkFile
from scaler.durable.folder import WorkFolder
from scaler.durable.reports import (
    Deleted,
    Dropped,
    Loaded,
    NotPersisted,
    Opened,
    Persisted,
    Refused,
    Released,
    Report,
    Rows,
    SetAside,
)
from scaler.durable.rows import DamagedRow, Row
from scaler.durable.writer import Writer
from tests.unit.durable.logs import numbered, row, some_rows

MEBIBYTE = 1 << 20
WAIT_S = 20.0
FULL = "database or disk is full"


class Disk:
    """Stands in front of every append: may hold the thread there, and may be full."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.groups: list[tuple[str, int]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()
        self.is_full = False
        append = WorkFile.append

        def stand_in(file: WorkFile, rows: Iterable[Row]) -> int:
            rows = list(rows)
            self.groups.append((file.facts.name, len(rows)))
            self.entered.release()
            assert self.go.wait(WAIT_S)
            if self.is_full and rows:
                raise WorkDiskFullError(file.path, FULL)
            return append(file, rows)

        patch.setattr(WorkFile, "append", stand_in)

    def hold(self) -> None:
        """Let the thread come no further than the next append."""
        self.entered = threading.Semaphore(0)
        self.go.clear()

    def wait(self) -> None:
        """Until the thread is held."""
        assert self.entered.acquire(timeout=WAIT_S)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[WorkFolder]:
    folder = WorkFolder(tmp_path / "durable")
    yield folder
    folder.close()


@pytest.fixture
def writer(folder: WorkFolder) -> Iterator[Writer]:
    writer = Writer(folder)
    yield writer
    writer.close()


def taken(writer: Writer, count: int) -> list[Report]:
    """So many reports, or those beside the last of them too."""
    reports: list[Report] = []
    while len(reports) < count:
        assert select.select([writer], [], [], WAIT_S)[0], f"only {reports} came"
        reports += writer.take()
    return reports


def made(writer: Writer, *works: str) -> None:
    for work in works:
        writer.create(work, "key", 1, None)
        (report,) = taken(writer, 1)
        assert isinstance(report, Opened)
        assert report[:3] == (work, None, WorkFacts(work, "key", 1))


def loaded(writer: Writer, work: str) -> list[tuple[int, Row]]:
    writer.load(work, "load")
    reports: list[Report] = []
    while not reports or not (isinstance(reports[-1], Loaded) and reports[-1].is_last):
        reports += taken(writer, 1)
    assert {(report.work, report.token) for report in reports} == {(work, "load")}
    return [one for report in reports if isinstance(report, Loaded) for one in report.rows]


def test_what_is_persisted_is_read_and_is_there_when_it_is_opened_again(folder: WorkFolder, writer: Writer):
    rows = some_rows(20)
    made(writer, "nightly")
    writer.persist("nightly", rows[:15], "one")
    writer.persist("nightly", rows[15:], "two")
    assert taken(writer, 2) == [Persisted("nightly", "one", 15), Persisted("nightly", "two", 20)]
    assert loaded(writer, "nightly") == numbered(rows)
    kind, batch, lo, hi = rows[7][:4]
    writer.read("nightly", [kind], batch, lo + 3, hi, "read")
    assert taken(writer, 1) == [Rows("nightly", "read", ((8, rows[7]),), ())]
    writer.release("nightly", "release")
    writer.open("nightly", "open")
    released, opened = taken(writer, 2)
    assert released == Released("nightly", "release")
    assert isinstance(opened, Opened)
    assert (opened.facts, opened.size_bytes) == (
        WorkFacts("nightly", "key", 1),
        folder.path_of("nightly").stat().st_size,
    )
    assert loaded(writer, "nightly") == numbered(rows)


def test_reports_of_one_work_come_in_the_order_of_its_calls(writer: Writer):
    made(writer, "a", "b", "c")
    chance = random.Random(1)
    calls: dict[str, list[object]] = {"a": [], "b": [], "c": []}
    for token in range(500):
        work = chance.choice("abc")
        calls[work].append(token)
        match chance.randrange(8):
            case 0:
                writer.read(work, [1], 1, 0, 10, token)
            case 1:
                writer.delete(work, [token], token)
            case _:
                writer.persist(work, [row(token, token + 1)] * chance.randrange(3), token)
    reports = taken(writer, 500)
    assert {work: [report.token for report in reports if report.work == work] for work in calls} == calls
    for work in calls:
        numbers = [report.last_seq for report in reports if isinstance(report, Persisted) and report.work == work]
        assert numbers == sorted(numbers)


def test_all_that_waits_for_one_file_goes_in_one_transaction_and_works_take_turns(disk: Disk, writer: Writer):
    made(writer, "a", "b")
    disk.hold()
    writer.persist("a", [row(0, 1)], 0)
    disk.wait()
    for token in range(1, 101):
        writer.persist("a", [row(token, token + 1)] * 2, token)
        writer.persist("b", [row(token, token + 1)], token)
    assert writer.take() == []
    disk.go.set()
    reports = taken(writer, 201)
    assert disk.groups == [("a", 1), ("a", 200), ("b", 100)]
    assert [report for report in reports if report.work == "a"] == [Persisted("a", n, 1 + 2 * n) for n in range(101)]


def test_a_transaction_has_an_end(disk: Disk, writer: Writer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "GROUP_BYTES", 3 * MEBIBYTE)
    made(writer, "a", "b")
    disk.hold()
    writer.persist("a", [row(0, 1)], 0)
    disk.wait()
    for token in range(1, 5):
        writer.persist("a", [row(token, token + 1, bytes(MEBIBYTE))], token)
    writer.persist("b", [row(0, 1)], 0)
    disk.go.set()
    taken(writer, 6)
    assert disk.groups == [("a", 1), ("a", 2), ("b", 1), ("a", 2)]


def test_nothing_is_reported_before_it_is_committed(disk: Disk, writer: Writer):
    made(writer, "a")
    disk.hold()
    writer.persist("a", [row(0, 1, bytes(1000))], 0)
    disk.wait()
    assert writer.queued_bytes >= 1000
    assert select.select([writer], [], [], 0)[0] == []
    disk.go.set()
    assert taken(writer, 1) == [Persisted("a", 0, 1)]
    assert writer.queued_bytes == 0
    assert select.select([writer], [], [], 0)[0] == []


def test_behind_what_could_not_be_written_nothing_of_its_work_is_until_the_caller_knows(disk: Disk, writer: Writer):
    made(writer, "a", "b")
    disk.hold()
    writer.persist("a", [row(0, 1)], 0)
    disk.wait()
    disk.is_full = True
    writer.read("a", [1], 1, 0, 1, "read")
    writer.persist("a", [row(1, 2)], 1)
    writer.delete("a", [1], 2)
    writer.delete_batch("a", 1, 3)
    disk.go.set()
    assert select.select([writer], [], [], WAIT_S)[0]
    disk.is_full = False
    writer.persist("b", [row(0, 1)], 0)
    writer.persist("a", [row(2, 3)], 4)
    reports = taken(writer, 7)
    errors = [report.error for report in reports if isinstance(report, NotPersisted)]
    assert [report for report in reports if report.work == "a" and not isinstance(report, Rows)] == [
        NotPersisted("a", token, FULL, errors[0]) for token in range(5)
    ]
    assert isinstance(errors[0], WorkDiskFullError)
    assert Rows("a", "read", (), ()) in reports
    assert Persisted("b", 0, 1) in reports
    assert writer.queued_bytes == 0
    writer.persist("a", [row(0, 1), row(1, 2)], 0)
    assert taken(writer, 1) == [Persisted("a", 0, 2)]
    assert loaded(writer, "a") == numbered([row(0, 1), row(1, 2)])


def test_what_no_file_can_hold_does_not_take_what_is_before_it_along(disk: Disk, writer: Writer):
    made(writer, "a")
    disk.hold()
    writer.persist("a", [row(0, 1)], 0)
    disk.wait()
    for token, hi in enumerate((2, 1 << 63, 3), 1):
        writer.persist("a", [row(1, hi)], token)
    disk.go.set()
    reports = taken(writer, 4)
    assert reports[:2] == [Persisted("a", 0, 1), Persisted("a", 1, 2)]
    assert [type(report.error) for report in reports[2:] if isinstance(report, NotPersisted)] == [
        UnstorableRowError
    ] * 2
    assert disk.groups == [("a", 1), ("a", 1)]


def test_a_call_without_rows_says_that_all_before_it_are_on_disk(writer: Writer):
    made(writer, "a")
    writer.persist("a", [row(0, 1)] * 3, 0)
    writer.persist("a", [], 1)
    assert taken(writer, 2) == [Persisted("a", 0, 3), Persisted("a", 1, 3)]


def test_rows_are_deleted_by_number_and_by_batch(writer: Writer):
    made(writer, "a")
    writer.persist("a", [row(0, 1), row(1, 2), row(2, 3, batch=2)], 0)
    writer.delete("a", [1], 1)
    writer.delete_batch("a", 2, 2)
    assert taken(writer, 3) == [Persisted("a", 0, 3), Deleted("a", 1), Deleted("a", 2)]
    assert loaded(writer, "a") == [(2, row(1, 2))]


def test_a_load_waits_until_its_pieces_are_taken_and_holds_no_other_work_up(disk: Disk, writer: Writer):
    rows = [row(n, n + 1, bytes(MEBIBYTE)) for n in range(60)]
    made(writer, "a", "b")
    writer.persist("a", rows, 0)
    taken(writer, 1)
    writer.load("a", 1)
    writer.persist("a", [row(60, 61)], 2)
    disk.entered = threading.Semaphore(0)
    for _ in range(6):  # works take turns: the load has had more than it can use
        writer.persist("b", [row(0, 1)], 0)
        disk.wait()
    assert disk.groups == [("a", 60), *[("b", 1)] * 6]
    pieces = [report for report in writer.take() if isinstance(report, Loaded)]
    assert [len(piece.rows) for piece in pieces] == [8, 8]
    reports: list[Report] = [*pieces]
    while reports[-1] != Persisted("a", 2, 61):
        reports += [report for report in taken(writer, 1) if report.work == "a"]
    *pieces, last = (report for report in reports if isinstance(report, Loaded))
    assert last == Loaded("a", 1, (), (), is_last=True)
    assert [one for piece in pieces for one in piece.rows] == numbered(rows)


def test_damaged_rows_are_told_apart(folder: WorkFolder, writer: Writer):
    made(writer, "a")
    writer.persist("a", [row(0, 1, b"good"), row(1, 2, b"x" * 1000)], 0)
    writer.release("a", 0)
    taken(writer, 2)
    path = folder.path_of("a")
    path.write_bytes(path.read_bytes().replace(b"x" * 1000, b"x" * 999 + b"y"))
    writer.open("a", 0)
    taken(writer, 1)
    damaged = DamagedRow(2, 1, 1, 1, 2)
    writer.load("a", 1)
    writer.read("a", [1], 1, 0, 9, 2)
    reports = taken(writer, 3)
    assert reports[0] == Loaded("a", 1, ((1, row(0, 1, b"good")),), (damaged,), is_last=False)
    assert reports[1:] == [
        Loaded("a", 1, (), (), is_last=True),
        Rows("a", 2, ((1, row(0, 1, b"good")),), (damaged,)),
    ]


def test_a_damaged_work_is_refused_and_set_aside_and_made_anew(folder: WorkFolder, writer: Writer):
    made(writer, "a")
    writer.release("a", 0)
    taken(writer, 1)
    folder.path_of("a").write_bytes(b"damaged")
    writer.open("a", 1)
    (refused,) = taken(writer, 1)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, DamagedWorkError)
    writer.set_aside("a", 2)
    (aside,) = taken(writer, 1)
    assert isinstance(aside, SetAside)
    assert aside.path.read_bytes() == b"damaged"
    made(writer, "a")
    assert loaded(writer, "a") == []


def test_a_dropped_work_is_gone(folder: WorkFolder, writer: Writer):
    made(writer, "a", "b")
    writer.persist("a", [row(0, 1)], 0)
    writer.drop("a", 1)
    writer.persist("a", [row(0, 1)], 2)
    first, dropped, behind = taken(writer, 3)
    assert (first, dropped) == (Persisted("a", 0, 1), Dropped("a", 1))
    assert isinstance(behind, NotPersisted)
    assert behind.reason == "the work 'a' is not open"
    assert folder.names() == ["b"]


def test_what_cannot_be_had_is_refused(writer: Writer):
    made(writer, "a")
    writer.create("a", "another", 2, 0)
    writer.open("a", 1)
    writer.open("none", 2)
    writer.create("", "key", 1, 3)
    for token, ask in enumerate((writer.load, writer.release), 4):
        ask("none", token)
    writer.read("none", [1], 1, 0, 1, 6)
    found = {report.token: report for report in taken(writer, 7)}
    assert isinstance(found[1], Opened)
    assert found[5] == Released("none", 5)
    refused = {token: type(report.error) for token, report in found.items() if isinstance(report, Refused)}
    missing = WorkMissingError
    assert refused == {0: WorkExistsError, 2: missing, 3: WorkNameError, 4: missing, 6: missing}


def test_closing_ends_the_thread_once_all_that_is_queued_is_done(disk: Disk, folder: WorkFolder):
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    writer = Writer(folder)
    made(writer, "a", "b")
    disk.hold()
    for token in range(10):
        writer.persist("a", [row(token, token + 1)], token)
    writer.load("a", 10)
    disk.go.set()
    writer.close()
    writer.close()
    *reports, last = writer.take()
    assert reports[:10] == [Persisted("a", token, token + 1) for token in range(10)]
    if not isinstance(last, Loaded):  # it had all its turns before
        assert isinstance(last, Refused)
        assert isinstance(last.error, WorkFileError)
    assert writer.take() == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "durable-writer"] == []
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(RuntimeError, match="closed"):
        writer.persist("a", [], 0)


def test_a_fault_of_ours_in_the_thread_is_raised_where_reports_are_taken(writer: Writer):
    made(writer, "a")
    writer.persist("a", [row(0, 1, "no bytes")], 0)  # type: ignore[arg-type]  # the fault
    assert select.select([writer], [], [], WAIT_S)[0]
    with pytest.raises(TypeError):
        writer.take()
