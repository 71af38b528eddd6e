"""The functions a cluster and each of its workers have: kept while there is room, asked for when they are gone."""

from collections import OrderedDict

from scaler.ids import FunctionId
from scaler.protocol import NeedFunction
from scaler.protocol.columns import Frame
from scaler.worker.agent_events import Define, Drop
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_work import Run, Worker

#: bytes of functions kept; those in use are kept beyond it
KEPT_BYTES = 256 << 20
#: functions a worker keeps
KEPT_AT_WORKER = 512


class Functions:
    """Pickled functions by name, the one used longest ago first."""

    def __init__(self, outbox: Outbox, kept_bytes: int = KEPT_BYTES) -> None:
        self._outbox = outbox
        self._kept_bytes = kept_bytes
        self._frames: OrderedDict[FunctionId, tuple[Frame, ...]] = OrderedDict()
        self._size_bytes = 0
        #: runs that are not over, by function
        self._uses: dict[FunctionId, int] = {}
        #: runs whose function was asked for and is not here, in the order they came
        self._waiting: OrderedDict[FunctionId, list[Run]] = OrderedDict()

    def use(self, run: Run) -> None:
        """A run came: it has its function, or waits for it."""
        function = run.function
        self._uses[function] = self._uses.get(function, 0) + 1
        if function in self._frames:
            run.has_function = True
        elif function in self._waiting:
            self._waiting[function].append(run)
        else:
            self._waiting[function] = [run]
            self._outbox.say(NeedFunction(function))

    def release(self, run: Run) -> None:
        """A run has nothing more to be run here."""
        function = run.function
        uses = self._uses[function] - 1
        if uses:
            self._uses[function] = uses
        else:
            del self._uses[function]
        if not run.has_function:
            self._waiting[function].remove(run)
            if not self._waiting[function]:
                del self._waiting[function]

    def defined(self, function: FunctionId, frames: tuple[Frame, ...]) -> list[Run]:
        """A function arrived; the runs that waited for it."""
        if function not in self._frames:
            self._size_bytes += sum(map(len, frames))
            self._frames[function] = frames
            self._make_room()
        runs = self._waiting.pop(function, [])
        for run in runs:
            run.has_function = True
        return runs

    def _make_room(self) -> None:
        if self._size_bytes <= self._kept_bytes:
            return
        newest = next(reversed(self._frames))
        for function in list(self._frames):
            if self._size_bytes <= self._kept_bytes:
                return
            if function not in self._uses and function != newest:
                self._size_bytes -= sum(map(len, self._frames.pop(function)))

    def ask_again(self) -> None:
        """Nobody remembers what was asked for before."""
        for function in self._waiting:
            self._outbox.say(NeedFunction(function))

    def provide(self, worker: Worker, function: FunctionId) -> None:
        """See to it that a worker has a function, for the ticket that comes next."""
        known = worker.functions
        if function in known:
            known.move_to_end(function)
            return
        self._frames.move_to_end(function)
        self._outbox.order(Define(worker.id, function, self._frames[function]))
        known[function] = None
        if len(known) > KEPT_AT_WORKER:
            self._drop_one(worker, function)

    def _drop_one(self, worker: Worker, wanted: FunctionId) -> None:
        """Have a worker forget the function it used longest ago; never one that a ticket of it names."""
        used = {ticket.run.function for ticket in worker.tickets.values()}
        for function in worker.functions:
            if function not in used and function != wanted:
                del worker.functions[function]
                self._outbox.order(Drop(worker.id, function))
                return

    def check(self, uses: dict[FunctionId, int]) -> None:
        """Every function in use is here or waited for; the sizes add up."""
        assert self._uses == uses
        assert self._size_bytes == sum(len(frame) for frames in self._frames.values() for frame in frames)
        for function, runs in self._waiting.items():
            assert runs
            assert function not in self._frames
            assert not any(run.has_function for run in runs)
        assert all(function in self._frames or function in self._waiting for function in uses)
