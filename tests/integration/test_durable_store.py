"""Durable works on a real disk: what was acknowledged outlasts a kill, and a full disk is told and mended."""

import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler.durable.errors import WorkDiskFullError, WorkFileError
from scaler.durable.folder import WorkFolder
from scaler.durable.reports import NotPersisted, Persisted, Report
from scaler.durable.rows import Row
from scaler.durable.writer import Writer
from tests.integration.security_root import needs_hosts

WAIT_S = 20.0
KIBIBYTE = 1 << 10
APPENDING = """
import os, select, sys
from pathlib import Path
from scaler.durable.folder import WorkFolder
from scaler.durable.rows import Row
from scaler.durable.writer import Writer
writer = Writer(WorkFolder(Path(sys.argv[1])))
writer.create("nightly", "key", 1, -1)
sent = 0
while True:
    select.select([writer], [], [])
    for report in writer.take():
        if report.token >= 0:
            os.write(1, b"%d\\n" % report.token)
    for _ in range(sent % 5 + 1):
        writer.persist("nightly", [Row(1, 1, sent, sent + 1, b"h", (sent.to_bytes(8) * (1 + sent % 7 * 300),))], sent)
        sent += 1
"""


def expected(n: int) -> Row:
    return Row(1, 1, n, n + 1, b"h", (n.to_bytes(8) * (1 + n % 7 * 300),))


def stored(path: Path) -> list[Row]:
    folder = WorkFolder(path)
    file = folder.open("nightly")
    try:
        found = list(file.read_all())
    finally:
        file.close()
        folder.close()
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    return [row for _, row in found if isinstance(row, Row)]


@pytest.mark.parametrize("acknowledged", [1, 7, 60, 600, 3000])
def test_every_acknowledged_row_outlasts_a_kill(tmp_path: Path, acknowledged: int):
    path = tmp_path / "durable"
    with subprocess.Popen([sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(acknowledged)]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().splitlines()]
    assert told == list(range(len(told)))
    rows = stored(path)
    assert len(rows) >= len(told)
    assert rows == [expected(n) for n in range(len(rows))]


def taken(writer: Writer, count: int) -> list[Report]:
    reports: list[Report] = []
    while len(reports) < count:
        assert select.select([writer], [], [], WAIT_S)[0]
        reports += writer.take()
    return reports


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)  # noqa: S607  # root's
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)  # noqa: S607  # root's


def filled(writer: Writer, at: int, size: int) -> int:
    """Persist rows one by one until the disk is full; the number behind the last one that was."""
    while True:
        writer.persist("nightly", [sized(at, size)], at)
        (report,) = taken(writer, 1)
        if isinstance(report, NotPersisted):
            assert isinstance(report.error, WorkDiskFullError)
            assert "full" in report.reason
            return at
        at += 1


def sized(n: int, size: int) -> Row:
    return Row(1, 1, n, n + 1, b"h", (n.to_bytes(8) * (size // 8),))


@needs_hosts
@pytest.mark.parametrize("size", [80, 3 * KIBIBYTE, 300 * KIBIBYTE])
def test_on_a_full_disk_nothing_is_lost_and_with_room_all_goes_on(small: Path, size: int):
    path = small / "durable"
    folder = WorkFolder(path)
    writer = Writer(folder)
    writer.create("nightly", "key", 1, None)
    taken(writer, 1)
    ballast = small / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    count = filled(writer, 0, size)
    assert count
    for token in range(3):  # it stays full, and goes on saying so
        writer.persist("nightly", [sized(count, 300 * KIBIBYTE)] * 9, token)
        (report,) = taken(writer, 1)
        assert isinstance(report, NotPersisted)
    ballast.unlink()
    writer.persist("nightly", [sized(count, size)], "again")
    assert taken(writer, 1) == [Persisted("nightly", "again", count + 1)]
    count = filled(writer, count + 1, size)
    writer.close()
    folder.close()
    assert stored(path) == [sized(n, size) for n in range(count)]


@needs_hosts
def test_a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged(small: Path):
    path = small / "durable"
    killing = "if type(report).__name__ == 'NotPersisted':\n            os.kill(os.getpid(), 9)\n        "
    script = APPENDING.replace("if report.token", f"{killing}if report.token")
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [int(line) for line in child.stdout.read().splitlines()]
    assert told == list(range(len(told)))
    assert len(told) > 100
    rows = stored(path)
    assert rows[: len(told)] == [expected(n) for n in range(len(told))]
    assert len(rows) == len(told)


@needs_hosts
def test_a_work_that_finds_no_room_is_not_there(small: Path):
    folder = WorkFolder(small / "durable")
    (small / "ballast").write_bytes(bytes((4 << 20) - 12 * KIBIBYTE))
    with pytest.raises(WorkDiskFullError):
        folder.create("nightly", "key", 1)
    assert [path.name for path in folder.path.iterdir()] == ["lock"]
    (small / "ballast").unlink()
    folder.create("nightly", "key", 1).close()
    folder.close()


def test_what_the_system_refuses_is_told_by_name_and_can_be_tried_again(tmp_path: Path):
    folder = WorkFolder(tmp_path / "durable")
    file = folder.create("nightly", "key", 1)
    file.append([sized(0, 80)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50 * KIBIBYTE, before[1]))
    try:
        with pytest.raises(WorkFileError, match="SQLITE_IOERR_WRITE"):
            file.append([sized(1, 300 * KIBIBYTE)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.append([sized(1, 300 * KIBIBYTE)]) == 2
    file.close()
    folder.close()
    assert stored(tmp_path / "durable") == [sized(0, 80), sized(1, 300 * KIBIBYTE)]
