"""The one thread that writes and reads the logs of all durable works, so that nobody else waits for a disk.

Calls return at once; what came of each is a report, in the order of the calls of one work. All that is there to be
written to one file when the thread comes to it goes in one transaction, so that however many wait, one fsync serves
them; the thread never waits for more to come. Works take turns.
"""

import contextlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

from scaler.durable.errors import UnstorableRowError, WorkError, WorkFileError, WorkMissingError
from scaler.durable.file import LEAST_SEQ, WorkFile, size_bytes
from scaler.durable.folder import WorkFolder
from scaler.durable.jobs import (
    Append,
    Aside,
    Create,
    Delete,
    DeleteBatch,
    Drop,
    Job,
    Load,
    Open,
    Other,
    Read,
    Release,
    Write,
)
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
from scaler.durable.rows import DamagedRow, Row, fault
from scaler.errors import ScalerError

#: a transaction is ended once it has so many bytes: what is reported late is held in memory
GROUP_BYTES = 64 << 20
#: rows of a load that nobody took yet are no more than these, and one piece
AHEAD_BYTES = 16 << 20

#: appends that go in one transaction
_Together = list[Append]


class Writer:
    """Reads and writes the works of a folder, for one caller, until `close`.

    Where a call cannot write, all of its work that is behind it is not written either, and is reported beside it; so is
    what is still called until the caller has taken that report. Who takes it knows of all calls of that work that were
    not reported as persisted that they were not done, and may make them anew, in any order.
    """

    def __init__(self, folder: WorkFolder) -> None:
        self._folder = folder
        #: the thread's own
        self._files: dict[str, WorkFile] = {}
        #: with its lock held, all that follows is read and changed
        self._changed = threading.Condition()
        #: what is to be done for each work, oldest first; whose turn it is, first; none is empty
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._queued_bytes = 0
        self._reports: list[Report] = []
        #: of loads, in the reports
        self._untaken_bytes = 0
        #: the works of which the caller does not know yet that they could not be written, and why
        self._failed: dict[str, ScalerError] = {}
        self._is_closing = False
        self._crash: BaseException | None = None
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="durable-writer", daemon=True)
        self._thread.start()

    # ---- what the caller says

    def create(self, work: str, owner: str, incarnation: int, token: object) -> None:
        """Make a work and open it: `Opened`, or `Refused`, as if there is one of this name."""
        self._put(work, Create(token, owner, incarnation))

    def open(self, work: str, token: object) -> None:
        """Open a work that is there: `Opened`, or `Refused` if it is not, or is damaged."""
        self._put(work, Open(token))

    def persist(self, work: str, rows: Sequence[Row], token: object) -> None:
        """Add rows: `Persisted` once they are on disk, or `NotPersisted`. Without rows, once all before it are."""
        why = next(filter(None, map(fault, rows)), "")
        self._put(work, Append(token, rows, sum(row.size_bytes for row in rows), why))

    def delete(self, work: str, seqs: Sequence[int], token: object) -> None:
        """Remove the rows of these numbers: `Deleted` or `NotPersisted`."""
        self._put(work, Delete(token, seqs))

    def delete_batch(self, work: str, batch: int, token: object) -> None:
        """Remove all rows of a batch: `Deleted` or `NotPersisted`."""
        self._put(work, DeleteBatch(token, batch))

    def read(self, work: str, kinds: Sequence[int], batch: int, lo: int, hi: int, token: object) -> None:
        """Find the rows that have indices of [lo, hi) of a batch: `Rows`, or `Refused`."""
        self._put(work, Read(token, kinds, batch, lo, hi))

    def load(self, work: str, token: object) -> None:
        """Read all rows: `Loaded`, piece by piece as they are taken, or `Refused`. The work's other calls wait."""
        self._put(work, Load(token, LEAST_SEQ))

    def release(self, work: str, token: object) -> None:
        """Close a work, which stays: `Released`."""
        self._put(work, Release(token))

    def drop(self, work: str, token: object) -> None:
        """Remove a work: `Dropped`, also if there is none, or `Refused`."""
        self._put(work, Drop(token))

    def set_aside(self, work: str, token: object) -> None:
        """Give the file of a work that is damaged another name: `SetAside`, or `Refused`."""
        self._put(work, Aside(token))

    def fileno(self) -> int:
        """What is readable while there is anything to take."""
        return self._descriptor

    @property
    def queued_bytes(self) -> int:
        """The size of all rows that are neither reported as persisted nor as not."""
        return self._queued_bytes

    def take(self) -> list[Report]:
        """What was not taken yet; raises what ended the thread, which is a fault of ours."""
        with self._changed:
            if self._crash is not None:
                raise self._crash
            reports, self._reports = self._reports, []
            self._untaken_bytes = 0
            self._failed.clear()
            if reports and not self._is_closed:
                os.eventfd_read(self._descriptor)
            self._changed.notify()
        return reports

    def close(self) -> None:
        """End the thread once all that is queued is done, except for loads. What it reports can still be taken."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        if not self._is_closed:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _is_closed(self) -> bool:
        return self._descriptor < 0

    def _put(self, work: str, job: Job) -> None:
        with self._changed:
            if self._is_closing:
                raise RuntimeError("the writer of durable works is closed")
            if work in self._failed and isinstance(job, Write):
                self._report([_not_persisted(work, job, self._failed[work])])
                return
            self._queues.setdefault(work, deque()).append(job)
            self._queued_bytes += _size(job)
            self._changed.notify()

    # ---- the thread

    def _run(self) -> None:
        try:
            while (found := self._next()) is not None:
                self._do(*found)
        except BaseException as error:  # noqa: BLE001  # whoever takes reports is to know
            with self._changed:
                self._crash = error
                os.eventfd_write(self._descriptor, 1)
        finally:
            for work in list(self._files):
                self._close_file(work)

    def _next(self) -> tuple[str, _Together | Delete | DeleteBatch | Other] | None:
        """Whose turn it is, and what is to be done for it; None at the end."""
        with self._changed:
            while (work := self._whose_turn()) is None:
                if self._is_closing:
                    return None
                self._changed.wait()
            queue = self._queues[work]
            job = queue.popleft()
            found = job if not isinstance(job, Append) else [job, *_joining(job, queue)]
            self._settle(work)
            return work, found

    def _whose_turn(self) -> str | None:
        """The first work whose next call need not wait until the caller has taken more."""
        for work, queue in self._queues.items():
            if not isinstance(queue[0], Load) or self._untaken_bytes < AHEAD_BYTES or self._is_closing:
                return work
        return None

    def _settle(self, work: str) -> None:
        """A work had its turn."""
        if self._queues[work]:
            self._queues.move_to_end(work)
        else:
            del self._queues[work]

    def _do(self, work: str, found: _Together | Delete | DeleteBatch | Other) -> None:
        match found:
            case list():
                self._write(work, found, lambda: self._appended(work, found))
            case Delete() | DeleteBatch():
                self._write(work, [found], lambda: self._deleted(work, found))
            case Load():
                self._load(work, found)
            case _:
                try:
                    report = self._serve(work, found)
                except ScalerError as error:
                    report = Refused(work, found.token, error)
                self._reported([report])

    def _write(self, work: str, jobs: Sequence[Write], written: Callable[[], list[Report]]) -> None:
        try:
            reports = written()
        except ScalerError as error:
            self._fail(work, jobs, error)
        else:
            self._reported(reports, sum(map(_size, jobs)))

    def _appended(self, work: str, jobs: _Together) -> list[Report]:
        file = self._file(work)
        if jobs[0].fault:
            raise UnstorableRowError(file.path, jobs[0].fault)
        last = file.append(row for job in jobs for row in job.rows) - sum(len(job.rows) for job in jobs)
        return [Persisted(work, job.token, last := last + len(job.rows)) for job in jobs]

    def _deleted(self, work: str, job: Delete | DeleteBatch) -> list[Report]:
        if isinstance(job, Delete):
            self._file(work).delete(job.seqs)
        else:
            self._file(work).delete_batch(job.batch)
        return [Deleted(work, job.token)]

    def _fail(self, work: str, jobs: Sequence[Write], error: ScalerError) -> None:
        """Neither these nor any of the work that are behind them are done."""
        with self._changed:
            queue = self._queues.pop(work, deque())
            failed = [*jobs, *(job for job in queue if isinstance(job, Write))]
            others: deque[Job] = deque(job for job in queue if not isinstance(job, Write))
            if others:
                self._queues[work] = others
            self._failed[work] = error
            self._queued_bytes -= sum(map(_size, failed))
            self._report([_not_persisted(work, job, error) for job in failed])

    def _load(self, work: str, job: Load) -> None:
        """Report a piece, and be back for the next one."""
        try:
            file = self._file(work)
            if self._is_closing:
                raise WorkFileError(file.path, "the writer was closed before all of it was read")
            piece = file.piece(job.after)
        except ScalerError as error:
            self._reported([Refused(work, job.token, error)])
            return
        with self._changed:
            if piece:
                self._queues.setdefault(work, deque()).appendleft(Load(job.token, piece[-1][0]))
            self._untaken_bytes += sum(size_bytes(row) for _, row in piece)
            self._report([Loaded(work, job.token, *_told_apart(piece), is_last=not piece)])

    def _serve(self, work: str, job: Open | Create | Read | Release | Drop | Aside) -> Report:
        match job:
            case Open():
                file = self._files.get(work) or self._folder.open(work)
                return self._opened(work, job.token, file)
            case Create():
                return self._opened(work, job.token, self._folder.create(work, job.owner, job.incarnation))
            case Read():
                found = self._file(work).read(job.kinds, job.batch, job.lo, job.hi)
                return Rows(work, job.token, *_told_apart(found))
            case Release():
                self._close_file(work)
                return Released(work, job.token)
            case Drop():
                self._close_file(work)
                self._folder.drop(work)
                return Dropped(work, job.token)
            case Aside():
                self._close_file(work)
                return SetAside(work, job.token, self._folder.set_aside(self._folder.path_of(work)))
            case _:
                assert_never(job)

    def _opened(self, work: str, token: object, file: WorkFile) -> Opened:
        self._files[work] = file
        return Opened(work, token, file.facts, file.size_bytes)

    def _file(self, work: str) -> WorkFile:
        if work not in self._files:
            raise WorkMissingError(self._folder.path, f"the work {work!r} is not open")
        return self._files[work]

    def _close_file(self, work: str) -> None:
        """Close a file if it is open; one that cannot be tidied up is tidied up when it is opened."""
        if work in self._files:
            with contextlib.suppress(WorkError):
                self._files.pop(work).close()

    def _reported(self, reports: Sequence[Report], done_bytes: int = 0) -> None:
        with self._changed:
            self._queued_bytes -= done_bytes
            self._report(reports)

    def _report(self, reports: Sequence[Report]) -> None:
        """The lock is held."""
        if not self._reports:
            os.eventfd_write(self._descriptor, 1)
        self._reports += reports


def _joining(first: Append, queue: deque[Job]) -> Iterator[Append]:
    """Take from a queue what goes in one transaction with its first."""
    room = GROUP_BYTES - first.size_bytes
    while queue and not first.fault:
        job = queue[0]
        if not isinstance(job, Append) or job.fault or job.size_bytes > room:
            return
        room -= job.size_bytes
        queue.popleft()
        yield job


def _size(job: Job) -> int:
    return job.size_bytes if isinstance(job, Append) else 0


def _not_persisted(work: str, job: Write, error: ScalerError) -> NotPersisted:
    reason = error.reason if isinstance(error, WorkError) else str(error)
    return NotPersisted(work, job.token, reason, error)


def _told_apart(
    found: Sequence[tuple[int, Row | DamagedRow]],
) -> tuple[tuple[tuple[int, Row], ...], tuple[DamagedRow, ...]]:
    rows = tuple((seq, row) for seq, row in found if isinstance(row, Row))
    return rows, tuple(row for _, row in found if isinstance(row, DamagedRow))
