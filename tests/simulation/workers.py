"""The worker processes of one simulated cluster: what the shell, zygote and workers do, in simulated time."""

from collections.abc import Callable
from typing import Protocol

from scaler.ids import TicketId, WorkerId
from scaler.payload.nested import Standing
from scaler.protocol.columns import RAISED, REFERENCE, VALUE, Frame
from scaler.protocol.inputs import Inputs
from scaler.protocol.references import is_record, read_record
from scaler.worker import agent_events as agent
from scaler.worker.agent_result_events import AdoptResults, DropLeftovers, DropResults, ReadPiece, ReadResult
from tests.simulation.clock import Clock
from tests.simulation.objects import Laying, SimShelf
from tests.simulation.slots import Finished, Nested, SimWorker, Slot, Ticket, calls_of, take_pieces, view_of

START_S = 0.03
#: a worker calls its cluster so long after it finished something, or so long after it ran out of work
HARVEST_AFTER_S = 0.005
POKE_S = 0.0002
READ_S = 0.0001
KILL_S = 0.001
#: what takes less takes no time at all
INSTANT_S = 0.00002

#: a deadly task that submits others dies so late, when some of them are done
NESTED_KILL_S = 0.1

SIGKILL, SIGSEGV = -9, -11


class Nests(Protocol):
    """What knows of tasks that submit others."""

    def given(self, worker: SimWorker) -> None:
        """A worker that had nothing to do is given something."""
        ...

    def begin(self, worker: SimWorker, slot: Slot) -> Nested | None:
        """A task begins in a slot; what it does if it submits others."""
        ...


class Calls(Protocol):
    """What the calls do, and who is told that they do it."""

    def begins(self, call: bytes, worker: WorkerId) -> bool:
        """A call begins; whether it takes its worker down."""
        ...

    def is_given(self, call: bytes, inputs: list[bytes]) -> None:
        """It has come with these values of other tasks."""
        ...

    def seconds_of(self, call: bytes) -> float:
        """How long it takes."""
        ...

    def ends(self, call: bytes, worker: WorkerId) -> tuple[int, bytes]:
        """It ends by itself: its status and result."""
        ...

    def is_interrupted(self, call: bytes, worker: WorkerId) -> None:
        """It ends by an interrupt."""
        ...

    def dies(self, call: bytes, worker: WorkerId, *, was_asked: bool) -> None:
        """It ends with its worker."""
        ...


