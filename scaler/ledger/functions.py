"""The functions a ledger may be asked for: those its batches use, and some that none uses now."""

from collections import Counter, OrderedDict

from scaler.ids import FunctionId
from scaler.ledger.events import Command, Restored, Say
from scaler.protocol import DefineFunction
from scaler.protocol.code import archives_of
from scaler.protocol.columns import Frame

#: functions no batch uses are kept while there are at most so many, of at most so many bytes
IDLE_FUNCTIONS = 64
IDLE_BYTES = 64 << 20


class _Function:
    __slots__ = ("archives", "frames", "is_defined", "size_bytes", "uses")

    def __init__(self, frames: tuple[Frame, ...], archives: list[FunctionId]) -> None:
        self.frames = frames
        #: what it came with, as far as that is here too
        self.archives = archives
        self.size_bytes = sum(map(len, frames))
        self.uses = 0
        #: whether the present scheduler was told
        self.is_defined = False


class FunctionShelf:
    """Functions by name, and who still needs them."""

    def __init__(self) -> None:
        self._functions: dict[FunctionId, _Function] = {}
        #: all and only functions without uses, left longest ago first
        self._idle: OrderedDict[FunctionId, _Function] = OrderedDict()
        self._idle_bytes = 0

    def __contains__(self, function: FunctionId) -> bool:
        return function in self._functions

    def learn(self, function: FunctionId, frames: tuple[Frame, ...]) -> None:
        """Keep a function for the batch that follows, once what it came with is here; one that is known stays."""
        if function in self._functions:
            if function in self._idle:
                self._idle.move_to_end(function)
            return
        archives = [name for name in archives_of(frames) if name in self._functions]
        for name in archives:
            self.use(name)
        known = self._functions[function] = _Function(frames, archives)
        self._put_aside(function, known)

    def restored(self, event: Restored) -> None:
        """Batches of an earlier process are here again, with their functions."""
        for one in event.batches:
            self.learn(one.function, event.functions[one.function])
            self.use(one.function)

    def use(self, function: FunctionId) -> None:
        """One more batch names it."""
        known = self._functions[function]
        known.uses += 1
        if self._idle.pop(function, None) is not None:
            self._idle_bytes -= known.size_bytes

    def leave(self, function: FunctionId) -> None:
        """A batch that named it is over."""
        known = self._functions[function]
        known.uses -= 1
        if not known.uses:
            self._put_aside(function, known)

    def is_defined(self, function: FunctionId) -> bool:
        """Whether the present scheduler has it."""
        return self._functions[function].is_defined

    def frames(self, function: FunctionId) -> tuple[Frame, ...]:
        """The bytes of one that is known."""
        return self._functions[function].frames

    def define(self, function: FunctionId) -> list[Command]:
        """What is to be said now: what it came with, if that was not, and itself."""
        new = [name for name in self._functions[function].archives if not self.is_defined(name)]
        said: list[Command] = []
        for name in (*new, function):
            known = self._functions[name]
            known.is_defined = True
            said.append(Say(DefineFunction(name, known.size_bytes), known.frames))
        return said

    def clear(self) -> None:
        """Keep none that no batch names."""
        while self._idle:
            self._drop_oldest()

    def nobody_knows(self) -> None:
        """The present scheduler is a new one."""
        for known in self._functions.values():
            known.is_defined = False

    def check(self, uses: dict[FunctionId, int]) -> None:
        """Raise unless these are the uses, and what is idle has none."""
        used = Counter(name for known in self._functions.values() for name in known.archives) + Counter(uses)
        assert {name: known.uses for name, known in self._functions.items() if known.uses} == used
        assert set(self._idle) == {name for name, known in self._functions.items() if not known.uses}
        assert self._idle_bytes == sum(known.size_bytes for known in self._idle.values())

    def _put_aside(self, function: FunctionId, known: _Function) -> None:
        self._idle[function] = known
        self._idle_bytes += known.size_bytes
        while len(self._idle) > 1 and (len(self._idle) > IDLE_FUNCTIONS or self._idle_bytes > IDLE_BYTES):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        name, oldest = self._idle.popitem(last=False)
        self._idle_bytes -= oldest.size_bytes
        del self._functions[name]
        for archive in oldest.archives:
            self.leave(archive)
