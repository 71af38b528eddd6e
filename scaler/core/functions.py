"""The functions batches name, and code that came with them: opaque bytes, kept while named and a while longer."""

from collections import OrderedDict

from scaler.ids import FunctionId, Incarnation
from scaler.protocol.columns import Frame

#: Functions that no batch names, however small.
_IDLE_FUNCTIONS = 4096
#: so many are asked for at once
_MOST_ASKED = 10_000


class _Function:
    """One function: who names it, and its bytes if they are here."""

    __slots__ = ("frames", "size_bytes", "users")

    def __init__(self) -> None:
        self.frames: tuple[Frame, ...] | None = None
        self.size_bytes = 0
        #: batches that name it
        self.users = 0


class FunctionTable:
    """Every function some batch names, and the ones used lately."""

    def __init__(self, idle_bytes: int) -> None:
        self._limit_bytes = idle_bytes
        self._idle_bytes = 0
        self._functions: dict[FunctionId, _Function] = {}
        #: clusters that asked for bytes while they were not here, what was asked for longest ago first
        self._asking: OrderedDict[FunctionId, dict[Incarnation, None]] = OrderedDict()
        #: all and only functions no batch names, the one unused longest first
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
            if not record.users:
                self._idle_bytes += record.size_bytes
                self._trim()
        return list(self._asking.pop(function, ()))

    def use(self, function: FunctionId) -> None:
        """One more batch names it."""
        record = self._record(function)
        if not record.users:
            del self._idle[function]
            self._idle_bytes -= record.size_bytes
        record.users += 1

    def release(self, function: FunctionId) -> None:
        """One batch fewer names it; the last one leaves it to the idle ones."""
        record = self._functions[function]
        record.users -= 1
        if not record.users:
            self._asking.pop(function, None)
            self._idle[function] = None
            self._idle_bytes += record.size_bytes
            self._trim()

    def _trim(self) -> None:
        # the newest stays whatever its size: it was sent for the batch that comes next
        while len(self._idle) > 1 and (self._idle_bytes > self._limit_bytes or len(self._idle) > _IDLE_FUNCTIONS):
            function, _ = self._idle.popitem(last=False)
            self._idle_bytes -= self._functions.pop(function).size_bytes

    def frames(self, function: FunctionId) -> tuple[Frame, ...] | None:
        """Its bytes, if they are here."""
        record = self._functions.get(function)
        return None if record is None else record.frames

    def ask(self, function: FunctionId, peer: Incarnation) -> None:
        """A cluster wants bytes that are not here: it gets them when they are. It asks again if that takes too long."""
        self._asking.setdefault(function, {})[peer] = None
        if len(self._asking) > _MOST_ASKED:
            self._asking.popitem(last=False)

    def check(self) -> None:
        """Idle are those without users, and their bytes are counted."""
        assert set(self._idle) == {function for function, record in self._functions.items() if not record.users}
        assert self._idle_bytes == sum(self._functions[function].size_bytes for function in self._idle)
