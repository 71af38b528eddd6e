"""The log of one durable work: an SQLite file whose rows are on disk, in order, once `append` has returned.

One process has it, in one thread. It is locked from its opening to its end: no process may open its path by other
means than SQLite meanwhile and have it open too, since closing that gives all its locks away.
"""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from scaler.durable.disk import named_errors, remove, sync_file, sync_folder
from scaler.durable.errors import DamagedWorkError, UnstorableRowError, WorkExistsError, WorkFileError, WorkMissingError
from scaler.durable.rows import Cells, DamagedRow, Row, decoded, encoded, fault
from scaler.durable.wal import has_lost_commits

#: of files as they are written now
FORMAT = 1
#: what SQLite has beside a file, in the order in which they may go once it is gone
SIDES = ("-wal", "-shm", "-journal")
#: what a file is called until it is complete
MAKING = ".new"
#: rows are read in pieces of so many bytes, or of one row if it is larger
PIECE_BYTES = 8 << 20

_PAGE_BYTES = 4096
#: a page for each table and the index, and one for the list of them
_LEAST_BYTES = 4 * _PAGE_BYTES
#: with more of them the log is not faster, and takes longer to be looked at after a kill
_CHECKPOINT_PAGES = 2048
_MOST_WAL_BYTES = 64 << 20
_SCHEMA = {
    "facts": "CREATE TABLE facts (data BLOB, crc INTEGER)",
    "rows": "CREATE TABLE rows (seq INTEGER PRIMARY KEY, kind INTEGER, batch INTEGER, lo INTEGER, hi INTEGER, "
    "header BLOB, sizes BLOB, data BLOB, crc INTEGER)",
    "places": "CREATE INDEX places ON rows (batch, kind, lo, hi)",
}
#: no row has a lower number, nor has a column
LEAST_SEQ = -(1 << 63)
_INSERT = "INSERT INTO rows (seq, kind, batch, lo, hi, header, sizes, data, crc) VALUES (?,?,?,?,?,?,?,?,?)"
_SELECT = "SELECT seq, kind, batch, lo, hi, header, sizes, data, crc FROM rows "
_OVERLAP = "SELECT seq FROM rows WHERE batch = ? AND kind = ? AND lo >= ? AND lo < ? AND (hi > ? OR lo >= ?)"
_MOST_ROWS = 1 << 62


class WorkFacts(Struct, frozen=True):
    """Whose work a file has: its name, the key that opened it, and the incarnation that its batches are named by."""

    name: str
    owner: str
    incarnation: int
    format: int = FORMAT


