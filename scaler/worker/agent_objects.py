"""The objects that the runs of a cluster need: mapped where they lie on this host, else fetched, piece by piece, once.

A run waits until all its objects are here. Copies that were fetched are kept until nobody refers to the object any
more; when there is no room for another, those that no run needs go. Pieces come through the scheduler, or from another
cluster that has them or is fetching them itself, wherever the scheduler says; and who asks here gets them likewise.
"""

from collections import OrderedDict
from collections.abc import Iterable

from msgspec.structs import replace

from scaler.errors import ProtocolError
from scaler.ids import ObjectId, RunId
from scaler.pieces import MOST_PIECE_FRAMES, Pieces, ask
from scaler.protocol import Cause, Door, Failure, FetchChunks, ObjectChunk, ObjectsDropped, ObjectsHeld
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame
from scaler.protocol.options import MAX_RANGES
from scaler.protocol.references import Reference, is_record, read_record, record_of
from scaler.worker.agent_events import DropObject, Hold, StorePiece
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_peer_events import AnswerPeer, AskPeer
from scaler.worker.agent_peers import Askers, pieces_of
from scaler.worker.agent_result_events import PieceRead, ReadPiece
from scaler.worker.agent_work import Run


class _Object:
    """One object that runs here need, or needed."""

    __slots__ = (
        "door",
        "insists",
        "is_copy",
        "is_freed",
        "local",
        "pieces",
        "reference",
        "users",
        "waiting",
    )

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        #: the runs that need it and are not over
        self.users = 0
        #: those of them that wait for it
        self.waiting: list[Run] = []
        #: what workers are told of it; None until it is here
        self.local: bytes | None = None
        #: it came, or is to come, from another host
        self.is_copy = False
        #: nobody refers to it any more
        self.is_freed = False
        #: where it is fetched; None through the scheduler, and in no other way if it `insists`
        self.door: Door | None = None
        self.insists = False
        self.pieces = Pieces(reference.size_bytes)


