"""The logs of durable works: what works ask of the disk goes to the writer, and what that reports to the works."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from scaler.durable.errors import DamagedWorkError, WorkExistsError, WorkFolderError
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
from scaler.errors import ScalerError
from scaler.ids import Incarnation

#: where works lie in a state directory
FOLDER = "durable"

log = logging.getLogger("scaler.scheduler")


class WorksOnDisk:
    """Between the works and the writer of one folder, which is made when the first work is.

    `watch` is told the descriptor that is readable when the writer has something to report.
    """

    def __init__(self, works: Works, path: Path, watch: Callable[[int], None]) -> None:
        self._works = works
        self._path = path / FOLDER
        self._watch = watch
        self._folder: WorkFolder | None = None
        self._writer: Writer | None = None

    def open(self) -> None:
        """Open the folder, and all works that are there; `WorkFolderError` if that cannot be."""
        folder = self._folder = WorkFolder(self._path)
        for damaged in folder.unreadable():
            aside = folder.set_aside(damaged.path)
            log.warning("a damaged durable work was set aside: %s; it lies at %s now", damaged, aside)
        self._writer = Writer(folder)
        self._watch(self._writer.fileno())
        self._works.found(folder.names())

    @property
    def is_there(self) -> bool:
        """Whether there is a folder."""
        return self._path.exists()

    def perform(self) -> None:
        """Ask for what works want of the disk."""
        while self._works.doings.disk:
            asked, self._works.doings.disk = self._works.doings.disk, []
            for one in asked:
                try:
                    if self._writer is None:
                        self.open()
                except ScalerError as error:
                    self._works.refused(one.work, str(error), is_damaged=False)
                else:
                    self._ask(one)

    def _ask(self, one: OnDisk) -> None:
        writer = self._writer
        assert writer is not None
        match one:
            case Persist(work, row):
                writer.persist(work, [row], one)
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
        reports = self._writer.take() if self._writer is not None else []
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
            case Refused(work, DropFile() | SetAside(), error):
                works.not_gone(work, str(error))
            case Refused(work, CreateFile(), WorkExistsError()):
                works.found_there(work)
            case Refused(work, OpenFile() | CreateFile() | LoadRows(), error):
                works.refused(work, str(error), is_damaged=isinstance(error, DamagedWorkError))

    def close(self) -> None:
        """Write what is queued, and let the folder go."""
        if self._writer is not None:
            self._writer.close()
        if self._folder is not None:
            self._folder.close()


def works_on_disk(works: Works, path: Path | None, address: str, watch: Callable[[int], None]) -> WorksOnDisk:
    """The works in a state directory; where none is named, in the one of whoever listens there, if it can be had.

    `WorkFolderError` if one that is named cannot.
    """
    disk = WorksOnDisk(works, path or _state_of(address), watch)
    try:
        if path is not None or disk.is_there:
            disk.open()
    except WorkFolderError as error:
        if path is not None:
            raise
        log.warning("durable works: %s", error)
    return disk


def _state_of(address: str) -> Path:
    """The next scheduler there finds the same one."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-")
    return Path(platformdirs.user_state_dir("scaler")) / name
