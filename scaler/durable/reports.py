"""What the writer of durable works reports: an answer to each call, with the token that was given to it."""

from pathlib import Path
from typing import NamedTuple

from scaler.durable.file import WorkFacts
from scaler.durable.rows import DamagedRow, Row
from scaler.errors import ScalerError


class Persisted(NamedTuple):
    """All rows of a call are on disk; the last of them, if any, has this number, and those before it end there."""

    work: str
    token: object
    last_seq: int


class Deleted(NamedTuple):
    """The rows of a call are gone for good."""

    work: str
    token: object


class NotPersisted(NamedTuple):
    """Nothing of a call was done to the file, and `reason` says why: its disk is full, or it cannot be written.

    All of the work that was behind it has the same report. Only after an error of the disk may a crash undo that: what
    the call brought may be found then.
    """

    work: str
    token: object
    reason: str
    error: ScalerError


class Opened(NamedTuple):
    """A file was opened, or made and opened, and takes rows now."""

    work: str
    token: object
    facts: WorkFacts
    size_bytes: int


class Rows(NamedTuple):
    """What there is of a range, in order."""

    work: str
    token: object
    rows: tuple[tuple[int, Row], ...]
    damaged: tuple[DamagedRow, ...]


class Loaded(NamedTuple):
    """The next of all rows, in order; nothing follows the one that `is_last`."""

    work: str
    token: object
    rows: tuple[tuple[int, Row], ...]
    damaged: tuple[DamagedRow, ...]
    is_last: bool


class Released(NamedTuple):
    """A file is closed."""

    work: str
    token: object


class Dropped(NamedTuple):
    """A work is gone for good."""

    work: str
    token: object


class SetAside(NamedTuple):
    """What there was of a work, damaged, has this name now; a new one can be made."""

    work: str
    token: object
    path: Path


class Refused(NamedTuple):
    """A call other than those that write could not be served, or not to its end."""

    work: str
    token: object
    error: ScalerError


Report = Persisted | Deleted | NotPersisted | Opened | Rows | Loaded | Released | Dropped | SetAside | Refused
