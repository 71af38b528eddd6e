"""The functions a cluster and each of its workers have, and code that came with functions.

Functions are kept while there is room, and asked for when they are gone. Code lies where workers look for it; a worker
imports one content of a module in its life.
"""

from collections import OrderedDict

from scaler.ids import FunctionId, WorkerId
from scaler.protocol import NeedFunction
from scaler.protocol.code import NO_CODE, WHOSE, Code, code_of
from scaler.protocol.columns import Frame
from scaler.worker.agent_events import Define, Drop, DropCode, KeepCode
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_work import Run, Worker

#: bytes of functions kept, and of code; those in use are kept beyond it
KEPT_BYTES = 128 << 20
#: code lies here as it came, and beside that unpacked
_COPIES = 2
#: functions a worker keeps, and their bytes together; it has those that its tickets name beyond them
KEPT_AT_WORKER = 512
KEPT_AT_WORKER_BYTES = 64 << 20
#: what was asked for and did not come is asked for again
ASK_AGAIN_S = 5.0


class Functions:
    """Pickled functions by name, the one used longest ago first."""

    def __init__(self, outbox: Outbox, kept_bytes: int = KEPT_BYTES) -> None:
        self._outbox = outbox
        self._kept_bytes = kept_bytes
        self._frames: OrderedDict[FunctionId, tuple[Frame, ...]] = OrderedDict()
        self._size_bytes = 0
        #: the code that functions kept came with; none for most
        self._code: dict[FunctionId, Code] = {}
        #: code that is here, and its bytes as it came and unpacked, the one that came longest ago first
        self._archives: OrderedDict[FunctionId, int] = OrderedDict()
        #: workers that have functions, and may import at any time what those came with
        self._importers: dict[WorkerId, Worker] = {}
        #: code that was asked for and is not here, and a function it came with
        self._wanted: OrderedDict[FunctionId, FunctionId] = OrderedDict()
        #: runs that are not over, by function
        self._uses: dict[FunctionId, int] = {}
        #: runs whose function was asked for and is not here, or not all its code, in the order they came
        self._waiting: OrderedDict[FunctionId, list[Run]] = OrderedDict()
        #: when to ask again
        self._due: float | None = None

    def use(self, run: Run) -> None:
        """A run came: it has its function, or waits for it."""
        function = run.function
        self._uses[function] = self._uses.get(function, 0) + 1
        if function in self._waiting:
            self._waiting[function].append(run)
        elif function in self._frames and not self._lacking(function):
            run.has_function = True
            run.code = self._code.get(function, NO_CODE)
        else:
            self._waiting[function] = [run]
            self._ask(function)

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
                self._wait_no_more(function)

    def _wait_no_more(self, function: FunctionId) -> list[Run]:
        runs = self._waiting.pop(function)
        for archive, of in list(self._wanted.items()):
            if of == function:
                del self._wanted[archive]
                self._want_for_another(archive)
        return runs

    def _want_for_another(self, archive: FunctionId) -> None:
        """Code was asked for in the name of a function that nobody waits for any more: others may want it too."""
        for function in self._waiting:
            if any(archive == other for _, other in self._code.get(function, NO_CODE)):
                self._wanted[archive] = function
                return

    # ---- what is asked for

    def _lacking(self, function: FunctionId) -> list[FunctionId]:
        """The code of a function that is not here."""
        code = self._code.get(function, NO_CODE)
        return [archive for name, archive in code if name != WHOSE and archive not in self._archives]

    def _ask(self, function: FunctionId) -> None:
        """Ask for a function, or for what it lacks."""
        if function not in self._frames:
            self._outbox.say(NeedFunction(function))
            return
        for archive in self._lacking(function):
            if archive not in self._wanted:
                self._wanted[archive] = function
                self._outbox.say(NeedFunction(archive, function))

    def defined(self, function: FunctionId, frames: tuple[Frame, ...]) -> list[Run]:
        """A function arrived, or code that one came with; the runs that waited for it and have all now."""
        if self._wanted.pop(function, None) is not None:
            self._archives[function] = _COPIES * sum(map(len, frames))
            self._outbox.order(KeepCode(function, frames))
            self._make_room_for_code()
            candidates = [name for name in self._waiting if any(function == one for _, one in self._code.get(name, ()))]
        elif function in self._archives:
            return []
        else:
            self._keep(function, frames)
            candidates = [function] if function in self._waiting else []
        return [run for name in candidates for run in self._completed(name)]

    def _completed(self, function: FunctionId) -> list[Run]:
        """The runs that waited for a function, if all of it is here; else what it lacks is asked for."""
        if self._lacking(function):
            self._ask(function)
            return []
        runs = self._wait_no_more(function)
        for run in runs:
            run.has_function = True
            run.code = self._code.get(function, NO_CODE)
        return runs

    def ask_again(self) -> None:
        """Nobody remembers what was asked for before."""
        self._wanted.clear()
        for function in self._waiting:
            self._ask(function)

    def tick(self, now: float) -> None:
        """Ask again for what did not come: who was asked for it may be gone."""
        if not self._waiting:
            self._due = None
        elif self._due is None:
            self._due = now + ASK_AGAIN_S
        elif now >= self._due:
            self._due = now + ASK_AGAIN_S
            self.ask_again()

    def next_deadline(self) -> float | None:
        """When to ask again."""
        return self._due

    # ---- what is kept

    def _keep(self, function: FunctionId, frames: tuple[Frame, ...]) -> None:
        if function in self._frames:
            return
        self._size_bytes += sum(map(len, frames))
        self._frames[function] = frames
        if code := code_of(frames):
            self._code[function] = code
        self._make_room()

    def _make_room(self) -> None:
        if self._size_bytes <= self._kept_bytes:
            return
        newest = next(reversed(self._frames))
        for function in list(self._frames):
            if self._size_bytes <= self._kept_bytes:
                return
            if function not in self._uses and function != newest:
                self._size_bytes -= sum(map(len, self._frames.pop(function)))
                self._code.pop(function, None)

    def _make_room_for_code(self) -> None:
        """Let go of the oldest code that no run and no living worker needs.

        A function that is kept beside it asks for it again when it is used.
        """
        excess_bytes = sum(self._archives.values()) - self._kept_bytes
        if excess_bytes > 0:
            used = {archive for function in self._uses for _, archive in self._code.get(function, NO_CODE)}
            used.update(archive for worker in self._importers.values() for archive in worker.code.values())
            for archive in [archive for archive in self._archives if archive not in used]:
                excess_bytes -= self._archives.pop(archive)
                self._outbox.order(DropCode(archive))
                if excess_bytes <= 0:
                    return

    # ---- what workers have

    def provide(self, worker: Worker, function: FunctionId) -> None:
        """See to it that a worker has a function, for the ticket that comes next."""
        known = worker.functions
        if function in known:
            known.move_to_end(function)
            return
        self._frames.move_to_end(function)
        self._outbox.order(Define(worker.id, function, self._frames[function]))
        known[function] = size_bytes = sum(map(len, self._frames[function]))
        worker.function_bytes += size_bytes
        if code := self._code.get(function):
            worker.code.update(code)
            self._importers[worker.id] = worker
        if len(known) > KEPT_AT_WORKER or worker.function_bytes > KEPT_AT_WORKER_BYTES:
            self._make_room_at(worker, function)

    def ended(self, worker: WorkerId) -> None:
        """A worker is gone, and imports nothing any more."""
        if self._importers.pop(worker, None) is not None:
            self._make_room_for_code()

    def _make_room_at(self, worker: Worker, wanted: FunctionId) -> None:
        """Have a worker forget the functions it used longest ago; never one that a ticket of it names."""
        used = {ticket.run.function for ticket in worker.tickets.values()}
        known = worker.functions
        for function in [name for name in known if name not in used and name != wanted]:
            worker.function_bytes -= known.pop(function)
            self._outbox.order(Drop(worker.id, function))
            if len(known) <= KEPT_AT_WORKER and worker.function_bytes <= KEPT_AT_WORKER_BYTES:
                return

    def check(self, uses: dict[FunctionId, int]) -> None:
        """Every function in use is here or waited for; the sizes add up."""
        assert self._uses == uses
        assert self._size_bytes == sum(len(frame) for frames in self._frames.values() for frame in frames)
        assert self._code.keys() <= self._frames.keys()
        for function, runs in self._waiting.items():
            assert runs
            assert not any(run.has_function for run in runs)
            lacking = self._lacking(function)
            assert function not in self._frames or lacking
            assert all(archive in self._wanted for archive in lacking)
        assert all(self._waiting.get(function) for function in self._wanted.values())
        assert not self._archives.keys() & self._wanted.keys()
        assert all(function in self._frames or function in self._waiting for function in uses)
