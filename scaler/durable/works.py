"""All durable works of a scheduler: they stand between the links of clients and the core, and belong to keys. Pure.

What a client at a work says of its batches goes to the work; all else passes by. What the core says to a work as its
client goes there, too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scaler.core import events as core
from scaler.durable.events import CreateFile, Doings, DropFile, LoadRows, OpenFile, ReadEnds, SetAside
from scaler.durable.replay import Replay
from scaler.durable.rows import Row
from scaler.durable.work import OfBatches, Work
from scaler.errors import ProtocolError
from scaler.ids import Incarnation
from scaler.protocol import (
    DropWork,
    Goodbye,
    ListWorks,
    OpenWork,
    ToClient,
    WorkDropped,
    WorkOpened,
    WorksListed,
    WorkSummary,
)
from scaler.protocol.columns import Frame
from scaler.protocol.work_messages import MOST_LISTED

NOT_YOURS = "the durable work {!r} belongs to another key"
_OF_WORKS = frozenset((OpenWork, ListWorks, DropWork))
#: who may see the works of all keys
_OPERATOR = "operator"


@dataclass(slots=True)
class _Client:
    role: str
    owner: str


@dataclass(slots=True, eq=False)
class _Entry:
    """One work, from when its file is asked for."""

    name: str
    #: the key that it belongs to, as its file says; None until that has been read
    owner: str | None = None
    #: there is a file
    is_there: bool = False
    #: its file is about to be opened, or to go
    is_asked: bool = False
    is_ending: bool = False
    work: Work | None = None
    replay: Replay | None = None
    #: why it cannot be used; ""
    problem: str = ""
    #: clients that want it, and what was said of it, until it goes on
    wanted_by: list[Incarnation] = field(default_factory=list)
    waiting: list[tuple[Incarnation, OfBatches, tuple[Frame, ...]]] = field(default_factory=list)
    #: clients that want to hear when it is gone
    dropped_for: list[Incarnation] = field(default_factory=list)


class Works:
    """Everything of them; `new_incarnation` names one that is new."""

    def __init__(self, new_incarnation: Callable[[], Incarnation]) -> None:
        self.doings = Doings()
        self._new_incarnation = new_incarnation
        self._clients: dict[Incarnation, _Client] = {}
        self._clusters: set[Incarnation] = set()
        #: peers that have the name of a work: the core must not take one for the other
        self._impostors: set[Incarnation] = set()
        self._entries: dict[str, _Entry] = {}
        #: who is at which of them
        self._at_work: dict[Incarnation, _Entry] = {}
        #: those that are clients of the core, or are about to be
        self._by_incarnation: dict[Incarnation, _Entry] = {}

    # ---- between links and core

    def take_in(self, events: Iterable[core.Event], now: float) -> list[core.Event]:
        """What has come: what is left of it for the core, with what works say to that."""
        for event in events:
            if isinstance(event, core.Received):  # most of them, and of these most have nothing to do with works
                peer, message = event.peer, event.message
                if (peer in self._at_work or type(message) in _OF_WORKS) and self._hears(event, now):
                    continue
                if self._impostors and peer in self._impostors:
                    continue
            elif isinstance(event, core.PeerJoined | core.PeerLost) and not self._is_of_core(event):
                continue
            self.doings.core.append(event)
        for entry in self._by_incarnation.values():
            if entry.work is not None:
                entry.work.tick(now)
        said, self.doings.core = self.doings.core, []
        return said

    def take_out(self, commands: list[core.Command], now: float) -> list[core.Command]:
        """What the core has decided: what is left of it for others, with what works say to clients."""
        commands = [command for command in commands if not self._is_told(command, now)]
        if self.doings.clients:
            commands, self.doings.clients = [*commands, *self.doings.clients], []
        return commands

    def take_notes(self) -> list[str]:
        """Lines for the log."""
        notes, self.doings.notes = self.doings.notes, []
        return notes

    def check(self) -> None:
        """Raise unless every invariant holds, looked at the slow way."""
        for entry in self._entries.values():
            if entry.work is not None:
                entry.work.check()
        assert all(self._entries.get(entry.name) is entry for entry in self._by_incarnation.values())
        assert all(self._entries.get(entry.name) is entry for entry in self._at_work.values())
        assert self._at_work.keys() <= self._clients.keys()

    def next_deadline(self) -> float | None:
        """When to look again though nothing happens."""
        works = (entry.work for entry in self._by_incarnation.values())
        times = [due for work in works if work is not None and (due := work.next_deadline()) is not None]
        return min(times, default=None)

    def _is_told(self, command: core.Command, now: float) -> bool:
        match command:
            case core.Send(peer, message, frames) if (entry := self._by_incarnation.get(peer)) is not None:
                if entry.work is not None and not isinstance(message, Goodbye):
                    entry.work.told(message, frames, now)  # type: ignore[arg-type]  # it is a client there
            case core.AwaitRoom(peer, room_bytes) if (entry := self._by_incarnation.get(peer)) is not None:
                if entry.work is not None:
                    entry.work.room(room_bytes)
            case core.CutOff(peer, reason) if (entry := self._by_incarnation.get(peer)) is not None:
                self._fail(entry, f"the scheduler cannot go on with it: {reason}")
            case core.CutOff(peer):
                self._left(peer)
                return False
            case _:
                return False
        return True

    # ---- clients

    def _is_of_core(self, event: core.PeerJoined | core.PeerLost) -> bool:
        """Whether the core is to hear of one who has come or gone."""
        peer = event.peer
        if isinstance(event, core.PeerLost):
            self._left(peer)
            is_of_core = peer not in self._impostors
            self._impostors.discard(peer)
            return is_of_core
        if peer in self._by_incarnation:
            self._impostors.add(peer)
            self.doings.clients.append(core.CutOff(peer, "its name is that of a durable work"))
            return False
        if event.role == "worker":
            self._clusters.add(peer)
        else:
            self._clients[peer] = _Client(event.role, event.key_name)
        return True

    def _is_taken(self, incarnation: Incarnation) -> bool:
        """Whether somebody has this name, other than a work that is not open."""
        return incarnation in self._by_incarnation or incarnation in self._clients or incarnation in self._clusters

    def _hears(self, event: core.Received, now: float) -> bool:
        """Whether what a client says is of durable works."""
        peer, message, frames = event.peer, event.message, event.frames
        client = self._clients.get(peer)
        if client is None:
            return False
        match message:
            case OpenWork():
                self._open(peer, message, now)
            case ListWorks():
                self._list(peer, client)
            case DropWork(name):
                self._drop(peer, client, name)
            case _ if peer in self._at_work and isinstance(message, OfBatches):
                return self._pass_on(self._at_work[peer], peer, message, frames, now)
            case Goodbye():
                self._left(peer)
                return False
            case _:
                return False
        return True

    def _pass_on(
        self, entry: _Entry, peer: Incarnation, message: OfBatches, frames: tuple[Frame, ...], now: float
    ) -> bool:
        if entry.work is None or not entry.work.has_joined:
            entry.waiting.append((peer, message, frames))
            return True
        try:
            entry.work.heard(peer, message, frames, now)
        except ProtocolError as error:
            self._left(peer)
            self.doings.core.append(core.PeerLost(peer, str(error)))
            self.doings.clients.append(core.CutOff(peer, str(error)))
        return True

    def _left(self, peer: Incarnation) -> None:
        self._clients.pop(peer, None)
        self._clusters.discard(peer)
        self._leave(peer)

    def _leave(self, peer: Incarnation) -> None:
        """What it was at goes on without it; what it said there and nobody has heard was of a link that is gone."""
        entry = self._at_work.pop(peer, None)
        if entry is None:
            return
        entry.wanted_by = [one for one in entry.wanted_by if one != peer]
        entry.waiting = [one for one in entry.waiting if one[0] != peer]
        if entry.work is not None:
            entry.work.left(peer)

    def _say(self, peer: Incarnation, message: ToClient) -> None:
        self.doings.clients.append(core.Send(peer, message))

    def _may_use(self, client: _Client, entry: _Entry) -> bool:
        return client.role == _OPERATOR or entry.owner == client.owner

    def _open(self, peer: Incarnation, message: OpenWork, now: float) -> None:
        self._leave(peer)
        entry = self._entries.setdefault(message.name, _Entry(message.name))
        self._at_work[peer] = entry
        if entry.work is not None and entry.work.has_joined:
            self._let_in(entry, peer, now)
            return
        entry.wanted_by.append(peer)
        if entry.work is None and not entry.is_ending and not entry.is_asked:
            self._ask_for(entry, message.incarnation)

    def _ask_for(self, entry: _Entry, incarnation: Incarnation) -> None:
        """Have its file opened, or made if there is none, for the first who wants it."""
        entry.problem, entry.is_asked = "", True
        if entry.is_there:
            self.doings.disk.append(OpenFile(entry.name))
            return
        named = incarnation if incarnation and not self._is_taken(incarnation) else self._new_incarnation()
        self.doings.disk.append(CreateFile(entry.name, self._clients[entry.wanted_by[0]].owner, named))

    def _let_in(self, entry: _Entry, peer: Incarnation, now: float) -> None:
        client = self._clients.get(peer)
        if client is None or entry.work is None:
            return
        if self._may_use(client, entry):
            entry.work.opened(peer, now)
            return
        self._at_work.pop(peer, None)
        self._say(peer, WorkOpened(entry.name, Incarnation(0), NOT_YOURS.format(entry.name)))

    def _list(self, peer: Incarnation, client: _Client) -> None:
        found = [
            entry.work.summary() if entry.work is not None else WorkSummary(entry.name, 0, 0, 0, entry.problem)
            for entry in self._entries.values()
            if self._may_use(client, entry)
        ]
        for at in range(0, len(found) or 1, MOST_LISTED):
            part = found[at : at + MOST_LISTED]
            self._say(peer, WorksListed(tuple(part), at + MOST_LISTED < len(found)))

    def _drop(self, peer: Incarnation, client: _Client, name: str) -> None:
        entry = self._entries.get(name)
        if entry is None:
            self._say(peer, WorkDropped(name, f"there is no durable work {name!r}"))
        elif not self._may_use(client, entry):
            unknown = entry.problem or f"the durable work {name!r} is being opened: try again"
            self._say(peer, WorkDropped(name, unknown if entry.owner is None else NOT_YOURS.format(name)))
        else:
            entry.dropped_for.append(peer)
            if not entry.is_ending:
                entry.is_ending = True
                self._end(entry, f"the durable work {name!r} was dropped")
                self.doings.disk.append(DropFile(name))

    def _end(self, entry: _Entry, why: str) -> None:
        """Nobody is at it any more, and its tasks end."""
        work, entry.work = entry.work, None
        entry.problem, entry.is_asked = why, False
        for peer in entry.wanted_by:
            self._say(peer, WorkOpened(entry.name, Incarnation(0), why))
        entry.wanted_by.clear()
        entry.waiting.clear()
        for peer in [peer for peer, its in self._at_work.items() if its is entry]:
            del self._at_work[peer]
        if work is not None:
            work.drop(why)
            self._by_incarnation.pop(work.incarnation, None)

    def _fail(self, entry: _Entry, why: str) -> None:
        self.doings.notes.append(f"durable work {entry.name!r}: {why}")
        self._end(entry, why)

    # ---- what the disk says

    def found(self, names: Iterable[str]) -> None:
        """There are works of an earlier scheduler."""
        for name in names:
            entry = self._entries.setdefault(name, _Entry(name))
            if not entry.is_there and not entry.is_asked:
                self.found_there(name)

    def found_there(self, name: str) -> None:
        """There is a file of this name: it is not to be made, but opened."""
        entry = self._entries[name]
        entry.is_there = entry.is_asked = True
        self.doings.disk.append(OpenFile(name))

    def opened(self, name: str, owner: str, incarnation: Incarnation, size_bytes: int) -> None:
        """Its log is open, and is read next."""
        entry = self._entries[name]
        entry.owner, entry.is_there = owner, True
        if self._is_taken(incarnation):
            self._fail(entry, "it has the name of a peer that is connected, or of another work")
            return
        entry.work = Work(name, owner, incarnation, self.doings)
        entry.work.size_bytes = size_bytes
        entry.replay = Replay(incarnation)
        self._by_incarnation[incarnation] = entry
        self.doings.disk.append(LoadRows(name))

    def loaded(self, name: str, rows: Iterable[Row], damaged: int, now: float, *, is_last: bool) -> None:
        """Some more of its log was read."""
        entry = self._entries[name]
        if entry.replay is None or entry.work is None:
            return
        for row in rows:
            entry.replay.add(row)
        entry.replay.damaged += damaged
        if is_last:
            if entry.replay.damaged:
                self.doings.notes.append(
                    f"the durable work {name!r} has {entry.replay.damaged} damaged rows: results among them are made "
                    "anew, calls among them fail"
                )
            replay, entry.replay = entry.replay, None
            entry.work.begin(replay, now)
            self._look_whether_ready(entry, now)

    def _look_whether_ready(self, entry: _Entry, now: float) -> None:
        if entry.work is None or not entry.work.has_joined:
            return
        wanted_by, entry.wanted_by = entry.wanted_by, []
        for peer in wanted_by:
            self._let_in(entry, peer, now)
        waiting, entry.waiting = entry.waiting, []
        for peer, message, frames in waiting:
            if self._at_work.get(peer) is entry:
                self._pass_on(entry, peer, message, frames, now)

    def persisted(self, name: str, now: float) -> None:
        """The oldest of its rows that were to be written is on disk."""
        if (entry := self._entries.get(name)) is not None and entry.work is not None:
            entry.work.persisted(now)
            self._look_whether_ready(entry, now)

    def not_persisted(self, name: str, reason: str, now: float) -> None:
        """None of its rows that were to be written is on disk."""
        if (entry := self._entries.get(name)) is not None and entry.work is not None:
            entry.work.not_persisted(reason, now)

    def read(self, asked: ReadEnds, rows: Sequence[Row], now: float) -> None:
        """Outcomes were read."""
        if (entry := self._entries.get(asked.work)) is not None and entry.work is not None:
            entry.work.read(asked, rows, now)
            self._look_whether_ready(entry, now)

    def refused(self, name: str, why: str, *, is_damaged: bool) -> None:
        """Its log cannot be used; one that is damaged is set aside."""
        entry = self._entries[name]
        if entry.is_ending:
            return
        self._fail(entry, why)
        if is_damaged:
            entry.is_ending = True
            self.doings.disk.append(SetAside(name))
        elif not entry.is_there:
            del self._entries[name]

    def was_set_aside(self, name: str, path: str) -> None:
        """What there was of it, damaged, lies there now."""
        self.doings.notes.append(f"the damaged durable work {name!r} lies at {path} now")
        self._gone(self._entries[name])

    def dropped(self, name: str) -> None:
        """Its log is gone."""
        self._gone(self._entries[name])

    def not_gone(self, name: str, why: str) -> None:
        """Its log can neither be removed nor set aside."""
        entry = self._entries[name]
        entry.is_ending = False
        self._tell_dropped(entry, why)
        self._fail(entry, why)

    def _gone(self, entry: _Entry) -> None:
        """Who wants one of this name by now has a new one."""
        self._tell_dropped(entry, "")
        entry.is_ending = entry.is_there = False
        entry.owner = None
        if entry.wanted_by:
            self._ask_for(entry, Incarnation(0))
        else:
            del self._entries[entry.name]

    def _tell_dropped(self, entry: _Entry, why: str) -> None:
        dropped_for, entry.dropped_for = entry.dropped_for, []
        for peer in dropped_for:
            if peer in self._clients:
                self._say(peer, WorkDropped(entry.name, why))
