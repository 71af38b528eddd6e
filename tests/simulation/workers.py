"""The worker processes of one simulated cluster: what the shell, zygote and workers do, in simulated time."""

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from scaler.ids import TicketId, WorkerId
from scaler.protocol.columns import RAISED, ArgumentColumn, Frame, ResultColumn, words
from scaler.protocol.inputs import Inputs
from scaler.worker import agent_events as agent
from scaler.worker.looks import Looks
from tests.simulation.clock import Clock

START_S = 0.03
#: a worker calls its cluster so long after it finished something, or so long after it ran out of work
HARVEST_AFTER_S = 0.005
POKE_S = 0.0002
READ_S = 0.0001
KILL_S = 0.001
#: what takes less takes no time at all
INSTANT_S = 0.00002

SIGKILL, SIGSEGV = -9, -11


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


@dataclass(slots=True)
class Ticket:
    """Work at a worker."""

    ticket: TicketId
    lo: int
    calls: list[bytes]

    @property
    def hi(self) -> int:
        return self.lo + len(self.calls)


class Finished:
    """What a slot finished of one ticket since the last harvest, as it lies in the ring."""

    __slots__ = ("data", "ends", "lo", "run_us", "statuses", "ticket")

    def __init__(self, ticket: TicketId, lo: int) -> None:
        self.ticket = ticket
        self.lo = lo
        self.statuses = bytearray()
        self.run_us = array("I")
        self.ends = array("Q")
        self.data: list[bytes] = []


@dataclass(slots=True)
class Slot:
    """One slot: what it runs, where a limit stops it, and what it finished since the last harvest."""

    ticket: Ticket | None = None
    index: int = 0
    since: float = 0.0
    limit: tuple[int, int] = (0, 0)
    ended: tuple[TicketId, int] = (TicketId(0), 0)
    #: counts what began, so that an end is not mistaken for another's
    number: int = 0
    finished: list["Finished"] = field(default_factory=list)
    #: the number of the wait that the task is in
    waits: int = 0
    #: bytes ever written, and ever harvested
    written: int = 0
    base: int = 0

    @property
    def call(self) -> bytes:
        """What runs."""
        assert self.ticket is not None
        return self.ticket.calls[self.index - self.ticket.lo]


