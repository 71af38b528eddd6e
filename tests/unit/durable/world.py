"""Works beside a scheduler core, and a disk that keeps what it was told to, through any number of schedulers."""

from collections.abc import Iterable
from itertools import count

from scaler.core.events import Command, Event, PeerJoined, PeerLost, Received, Send
from scaler.core.scheduler import SchedulerCore
from scaler.durable.events import CreateFile, DeleteRows, DropFile, LoadRows, OnDisk, OpenFile, Persist, ReadEnds
from scaler.durable.records import ENDS
from scaler.durable.rows import Row
from scaler.durable.works import Works
from scaler.ids import Epoch, Incarnation
from scaler.protocol import OpenWork, RunSpan
from tests.unit.core.examples import ALICE, Checked

NAME = "nightly"
WORK = Incarnation(500)


class Disk:
    """Rows by work; what is written while it is `full` is refused."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.owners: dict[str, tuple[str, Incarnation]] = {}
        self.is_full = False
        #: nothing is done before it is let
        self.is_held = False
        self.asked: list[OnDisk] = []

    def perform(self, works: Works, now: float, most: int | None = None) -> bool:
        """Do what works ask for, so much of it at most; whether anything was."""
        self.asked += works.doings.disk
        works.doings.disk = []
        if self.is_held or not self.asked:
            return False
        asked, self.asked = self.asked[:most], self.asked[len(self.asked[:most]) :]
        while asked:
            one = asked.pop(0)
            match one:
                case Persist() | DeleteRows() if self.is_full:
                    self._refuse(works, one.work, [one, *asked], now)
                    asked = [other for other in asked if not isinstance(other, Persist | DeleteRows)]
                case Persist(work, row):
                    self.rows[work].append(row)
                    works.persisted(work, now)
                case _:
                    self._serve(works, one, now)
        return True

    def _refuse(self, works: Works, work: str, asked: list[OnDisk], now: float) -> None:
        """Nothing that was asked for behind a write that failed is written either."""
        if any(isinstance(one, Persist) for one in (*asked, *self.asked)):
            works.not_persisted(work, "the disk is full", now)
        self.asked = [one for one in self.asked if not isinstance(one, Persist | DeleteRows)]

    def _serve(self, works: Works, one: OnDisk, now: float) -> None:
        match one:
            case CreateFile(work, owner, incarnation):
                self.rows[work], self.owners[work] = [], (owner, Incarnation(incarnation))
                works.opened(work, owner, Incarnation(incarnation), 0)
            case OpenFile(work):
                works.opened(work, *self.owners[work], 0)
            case LoadRows(work):
                works.loaded(work, self.rows[work], 0, now, is_last=False)
                works.loaded(work, [], 0, now, is_last=True)
            case ReadEnds(work, batch, lo, hi):
                found = [row for row in self.rows[work] if row.kind in ENDS and row.batch == batch]
                works.read(one, [row for row in found if row.lo < hi and lo < row.hi], now)
            case DeleteRows(work, batch):
                self.rows[work] = [row for row in self.rows[work] if row.batch != batch]
            case DropFile(work):
                del self.rows[work], self.owners[work]
                works.dropped(work)


class World:
    """One scheduler after another on one disk."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.epochs = count(1)
        self.now = 0.0
        self.start()

    def start(self) -> None:
        """A new scheduler; nobody is linked to it yet."""
        epoch = next(self.epochs)
        self.core: SchedulerCore = (
            Checked() if epoch == 1 else SchedulerCore(epoch=Epoch(epoch), config=Checked().config)
        )
        self.works = Works(lambda: WORK)
        self.works.found(self.disk.rows)
        self.turn()

    def turn(self, *events: Event, at: float | None = None) -> list[Command]:
        """All that follows of these, until nothing more does."""
        self.now = self.now if at is None else at
        said: list[Command] = []
        pending: list[Event] = list(events)
        while True:
            commands = self.core.handle(self.works.take_in(pending, self.now), self.now)
            said += self.works.take_out(commands, self.now)
            pending = []
            if not self.disk.perform(self.works, self.now) and not self.works.doings.core:
                return said

    def open(self, peer: Incarnation = ALICE, key: str = "client", name: str = NAME, was: int = 0) -> list[Command]:
        """A client comes and asks for a work."""
        joined = PeerJoined(peer, "client", "", key)
        return self.heard(peer, self.turn(joined, Received(peer, OpenWork(name, Incarnation(was)))))

    def leave(self, peer: Incarnation = ALICE) -> None:
        self.turn(PeerLost(peer, "killed"))

    def heard(self, peer: Incarnation, commands: Iterable[Command]) -> list[Command]:
        """What was said to a peer."""
        return [command for command in commands if isinstance(command, Send) and command.peer == peer]


def by(peer: Incarnation, *events: Event) -> list[Event]:
    """The same, said by another peer."""
    return [Received(peer, one.message, one.frames) for one in events if isinstance(one, Received)]


def given(commands: Iterable[Command]) -> list[RunSpan]:
    """The spans that clusters were given."""
    return [one.message for one in commands if isinstance(one, Send) and isinstance(one.message, RunSpan)]
