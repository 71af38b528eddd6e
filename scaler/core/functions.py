"""The functions batches name, and code that came with them: opaque bytes, kept while named and a while longer."""

from collections import Counter, OrderedDict
from collections.abc import Sequence

from scaler.ids import FunctionId, Incarnation
from scaler.protocol.code import archives_of
from scaler.protocol.columns import Frame

#: Functions that no batch names, however small.
_IDLE_FUNCTIONS = 4096
#: so many are asked for at once
_MOST_ASKED = 10_000


class _Function:
    """One function: who names it, and its bytes if they are here."""

    __slots__ = ("archives", "frames", "holders", "named_by", "size_bytes", "users")

    def __init__(self) -> None:
        self.frames: tuple[Frame, ...] | None = None
        self.size_bytes = 0
        #: batches that name it
        self.users = 0
        #: functions with users that came with it
        self.holders = 0
        #: the client whose batch named it last
        self.named_by: Incarnation | None = None
        #: what it came with
        self.archives: list[FunctionId] = []


class _Asked:
    """What was asked for: the clusters that want it, and the client that was asked last."""

    __slots__ = ("owner", "peers")

    def __init__(self) -> None:
        self.peers: dict[Incarnation, None] = {}
        self.owner: Incarnation | None = None


class FunctionTable:
    """Every function some batch names, what these came with, and the ones used lately."""

    def __init__(self, idle_bytes: int) -> None:
        self._limit_bytes = idle_bytes
        #: of all that are here
        self.size_bytes = 0
        self._idle_bytes = 0
        self._functions: dict[FunctionId, _Function] = {}
        #: what was asked for while it was not here, longest ago first
        self._asking: OrderedDict[FunctionId, _Asked] = OrderedDict()
        #: all and only functions without users and holders, the one unused longest first
        self._idle: OrderedDict[FunctionId, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._functions)

    def _record(self, function: FunctionId) -> _Function:
        record = self._functions.get(function)
        if record is None:
            record = self._functions[function] = _Function()
            self._idle[function] = None
        return record

    def define(self, function: FunctionId, frames: tuple[Frame, ...]) -> list[Incarnation]:
        """Keep its bytes; returns the clusters that asked for them. Bytes that are here already stay."""
        record = self._record(function)
        if record.frames is None:
            record.frames = frames
            record.size_bytes = sum(len(frame) for frame in frames)
            self.size_bytes += record.size_bytes
            record.archives = archives_of(frames)
            if function in self._idle:
                self._idle_bytes += record.size_bytes
                self._trim()
            elif record.users:
                self._hold(record)
        asked = self._asking.pop(function, None)
        return list(asked.peers) if asked is not None else []

    def use(self, function: FunctionId, owner: Incarnation) -> None:
        """One more batch names it, of this client."""
        record = self._record(function)
        self._wake(function, record)
        record.users += 1
        record.named_by = owner
        if record.users == 1:
            self._hold(record)

    def release(self, function: FunctionId) -> None:
        """One batch fewer names it; the last one leaves it to the idle ones."""
        record = self._functions[function]
        record.users -= 1
        if record.users:
            return
        self._asking.pop(function, None)
        for archive in record.archives:
            held = self._functions[archive]
            held.holders -= 1
            self._rest(archive, held)
        self._rest(function, record)
        self._trim()

    def give_up(self, function: FunctionId, owner: Incarnation) -> None:
        """As `release`, by a batch whose client has left or dropped it: nothing is kept for its next one."""
        self.release(function)
        if function in self._idle and self._functions[function].named_by == owner:
            self._drop(function)

    def drop_idle(self, owner: Incarnation) -> None:
        """This client has left, or dropped all it had: nothing is kept for its next batch."""
        for function in [name for name in self._idle if self._functions[name].named_by == owner]:
            self._drop(function)

    def _hold(self, record: _Function) -> None:
        """What a function came with stays as long as it has users; what that came with is no matter."""
        for archive in record.archives:
            held = self._record(archive)
            self._wake(archive, held)
            held.holders += 1

    def _wake(self, function: FunctionId, record: _Function) -> None:
        if not record.users and not record.holders:
            del self._idle[function]
            self._idle_bytes -= record.size_bytes

    def _rest(self, function: FunctionId, record: _Function) -> None:
        if not record.users and not record.holders:
            self._idle[function] = None
            self._idle_bytes += record.size_bytes

    def _trim(self) -> None:
        # the newest stays whatever its size: it was sent for the batch that comes next
        while len(self._idle) > 1 and (self._idle_bytes > self._limit_bytes or len(self._idle) > _IDLE_FUNCTIONS):
            self._drop(next(iter(self._idle)))

    def _drop(self, function: FunctionId) -> None:
        del self._idle[function]
        size_bytes = self._functions.pop(function).size_bytes
        self._idle_bytes -= size_bytes
        self.size_bytes -= size_bytes

    def frames(self, function: FunctionId) -> tuple[Frame, ...] | None:
        """Its bytes, if they are here."""
        record = self._functions.get(function)
        return None if record is None else record.frames

    def bytes_of(self, function: FunctionId) -> int:
        """How many bytes of it are here, without what it came with."""
        record = self._functions.get(function)
        return 0 if record is None else record.size_bytes

    def ask(self, function: FunctionId, peer: Incarnation, owners: Sequence[Incarnation]) -> Incarnation:
        """A cluster wants bytes that are not here: it gets them when they are. It asks again if that takes too long.

        Returns which of those who should have them is to be asked: each time the one behind the last, who may not
        answer, or may never have had them.
        """
        asked = self._asking.setdefault(function, _Asked())
        asked.peers[peer] = None
        if len(self._asking) > _MOST_ASKED:
            self._asking.popitem(last=False)
        at = owners.index(asked.owner) + 1 if asked.owner in owners else 0
        asked.owner = owners[at % len(owners)]
        return asked.owner

    def check(self) -> None:
        """Idle are those that nobody needs, and their bytes are counted; what came with others is held by these."""
        needed = {name for name, record in self._functions.items() if record.users or record.holders}
        assert set(self._idle) == self._functions.keys() - needed
        held = Counter(archive for record in self._functions.values() if record.users for archive in record.archives)
        assert {name: record.holders for name, record in self._functions.items() if record.holders} == held
        assert self.size_bytes == sum(record.size_bytes for record in self._functions.values())
        assert self._idle_bytes == sum(self._functions[function].size_bytes for function in self._idle)