class Objects:
    """All of them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._askers = Askers(outbox)
        self._by_name: dict[ObjectId, _Object] = {}
        #: the runs that need some
        self._runs: dict[RunId, Run] = {}
        #: those that pieces are asked of, in the order they are wanted
        self._fetching: OrderedDict[ObjectId, _Object] = OrderedDict()
        #: those that have no room before another copy goes
        self._crowded: OrderedDict[ObjectId, _Object] = OrderedDict()
        #: copies that no run needs, the one used longest ago first
        self._idle: OrderedDict[ObjectId, _Object] = OrderedDict()

    # ---- runs

    def use(self, run: Run) -> None:
        """A run came: it has all it needs, or waits for it."""
        if run.inputs is None:
            return
        for position, value in enumerate(run.inputs.values):
            reference = _reference_in(value)
            if reference is not None:
                run.objects.setdefault(reference.object, []).append(position)
                if len(run.objects[reference.object]) == 1:
                    self._need(run, reference)
        if run.objects:
            self._runs[run.id] = run
        for name, positions in run.objects.items():
            local = self._by_name[name].local
            if local is not None:
                _tell(run, positions, local)

    def _need(self, run: Run, reference: Reference) -> None:
        name = reference.object
        known = self._by_name.get(name)
        if known is None:
            known = self._by_name[name] = _Object(reference)
            self._outbox.order(Hold(reference))
        known.users += 1
        self._idle.pop(name, None)
        if known.local is None:
            known.waiting.append(run)
            run.lacks += 1

    def expect(self, values: Iterable[Frame]) -> None:
        """Runs that need the objects among these values are to come: what lies elsewhere is fetched meanwhile."""
        for reference in filter(None, map(_reference_in, values)):
            name = reference.object
            if name in self._idle:
                self._idle.move_to_end(name)
            elif name not in self._by_name:
                self._by_name[name] = _Object(reference)
                self._outbox.order(Hold(reference, early=True))

    def release(self, run: Run) -> None:
        """A run has nothing more to be run here."""
        self._runs.pop(run.id, None)
        for name in run.objects:
            known = self._by_name[name]
            known.users -= 1
            if known.local is None:
                known.waiting.remove(run)
            if not known.users:
                self._unused(name, known)
        run.objects, run.lacks = {}, 0
        if self._crowded and not self._will_be_room():  # whoever finds that there is none is told so
            self._look_for_room()
            self._ask()

    def _unused(self, name: ObjectId, known: _Object) -> None:
        is_whole = known.is_copy and known.local is not None and not known.is_freed
        if is_whole and not self._crowded:
            self._idle[name] = known
            return
        if is_whole:
            self._outbox.say(ObjectsDropped((name,)))
        self._drop(name, known)

    def _drop(self, name: ObjectId, known: _Object) -> None:
        self._take_out(name, known)
        if known.is_copy:
            self._look_for_room()
            self._ask()

    def _look_for_room(self) -> None:
        """There may be room for all that has had none."""
        self._fetching.update(self._crowded)
        self._crowded.clear()

    def _take_out(self, name: ObjectId, known: _Object) -> None:
        """As `_drop`, but what others need is not asked for yet."""
        del self._by_name[name]
        self._idle.pop(name, None)
        self._crowded.pop(name, None)
        self._fetching.pop(name, None)
        if known.is_copy:
            self._outbox.order(DropObject(name))
            if known.local is None:
                self._come_no_more(name)

    def _come_no_more(self, name: ObjectId) -> None:
        """It will not be whole here: whoever counts on that has to know."""
        self._outbox.say(ObjectsDropped((name,)))
        self._askers.come_no_more(name)

    def _fetch_no_more(self, name: ObjectId) -> None:
        """What is asked for of it takes no room any more."""
        if self._fetching.pop(name, None) is not None:
            self._ask()

    # ---- what the shell found

    def here(self, reference: Reference) -> list[Run]:
        """An object lies on this host, as this says; the runs that lack nothing any more."""
        known = self._by_name.get(reference.object)
        if known is None or (reference != known.reference and not known.pieces.is_whole):
            return []  # it says so of a copy that was dropped meanwhile
        known.local = record_of(reference)
        if known.is_copy and not known.is_freed:
            self._outbox.say(ObjectsHeld((reference.object,)))
        runs, known.waiting = known.waiting, []
        for run in runs:
            run.lacks -= 1
            _tell(run, run.objects[reference.object], known.local)
        if not known.users:
            self._unused(reference.object, known)
        return [run for run in runs if not run.lacks]

    def away(self, name: ObjectId) -> None:
        """It lies on another host."""
        known = self._by_name.get(name)
        if known is not None:
            known.is_copy = True
            self._fetching[name] = known
            self._ask()

    def refused(self, name: ObjectId, text: str) -> list[tuple[Run, Failure]]:
        """There is no room for it: it is fetched anew once other copies are gone; if there are none, runs fail.

        For what no run needs yet no room is made.
        """
        known = self._by_name.get(name)
        if known is not None and not known.is_copy:
            if known.users:
                self.away(name)  # a run has come since
            else:
                self._drop(name, known)
            return []
        if known is None or not known.pieces.come:
            return []  # it says so of one that was dropped meanwhile, or has begun anew
        known.pieces.begin_anew()
        self._fetching.pop(name, None)
        if not known.users:
            self._drop(name, known)
            return []
        early = [other for other, its in self._fetching.items() if not its.users]
        for other in early:
            self._take_out(other, self._by_name[other])
        if not self._idle and not early:
            if not self._will_be_room(name):
                return self._lose(name, known, text)
            self._crowded[name] = known
            known.door = None
            self._come_no_more(name)
            self._ask()  # what it has left is another's
            return []
        dropped = tuple(self._idle)
        for idle in dropped:
            self._take_out(idle, self._by_name[idle])
        for at in range(0, len(dropped), MAX_RANGES):
            self._outbox.say(ObjectsDropped(dropped[at : at + MAX_RANGES]))
        self._fetching[name] = known
        self._look_for_room()
        self._ask()
        return []

    def _will_be_room(self, *without_room: ObjectId) -> bool:
        """Whether a copy will go: one that no run needs, or a run needs none of these and so comes to its end."""
        lacking = {*without_room, *self._crowded}
        copies = {name: known for name, known in self._by_name.items() if known.is_copy and name not in lacking}
        return any(not known.users for known in copies.values()) or any(
            lacking.isdisjoint(run.objects) and not copies.keys().isdisjoint(run.objects) for run in self._runs.values()
        )

    # ---- what the scheduler says

    def arrived(self, chunk: ObjectChunk, frames: tuple[Frame, ...]) -> None:
        """A piece has come."""
        known = self._fetching.get(chunk.object)
        if known is None or not known.pieces.arrived(chunk.n):
            return
        is_first, is_last = known.pieces.come == 1, known.pieces.is_whole
        size_bytes = known.reference.size_bytes
        self._outbox.order(StorePiece(chunk.object, size_bytes, chunk.n, frames, is_first=is_first, is_last=is_last))
        self._askers.arrived(chunk, frames)
        if is_last:
            del self._fetching[chunk.object]
        self._ask()

    def located(self, name: ObjectId, size_bytes: int, doors: tuple[Door, ...] = ()) -> None:
        """Pieces of an object can be had, at a door or through the scheduler, or, of size 0, cannot for a while."""
        known = self._fetching.get(name)
        if known is None or (doors and known.insists):
            return
        door = doors[0] if doors else None
        if door != known.door:
            known.pieces.ask_again()
            known.door = door
        known.pieces.located(is_there=size_bytes > 0)
        self._ask()

    def lost(self, names: Iterable[ObjectId]) -> list[tuple[Run, Failure]]:
        """Nobody has these any more; the runs that wait for them, and why they fail."""
        failed: list[tuple[Run, Failure]] = []
        for name in names:
            known = self._fetching.get(name) or self._crowded.pop(name, None)
            if known is not None:
                failed += self._lose(name, known, "nobody has it any more")
        return failed

    def _lose(self, name: ObjectId, known: _Object, why: str) -> list[tuple[Run, Failure]]:
        text = f"object {name.owner:016x}-{name.n} of {known.reference.size_bytes:,} bytes cannot be had: {why}"
        failure = Failure(Cause.OBJECT_LOST, text)
        self._fetch_no_more(name)
        if not known.users:
            self._drop(name, known)
        return [(run, failure) for run in known.waiting]

    def free(self, names: Iterable[ObjectId]) -> None:
        """Nobody refers to these any more: copies go, as soon as no run needs them."""
        for name in names:
            known = self._by_name.get(name)
            if known is not None:
                known.is_freed = True
                if not known.users:
                    self._drop(name, known)

    def linked(self) -> None:
        """A new link stands: what was asked for on the old one will not come, and nobody knows what is here."""
        for known in self._fetching.values():
            if known.door is None:
                known.pieces.ask_again()
            known.pieces.is_absent = False
        held = [name for name, known in self._by_name.items() if known.is_copy and known.local is not None]
        for at in range(0, len(held), MAX_RANGES):
            self._outbox.say(ObjectsHeld(tuple(held[at : at + MAX_RANGES])))
        self._ask()

    def _ask(self) -> None:
        """Ask for the next pieces, of what is wanted first; each door has a window of its own, as the scheduler has."""
        wanted: dict[Door | None, dict[ObjectId, Pieces]] = {}
        for name, known in sorted(self._fetching.items(), key=lambda item: not item[1].users):
            wanted.setdefault(known.door, {})[name] = known.pieces
        for door, pieces in wanted.items():
            for asked in ask(pieces):
                if door is not None:
                    self._outbox.order(AskPeer(door, asked))
                elif self._fetching[asked.object].insists:
                    self._outbox.say(replace(asked, insists=True))
                else:
                    self._outbox.say(asked)

    # ---- other clusters

    def heard(self, door: Door, chunk: ObjectChunk, frames: tuple[Frame, ...]) -> None:
        """A piece has come from where it was asked for; if it is none, nothing that comes from there is."""
        known = self._fetching.get(chunk.object)
        if known is None or known.door != door:
            return
        left = known.reference.size_bytes - chunk.n * MAX_FRAME_BYTES
        if len(frames) <= MOST_PIECE_FRAMES and sum(map(len, frames)) == min(left, MAX_FRAME_BYTES):
            self.arrived(chunk, frames)
        else:
            self._outbox.note("warning", "another cluster sent what is no piece of an object", door=door.address)
            self.shut(door)

    def shut(self, door: Door, name: ObjectId | None = None) -> None:
        """Nothing more comes from there, or nothing of one object: it has to come through the scheduler."""
        for one, known in self._fetching.items():
            if known.door == door and name in (None, one):
                known.door, known.insists = None, True
                known.pieces.ask_again()
        self._ask()

    def asked(self, connection: int, wanted: FetchChunks) -> None:
        """Another cluster wants pieces of what is here, or on its way."""
        name = wanted.object
        known = self._by_name.get(name)
        is_coming = name in self._fetching
        if known is None or not known.is_copy or (known.local is None and not is_coming):
            self._askers.refuse(connection, name)
            return
        for n in pieces_of(wanted, known.pieces.count):
            if known.pieces.has(n):
                self._outbox.order(ReadPiece(name, n, connection))
            else:
                self._askers.wait(connection, name, n)

    def read(self, event: PieceRead) -> None:
        """A piece of a copy is here, for another cluster."""
        known = self._by_name.get(event.object)
        if known is None:
            self._askers.refuse(event.to, event.object)
        else:
            chunk = ObjectChunk(event.object, event.n, known.reference.size_bytes)
            self._outbox.order(AnswerPeer(event.to, chunk, event.frames))

    def unreadable(self, name: ObjectId, connection: int) -> None:
        """It was not there any more."""
        self._askers.refuse(connection, name)

    def left(self, connection: int) -> None:
        """A cluster that has asked is gone."""
        self._askers.left(connection)

    def check(self, runs: Iterable[Run]) -> None:
        """Who needs and who waits for what is counted right."""
        users: dict[ObjectId, int] = {}
        for run in runs:
            assert run.lacks == sum(self._by_name[name].local is None for name in run.objects), run.id
            for name in run.objects:
                users[name] = users.get(name, 0) + 1
        for name, known in self._by_name.items():
            assert known.users == users.pop(name, 0), name
            assert known.users or known.is_copy or known.local is None, name
            assert (name in self._idle) == (not known.users and known.local is not None), name
            known.pieces.check()
        assert not users
        assert self._fetching.keys() >= self._askers.names
        assert not self._crowded or self._will_be_room()


def _reference_in(value: Frame) -> Reference | None:
    """The reference that stands for a value, if one does; the task that needs what is none is told so itself."""
    try:
        return read_record(value) if is_record(value) else None
    except ProtocolError:
        return None


def _tell(run: Run, positions: Iterable[int], local: bytes) -> None:
    assert run.inputs is not None
    for position in positions:
        run.inputs.values[position] = memoryview(local)
