"""What durable works ask of their surroundings. Pure."""

from dataclasses import dataclass, field

from scaler.core.events import CutOff, Event, Send
from scaler.durable.rows import Row


@dataclass(frozen=True, slots=True)
class Persist:
    """Put a row on disk; answered by `Work.persisted` or `Work.not_persisted`, in order."""

    work: str
    row: Row


@dataclass(frozen=True, slots=True)
class ReadEnds:
    """Find what became of the tasks [lo, hi) of a batch; answered by `Work.read` with this."""

    work: str
    batch: int
    lo: int
    hi: int
    #: who wants it: a client, or 0 for the work itself
    reader: int


@dataclass(frozen=True, slots=True)
class DeleteRows:
    """Remove the rows of a batch that nobody will ask for."""

    work: str
    batch: int


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Open the log of a work; answered by `Works.opened` or `Works.refused`."""

    work: str


@dataclass(frozen=True, slots=True)
class CreateFile:
    """Make the log of a work; answered in the same way."""

    work: str
    owner: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class LoadRows:
    """Read all rows of a work; answered by `Works.loaded`, piece by piece."""

    work: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Give a damaged log another name; answered by `Works.was_set_aside`."""

    work: str


@dataclass(frozen=True, slots=True)
class DropFile:
    """Remove the log of a work; answered by `Works.dropped`."""

    work: str


OnDisk = Persist | ReadEnds | DeleteRows | OpenFile | CreateFile | LoadRows | SetAside | DropFile


@dataclass(slots=True)
class Doings:
    """All that works ask for in one turn: things for the core, for clients, for the disk, and lines for the log."""

    core: list[Event] = field(default_factory=list)
    clients: list[Send | CutOff] = field(default_factory=list)
    disk: list[OnDisk] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