class WorkFile:
    """The rows of one work. Methods raise `WorkError`; then nothing of what they were asked for is in the file.

    Only a crash may undo the latter: of a commit that the system failed to finish, all may be found after it, or none.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, facts: WorkFacts) -> None:
        self.path = path
        self.facts = facts
        self._connection = connection
        last = connection.execute("SELECT max(seq) FROM rows").fetchone()[0]
        #: no row has a greater number, nor had one since the file was opened
        self._last: int = max(last or 0, 0)
        if self._last > _MOST_ROWS:
            raise DamagedWorkError(path, f"it has a row {last}")
        #: of each kind, how many indices the widest row has: rows that reach a place begin at most so far before it
        self._widest: dict[int, int] = dict(
            connection.execute("SELECT kind, CAST(max(hi - lo) AS INTEGER) FROM rows GROUP BY kind")
        )

    @classmethod
    def create(cls, path: Path, facts: WorkFacts) -> "WorkFile":
        """A new file without rows: whole and on disk when this returns, or not there."""
        with named_errors(path):
            if path.exists():
                raise WorkExistsError(path, "it is there already")
            making = path.with_name(path.name + MAKING)
            # what is left of a file of the same name would be taken for the new one's
            remove([*files_of(making), *files_of(path)])
            try:
                _make(making, facts)
                making.rename(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    remove(files_of(making))
                raise
            sync_folder(path.parent)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "WorkFile":
        """The file as it was left, by a kill too. All of it is looked at: `DamagedWorkError` if anything is wrong."""
        with named_errors(path):
            if not path.exists():
                raise WorkMissingError(path, "it is not there")
            if path.stat().st_size < _LEAST_BYTES:  # SQLite would take it for a new one, and remove its log
                raise DamagedWorkError(path, "it is cut short")
            if has_lost_commits(path.with_name(path.name + SIDES[0])):
                raise DamagedWorkError(path, "rows are lost: its write-ahead log is damaged in front of others")
            connection = _connected(path, "mode=rw")
            try:
                _set_up(path, connection)
                _require_sound(path, connection)
                return cls(path, connection, _facts_in(path, connection))
            except BaseException:
                connection.close()
                raise

    def append(self, rows: Iterable[Row]) -> int:
        """Add rows in one transaction; the number of the last one. They are on disk when this returns."""
        last, widest = self._last, self._widest.copy()

        def cells() -> Iterator[Cells]:
            nonlocal last
            for row in rows:
                if why := fault(row):
                    raise UnstorableRowError(self.path, why)
                last += 1
                widest[row.kind] = max(widest.get(row.kind, 0), row.hi - row.lo)
                yield encoded(last, row)

        with self._transaction():
            self._connection.executemany(_INSERT, cells())
        self._last, self._widest = last, widest
        return last

    def read_all(self) -> Iterator[tuple[int, Row | DamagedRow]]:
        """Every row with its number, in order; those that were not there when it began may come or not."""
        after = LEAST_SEQ
        while piece := self.piece(after):
            yield from piece
            after = piece[-1][0]

    def piece(self, after: int = LEAST_SEQ, most_bytes: int = PIECE_BYTES) -> list[tuple[int, Row | DamagedRow]]:
        """The next rows behind this number, until they have so many bytes; none at the end."""
        found: list[tuple[int, Row | DamagedRow]] = []
        with named_errors(self.path), contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute(_SELECT + "WHERE seq > ? ORDER BY seq", (after,))
            for cells in cursor:
                row = decoded(cells)
                found.append((cells[0], row))
                most_bytes -= size_bytes(row)
                if most_bytes <= 0:
                    break
        return found

    def read(self, kinds: Sequence[int], batch: int, lo: int, hi: int) -> list[tuple[int, Row | DamagedRow]]:
        """The rows of some kinds that have indices of [lo, hi) of a batch, in order; one of no width is where it is.

        Damaged ones are only found if these numbers of theirs are not.
        """
        with named_errors(self.path):
            # rows are fetched once they are in order: what SQLite sorts it copies, whole rows too
            seqs = sorted(seq for kind in kinds for seq in self._overlapping(kind, batch, lo, hi))
            return [(seq, self._one(seq)) for seq in seqs]

    def _overlapping(self, kind: int, batch: int, lo: int, hi: int) -> list[int]:
        first = max(lo - (self._widest.get(kind) or 0), LEAST_SEQ)
        return [seq for (seq,) in self._connection.execute(_OVERLAP, (batch, kind, first, hi, lo, lo))]

    def _one(self, seq: int) -> Row | DamagedRow:
        cells = self._connection.execute(_SELECT + "WHERE seq = ?", (seq,)).fetchone()
        return DamagedRow(seq) if cells is None else decoded(cells)

    def delete(self, seqs: Iterable[int]) -> None:
        """Remove the rows of these numbers; those that are not there are none."""
        with self._transaction():
            self._connection.executemany("DELETE FROM rows WHERE seq = ?", ((seq,) for seq in seqs))

    def delete_batch(self, batch: int) -> None:
        """Remove all rows of a batch."""
        with self._transaction():
            self._connection.execute("DELETE FROM rows WHERE batch = ?", (batch,))

    @property
    def size_bytes(self) -> int:
        """What it takes on disk. Room that was deleted is kept, for later rows."""
        return sum(path.stat().st_size for path in files_of(self.path) if path.exists())

    def close(self) -> None:
        """Give it back; closing again is nothing."""
        with named_errors(self.path):
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """On disk when it ends, or undone."""
        with named_errors(self.path):
            self._undo()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # what went wrong first is what is told
                    self._undo()
                raise

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def size_bytes(row: Row | DamagedRow) -> int:
    """What a row that was read takes, about."""
    return row.size_bytes if isinstance(row, Row) else 0


def read_facts(path: Path) -> WorkFacts:
    """Whose work a file has, which may be open meanwhile; looks at nothing else of it."""
    with named_errors(path), contextlib.closing(_connected(path, "mode=ro&immutable=1")) as connection:
        return _facts_in(path, connection)


def files_of(path: Path) -> list[Path]:
    """A file and all that SQLite may have beside it, in the order in which they are to go."""
    return [path, *(path.with_name(path.name + side) for side in SIDES)]


def _connected(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=0)
    connection.text_factory = bytes  # of a damaged one, what is no UTF-8 may be read too
    return connection


def _set_up(path: Path, connection: sqlite3.Connection) -> None:
    """Lock it, have every commit on disk, and look at what is read."""
    # locked before it is read: then there is no file of shared memory, and nobody else to share it with
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA secure_delete=OFF")  # rows that are deleted are not written once more
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    connection.execute("PRAGMA synchronous=FULL")
    if mode != b"wal" or connection.execute("PRAGMA synchronous").fetchone() != (2,):
        raise WorkFileError(path, f"no write-ahead log can be had there, but {mode.decode()}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={_MOST_WAL_BYTES}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def _require_sound(path: Path, connection: sqlite3.Connection) -> None:
    """`DamagedWorkError` unless every page is one, the index has every row, and the tables are ours."""
    (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if said != b"ok":
        raise DamagedWorkError(path, " ".join(said.decode(errors="replace").split()))
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    if found != {name.encode(): sql.encode() for name, sql in _SCHEMA.items()}:
        raise DamagedWorkError(path, "its tables are not those of a work")


def _facts_in(path: Path, connection: sqlite3.Connection) -> WorkFacts:
    match connection.execute("SELECT data, crc FROM facts").fetchall():
        case [(bytes(data), int(crc))] if zlib.crc32(data) == crc:
            pass
        case _:
            raise DamagedWorkError(path, "its facts cannot be read")
    try:
        written = msgspec.msgpack.decode(data, type=_Format).format
        if written == FORMAT:
            return msgspec.msgpack.decode(data, type=WorkFacts)
    except msgspec.MsgspecError as error:
        raise DamagedWorkError(path, f"its facts cannot be read: {error}") from None
    raise DamagedWorkError(path, f"its format is {written}, and only {FORMAT} is known here")


class _Format(Struct, frozen=True):
    format: int


def _make(path: Path, facts: WorkFacts) -> None:
    """A complete file that nobody has open; all of it is on disk."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    data = msgspec.msgpack.encode(facts)
    with contextlib.closing(_connected(path, "mode=rw")) as connection:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        _set_up(path, connection)
        connection.execute("BEGIN IMMEDIATE")
        for sql in _SCHEMA.values():
            connection.execute(sql)
        connection.execute("INSERT INTO facts VALUES (?, ?)", (data, zlib.crc32(data)))
        connection.execute("COMMIT")
    if path.with_name(path.name + SIDES[0]).exists():
        raise WorkFileError(path, "what was written to it cannot be brought into one file")
    sync_file(path)
