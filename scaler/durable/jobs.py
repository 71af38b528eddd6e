"""What is asked of the writer of durable works, as it waits in a queue."""

from collections.abc import Sequence
from dataclasses import dataclass

from scaler.durable.rows import Row


@dataclass(frozen=True, slots=True)
class Append:
    """Add rows, which take so many bytes."""

    token: object
    rows: Sequence[Row]
    size_bytes: int
    #: why no file can hold one of them; ""
    fault: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the rows of these numbers."""

    token: object
    seqs: Sequence[int]


@dataclass(frozen=True, slots=True)
class DeleteBatch:
    """Remove the rows of a batch."""

    token: object
    batch: int


@dataclass(frozen=True, slots=True)
class Open:
    """Open a file that is there."""

    token: object


@dataclass(frozen=True, slots=True)
class Create:
    """Make a file and open it."""

    token: object
    owner: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Read:
    """Find what overlaps a range."""

    token: object
    kinds: Sequence[int]
    batch: int
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Load:
    """Read what is behind this number, piece by piece."""

    token: object
    after: int


@dataclass(frozen=True, slots=True)
class Release:
    """Close a file."""

    token: object


@dataclass(frozen=True, slots=True)
class Drop:
    """Close a file and remove it."""

    token: object


@dataclass(frozen=True, slots=True)
class Aside:
    """Close a file and give it another name."""

    token: object


Write = Append | Delete | DeleteBatch
Other = Open | Create | Read | Load | Release | Drop | Aside
Job = Write | Other
