"""The logs of durable works: what works ask of the disk goes to the writer, and what that reports to the works."""

from pathlib import Path

from scaler.durable.errors import DamagedWorkError
from scaler.durable.events import (
    CreateFile,
    DeleteRows,
    DropFile,
    LoadRows,
    OnDisk,
    OpenFile,
    Persist,
    ReadEnds,
    SetAside,
)
from scaler.durable.folder import WorkFolder
from scaler.durable.records import ENDS
from scaler.durable.reports import (
    Dropped,
    Loaded,
    NotPersisted,
    Opened,
    Persisted,
    Refused,
    Report,
    Rows,
)
from scaler.durable.reports import SetAside as WasSetAside
from scaler.durable.works import Works
from scaler.durable.writer import Writer
from scaler.ids import Incarnation


class WorksOnDisk:
    """Between the works and the writer of one folder."""

    def __init__(self, works: Works, folder: WorkFolder) -> None:
        self._works = works
        self._folder = folder
        self._writer = Writer(folder)

    def fileno(self) -> int:
        """What is readable when the writer has something to report."""
        return self._writer.fileno()

    def perform(self) -> None:
        """Ask for what works want of the disk."""
        asked, self._works.doings.disk = self._works.doings.disk, []
        for one in asked:
            if isinstance(one, Persist):
                self._writer.persist(one.work, [one.row], one)
            else:
                self._ask(one)

    def _ask(self, one: OnDisk) -> None:
        writer = self._writer
        match one:
            case ReadEnds(work, batch, lo, hi):
                writer.read(work, ENDS, batch, lo, hi, one)
            case DeleteRows(work, batch):
                writer.delete_batch(work, batch, one)
            case OpenFile(work):
                writer.open(work, one)
            case CreateFile(work, owner, incarnation):
                writer.create(work, owner, incarnation, one)
            case LoadRows(work):
                writer.load(work, one)
            case SetAside(work):
                writer.set_aside(work, one)
            case DropFile(work):
                writer.drop(work, one)

    def take(self, now: float) -> bool:
        """Tell works what has come of it; whether anything has."""
        reports = self._writer.take()
        failed: set[str] = set()
        for report in reports:
            if isinstance(report, NotPersisted):
                if isinstance(report.token, Persist) and report.work not in failed:
                    failed.add(report.work)
                    self._works.not_persisted(report.work, report.reason, now)
            else:
                self._tell(report, now)
        return bool(reports)

    def _tell(self, report: Report, now: float) -> None:
        works = self._works
        match report:
            case Persisted(work):
                works.persisted(work, now)
            case Opened(work, _, facts, size_bytes):
                works.opened(work, facts.owner, Incarnation(facts.incarnation), size_bytes)
            case Loaded(work, _, rows, damaged, is_last):
                works.loaded(work, [row for _, row in rows], len(damaged), now, is_last=is_last)
            case Rows(_, ReadEnds() as asked, rows):
                works.read(asked, [row for _, row in rows], now)
            case WasSetAside(work, _, path):
                works.was_set_aside(work, str(path))
            case Dropped(work):
                works.dropped(work)
            case Refused(_, ReadEnds() as asked):
                works.read(asked, (), now)
            case Refused(work, DropFile(), error):
                works.dropped(work, str(error))
            case Refused(work, OpenFile() | CreateFile() | LoadRows(), error):
                works.refused(work, str(error), is_damaged=isinstance(error, DamagedWorkError))

    def close(self) -> None:
        """Write what is queued, and let the folder go."""
        self._writer.close()
        self._folder.close()


def open_folder(path: Path) -> WorkFolder:
    """The folder of durable works in a state directory."""
    return WorkFolder(path / "durable")