class SimWorker:
    """One worker process."""

    def __init__(self, worker: WorkerId, pid: int, slots: int, devices: tuple[str, ...]) -> None:
        self.worker = worker
        self.pid = pid
        #: those it sees
        self.devices = devices
        #: it has started; tickets may have come before
        self.is_up = False
        self.slots = [Slot() for _ in range(slots)]
        self.unread: deque[Ticket] = deque()
        self.functions: set[bytes] = set()
        self.alive = True
        self.retiring = False
        self.killed = False
        self.is_reading = False
        self.exit_code = 0
        #: when its next call is heard
        self.harvest_at: float | None = None
        #: when the cluster looks though it was not called, by the real rule
        self.looks = Looks()
        self.look_at: float | None = None
        self.views: tuple[agent.SlotView, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether nothing will happen before it is given something."""
        if self.unread:
            return False
        for slot in self.slots:  # noqa: SIM110  # a generator takes longer, and this is asked all the time
            if slot.ticket is not None:
                return False
        return True


class SimWorkers:
    """All workers of one cluster; `call_up` wakes its shell, which then asks by `take_events` what has happened."""

    def __init__(self, clock: Clock, slots: int, calls: Calls, call_up: Callable[[], None]) -> None:
        self._clock = clock
        self._slots = slots
        self._calls = calls
        self._call_up = call_up
        #: those whose end has not been told yet, too
        self.workers: dict[WorkerId, SimWorker] = {}
        self._pids = 1000
        self._is_over = False
        self._news: list[tuple[Callable[[SimWorker], list[agent.Event]], SimWorker]] = []

    def take_events(self) -> list[agent.Event]:
        """What has happened, in order."""
        news, self._news = self._news, []
        return [event for told, worker in news for event in told(worker)]

    def _note(self, worker: SimWorker, told: Callable[[SimWorker], list[agent.Event]]) -> None:
        self._news.append((told, worker))
        self._call_up()

    # ---- commands of the agent

    def perform(self, command: agent.Command) -> list[agent.Event]:
        """Do what the agent asks; what is answered in the same turn."""
        match command:
            case agent.Give(worker, ticket, _, function, _, column, _, inputs):
                calls = _calls(column)
                self._check_inputs(calls, inputs)
                self._give(self.workers[worker], Ticket(ticket, column.lo, calls), function)
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
            case agent.Dump() | agent.KeepCode() | agent.DropCode():
                return []
            case agent.Say() | agent.Note() | agent.End():
                raise AssertionError(command)
        return []

    def _check_inputs(self, calls: list[bytes], frames: tuple[Frame, ...]) -> None:
        inputs = Inputs.from_frames(len(calls), frames) if frames else None
        for number, call in enumerate(calls):
            need = inputs.needs[number] if inputs is not None else ()
            self._calls.is_given(call, [bytes(inputs.values[position]) for position in need] if inputs else [])

    def _start(self, worker: SimWorker) -> None:
        if not self._is_over:
            worker.is_up = True
            self._note(worker, _started)
            self._read_soon(worker)

    def _give(self, worker: SimWorker, ticket: Ticket, function: bytes) -> None:
        assert function in worker.functions, "a ticket names a function the worker does not have"
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
        if self._calls.begins(call, worker.worker):
            self._clock.after(KILL_S, lambda: self._fault(worker, slot, number))
            return True
        seconds = self._calls.seconds_of(call)
        if seconds >= INSTANT_S:
            self._clock.after(seconds, lambda: self._end(worker, slot, number))
            return True
        self._finish(slot, seconds, *self._calls.ends(call, worker.worker))
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
        self._finish(slot, self._clock.now - slot.since, status, data)
        self._ask_harvest(worker, HARVEST_AFTER_S)
        self._run(worker, slot)

    @staticmethod
    def _finish(slot: Slot, seconds: float, status: int, data: bytes) -> None:
        assert slot.ticket is not None
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
        slot.waits = 0 if slot.waits else slot.number + 1
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
        pieces = tuple([piece for slot in worker.slots for piece in _take_pieces(slot)])
        worker.views = tuple(map(_view, worker.slots))
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
            if any(slot.finished for slot in worker.slots) or worker.views != tuple(map(_view, worker.slots)):
                self._ask_harvest(worker, 0.0)
                return
            worker.looks.looked(at, is_idle=worker.is_idle, is_news=False)
        self._look_in_time(worker)


def _started(worker: SimWorker) -> list[agent.Event]:
    return [agent.WorkerStarted(worker.worker, worker.pid)]


def _calls(column: ArgumentColumn) -> list[bytes]:
    data, offsets = bytes(column.data[0]), words(column.offsets).tolist()
    base = offsets[0]
    return [data[lo - base : hi - base] for lo, hi in pairwise(offsets)]


def _view(slot: Slot) -> agent.SlotView:
    ended, limit = slot.ended
    if slot.ticket is None:
        return agent.SlotView(TicketId(0), 0, 0.0, ended, limit)
    return agent.SlotView(slot.ticket.ticket, slot.index, slot.since, ended, limit, slot.waits)


def _take_pieces(slot: Slot) -> list[agent.Piece]:
    pieces = []
    for finished in slot.finished:
        data = b"".join(finished.data)
        column = ResultColumn(
            lo=finished.lo,
            count=len(finished.statuses),
            base=slot.base,
            statuses=bytes(finished.statuses),
            run_us=finished.run_us.tobytes(),
            ends=finished.ends.tobytes(),
            costs=b"",
            data=(data,),
        )
        slot.base += len(data)
        pieces.append(agent.Piece(finished.ticket, column))
    slot.finished.clear()
    return pieces


def results_of(column: ResultColumn) -> list[tuple[int, int, bytes]]:
    """(index, status, bytes) of each outcome in a column."""
    data = b"".join(column.data)
    base = column.base
    ends = words(column.ends).tolist()
    parts = [data[lo - base : hi - base] for lo, hi in pairwise([base, *ends])]
    return list(zip(range(column.lo, column.hi), bytes(column.statuses), parts, strict=True))