class SimWorkers:
    """All workers of one cluster; `call_up` wakes its shell, which then asks by `take_events` what has happened.

    A task that submits others goes on by itself, and tells by `end_nested` what it comes to.
    """

    def __init__(
        self,
        clock: Clock,
        slots: int,
        calls: Calls,
        call_up: Callable[[], None],
        nests: Nests | None = None,
        laying: Laying | None = None,
    ) -> None:
        self._clock = clock
        self._slots = slots
        self._calls = calls
        #: that some results are laid in the store of this cluster; None that none are
        self._laying = laying
        self._call_up = call_up
        self._nests = nests
        #: those whose end has not been told yet, too
        self.workers: dict[WorkerId, SimWorker] = {}
        self.shelf = SimShelf(laying)
        self._pids = 1000
        self._is_over = False
        self._news: list[tuple[Callable[[SimWorker], list[agent.Event]], SimWorker]] = []

    def take_events(self) -> list[agent.Event]:
        """What has happened, in order."""
        news, self._news = self._news, []
        return [event for told, worker in news for event in told(worker)]

    def tell(self, worker: SimWorker, events: list[agent.Event]) -> None:
        """Something has come up the lines of a worker."""
        self._note(worker, lambda _: events)

    def _note(self, worker: SimWorker, told: Callable[[SimWorker], list[agent.Event]]) -> None:
        self._news.append((told, worker))
        self._call_up()

    # ---- commands of the agent

    def perform(self, command: agent.Command) -> list[agent.Event]:
        """Do what the agent asks; what is answered in the same turn."""
        match command:
            case agent.Give(worker, ticket, run, function, options, column, batch, inputs):
                calls = calls_of(column)
                self._check_inputs(calls, inputs)
                standing = Standing(options.depth, options.priority, options.root or batch.owner, run.epoch)
                self._give(self.workers[worker], Ticket(ticket, column.lo, calls, batch, standing), function)
            case agent.Look(worker):
                return [self._harvest(self.workers[worker])]
            case agent.TakeBack(worker):
                return [self._take_back(self.workers[worker])]
            case agent.Limit(worker, slot, ticket, index):
                self.workers[worker].slots[slot].limit = (ticket, index)
            case agent.StartWorker(worker, _, devices, is_spare):
                self._pids += 1
                seen = tuple(devices.split(",")) if devices else ()
                slots = 1 if is_spare else self._slots
                self.workers[worker] = SimWorker(worker, self._pids, slots, seen)
                self._clock.after(START_S, lambda starting=self.workers[worker]: self._start(starting))
            case agent.KillWorker(worker):
                if self.workers[worker].is_up:  # one that has not started is killed when it has
                    self.workers[worker].killed = True
                    self._clock.after(KILL_S, lambda: self.kill(worker, SIGKILL))
            case agent.RetireWorker(worker):
                self.workers[worker].retiring = True
                self._end_if_idle(self.workers[worker])
            case agent.Define(worker, function, _):
                self.workers[worker].functions.add(function)
            case agent.Drop(worker, function):
                self.workers[worker].functions.discard(function)
            case agent.Interrupt(worker, slot, ticket, index):
                self._interrupt(self.workers[worker], slot, ticket, index)
            case agent.Answer() | agent.Tell() | agent.CloseChild():
                self._tell_nested(self.workers[command.worker], command)
            case agent.Hold() | agent.StorePiece() | agent.DropObject():
                return self.shelf.perform(command)
            case AdoptResults() | DropResults() | DropLeftovers() | ReadPiece() | ReadResult():
                return self.shelf.perform_on_results(command)
            case agent.Dump() | agent.KeepCode() | agent.DropCode():
                return []
            case agent.Say() | agent.Note() | agent.End():
                raise AssertionError(command)
        return []

    @staticmethod
    def _tell_nested(worker: SimWorker, command: agent.Answer | agent.Tell | agent.CloseChild) -> None:
        match command:
            case agent.Answer(_, slot, waits, granted):
                if (nested := worker.slots[slot].nested) is not None:
                    nested.answered(waits, is_granted=granted)
            case agent.Tell(_, child, message, frames):
                if (nested := worker.children.get(child)) is not None:
                    nested.told(message, frames)
            case agent.CloseChild(_, child):
                if (nested := worker.children.pop(child, None)) is not None:
                    nested.closed()

    def _check_inputs(self, calls: list[bytes], frames: tuple[Frame, ...]) -> None:
        inputs = Inputs.from_frames(len(calls), frames) if frames else None
        for number, call in enumerate(calls):
            need = inputs.needs[number] if inputs is not None else ()
            given = [bytes(inputs.values[position]) for position in need] if inputs else []
            for record in filter(is_record, given):
                self.shelf.check(read_record(record))
            self._calls.is_given(call, given)

    def _start(self, worker: SimWorker) -> None:
        if not self._is_over:
            worker.is_up = True
            self._note(worker, _started)
            self._read_soon(worker)

    def _give(self, worker: SimWorker, ticket: Ticket, function: bytes) -> None:
        assert function in worker.functions, "a ticket names a function the worker does not have"
        if self._nests is not None and worker.is_idle:
            self._nests.given(worker)
        worker.unread.append(ticket)
        worker.looks.given(self._clock.now)
        self._look_in_time(worker)
        self._read_soon(worker)

    def _read_soon(self, worker: SimWorker) -> None:
        if worker.is_up and not worker.is_reading:
            worker.is_reading = True
            self._clock.after(READ_S, lambda: self._feed(worker))

    def _take_back(self, worker: SimWorker) -> agent.TookBack:
        unread = tuple(ticket.ticket for ticket in worker.unread)
        worker.unread.clear()
        return agent.TookBack(worker.worker, unread)

    # ---- running

    def _feed(self, worker: SimWorker) -> None:
        worker.is_reading = False
        for slot in worker.slots:
            if worker.alive and slot.ticket is None and worker.unread:
                self._read(worker, slot)
                self._run(worker, slot)

    @staticmethod
    def _read(worker: SimWorker, slot: Slot) -> None:
        slot.ticket = worker.unread.popleft()
        slot.index = slot.ticket.lo

    def _run(self, worker: SimWorker, slot: Slot) -> None:
        """Go on in a slot until something takes time, or nothing is left to do."""
        while (ticket := slot.ticket) is not None:
            if slot.index >= ticket.hi or (slot.limit[0] == ticket.ticket and slot.index >= slot.limit[1]):
                self._leave(worker, slot, ticket)
            elif self._begin(worker, slot):
                return

    def _begin(self, worker: SimWorker, slot: Slot) -> bool:
        """Begin a call; whether it takes time."""
        slot.since = self._clock.now
        slot.number += 1
        call, number = slot.call, slot.number
        is_deadly = self._calls.begins(call, worker.worker)
        if self._nests is not None:
            slot.nested = self._nests.begin(worker, slot)
        if is_deadly:
            delay_s = KILL_S if slot.nested is None else NESTED_KILL_S
            self._clock.after(delay_s, lambda: self._fault(worker, slot, number))
            return True
        if slot.nested is not None:
            return True
        seconds = self._calls.seconds_of(call)
        if seconds >= INSTANT_S:
            self._clock.after(seconds, lambda: self._end(worker, slot, number))
            return True
        self._finish(worker, slot, seconds, *self._calls.ends(call, worker.worker))
        self._ask_harvest(worker, HARVEST_AFTER_S)
        return False

    def _leave(self, worker: SimWorker, slot: Slot, ticket: Ticket) -> None:
        """A ticket is done, or as much of it as was to be done."""
        slot.ended = (ticket.ticket, slot.index)
        slot.ticket = None
        if worker.unread:
            self._read(worker, slot)
            self._ask_harvest(worker, HARVEST_AFTER_S)
        else:
            self._ask_harvest(worker, POKE_S)
            self._end_if_idle(worker)

    def _fault(self, worker: SimWorker, slot: Slot, number: int) -> None:
        if worker.alive and slot.number == number:
            self.kill(worker.worker, SIGSEGV)

    def _end(self, worker: SimWorker, slot: Slot, number: int) -> None:
        if worker.alive and slot.number == number:
            status, data = self._calls.ends(slot.call, worker.worker)
            self._go_on(worker, slot, status, data)

    def _go_on(self, worker: SimWorker, slot: Slot, status: int, data: bytes) -> None:
        self._finish(worker, slot, self._clock.now - slot.since, status, data)
        self._ask_harvest(worker, HARVEST_AFTER_S)
        self._run(worker, slot)

    def end_nested(self, worker: SimWorker, slot: Slot, status: int, data: bytes) -> None:
        """The task in a slot, which submits others, has come to something."""
        self._go_on(worker, slot, status, data)

    def _finish(self, worker: SimWorker, slot: Slot, seconds: float, status: int, data: bytes) -> None:
        assert slot.ticket is not None
        if slot.nested is not None:
            nested, slot.nested = slot.nested, None
            nested.end(is_killed=False)
        if self._laying is not None and status == VALUE and self._laying.is_large(slot.call):
            status, data = REFERENCE, self.shelf.lay(worker.worker, data)
        if not slot.finished or slot.finished[-1].ticket != slot.ticket.ticket:
            slot.finished.append(Finished(slot.ticket.ticket, slot.index))
        finished = slot.finished[-1]
        slot.written += len(data)
        finished.statuses.append(status)
        finished.run_us.append(int(seconds * 1e6))
        finished.ends.append(slot.written)
        finished.data.append(data)
        slot.index += 1
        slot.number += 1
        slot.waits = 0

    def _interrupt(self, worker: SimWorker, slot: int, ticket: TicketId, index: int) -> None:
        aimed_at = worker.slots[slot]
        number = aimed_at.number
        if aimed_at.ticket is not None and (aimed_at.ticket.ticket, aimed_at.index) == (ticket, index):
            self._clock.after(KILL_S, lambda: self._interrupted(worker, aimed_at, number))

    def _interrupted(self, worker: SimWorker, slot: Slot, number: int) -> None:
        if worker.alive and slot.number == number:
            self._calls.is_interrupted(slot.call, worker.worker)
            self._go_on(worker, slot, RAISED, b"interrupted")

    def wait(self, worker: SimWorker, slot: Slot) -> None:
        """The task in a slot begins to wait for others, or goes on."""
        if slot.waits:
            slot.waits = 0
        else:
            slot.waited += 1
            slot.waits = slot.waited
        self._ask_harvest(worker, POKE_S)

    # ---- ends

    def kill(self, worker: WorkerId, exit_code: int) -> None:
        """The process dies here and now; its ring and unread tickets are there to be read."""
        known = self.workers.get(worker)
        if known is None or not known.alive or not known.is_up:
            return
        known.alive = False
        known.exit_code = exit_code
        for slot in known.slots:
            if slot.ticket is not None:
                self._calls.dies(slot.call, worker, was_asked=known.killed)
        _drop_nested(known)
        self._note(known, self._ended)

    def _ended(self, worker: SimWorker) -> list[agent.Event]:
        del self.workers[worker.worker]
        harvested = self._harvest(worker)
        unread = tuple(ticket.ticket for ticket in worker.unread)
        return [harvested, agent.WorkerEnded(worker.worker, worker.exit_code, "", harvested.slots, unread)]

    def vanish(self) -> None:
        """The cluster's process is gone, and every worker with it; nobody is left to be told."""
        self._is_over = True
        for worker in self.workers.values():
            worker.alive = False
            _drop_nested(worker)
        self.workers.clear()
        self._news.clear()

    def _end_if_idle(self, worker: SimWorker) -> None:
        if worker.retiring and worker.alive and worker.is_idle:
            self._clock.after(KILL_S, lambda: self.kill(worker.worker, 0))

    # ---- harvesting

    def _ask_harvest(self, worker: SimWorker, delay_s: float) -> None:
        due = self._clock.now + delay_s
        if worker.harvest_at is None or due < worker.harvest_at:
            worker.harvest_at = due
            self._clock.at(due, lambda: self._harvest_now(worker, due))

    def _harvest_now(self, worker: SimWorker, due: float) -> None:
        if worker.alive and worker.harvest_at == due:
            self._note(worker, self._harvest_asked)

    def _harvest_asked(self, worker: SimWorker) -> list[agent.Event]:
        # what was told of it meanwhile, for whatever reason, need not be told again
        return [] if worker.harvest_at is None else [self._harvest(worker)]

    def _harvest(self, worker: SimWorker) -> agent.Harvested:
        worker.harvest_at = None
        pieces = tuple([piece for slot in worker.slots for piece in take_pieces(slot)])
        worker.views = tuple(map(view_of, worker.slots))
        worker.looks.looked(self._clock.now, is_idle=worker.is_idle, is_news=True)
        self._look_in_time(worker)
        return agent.Harvested(worker.worker, pieces, worker.views)

    def _look_in_time(self, worker: SimWorker) -> None:
        due = worker.looks.due
        if due is not None and (worker.look_at is None or due < worker.look_at):
            worker.look_at = due
            self._clock.at(due, lambda: self._look_around(worker, due))

    def _look_around(self, worker: SimWorker, at: float) -> None:
        if not worker.alive or worker.look_at != at:
            return
        worker.look_at = None
        due = worker.looks.due
        if due is not None and due <= at:
            if any(slot.finished for slot in worker.slots) or worker.views != tuple(map(view_of, worker.slots)):
                self._ask_harvest(worker, 0.0)
                return
            worker.looks.looked(at, is_idle=worker.is_idle, is_news=False)
        self._look_in_time(worker)


def _started(worker: SimWorker) -> list[agent.Event]:
    return [agent.WorkerStarted(worker.worker, worker.pid)]


def _drop_nested(worker: SimWorker) -> None:
    """A process is gone: whatever its tasks have submitted is nobody's."""
    worker.children.clear()
    for slot in worker.slots:
        if slot.nested is not None:
            nested, slot.nested = slot.nested, None
            nested.end(is_killed=True)
