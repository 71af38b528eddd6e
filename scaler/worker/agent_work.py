"""What the agent knows of its work: runs, the tickets they are cut into, and the workers that have the tickets.

Every sum over tickets is kept true here, where tickets change.
"""

import enum
from collections import OrderedDict, deque
from typing import NamedTuple

from msgspec.structs import replace

from scaler.core.runtimes import RunTimes
from scaler.ids import FunctionId, Incarnation, ObjectId, TicketId, WorkerId
from scaler.protocol import RunSpan
from scaler.protocol.code import NO_CODE, Code
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn, words
from scaler.protocol.inputs import Inputs
from scaler.ranges import RangeSet
from scaler.resources import GPU
from scaler.worker.agent_events import SlotView
from scaler.worker.agent_results import KeptResults

#: a slot that has been in one task for so long holds up whatever waits behind it
STUCK_S = 0.02
#: work by p95 that a slot may have behind the task it runs
LOOKAHEAD_NS = 20_000_000
_NOTHING = ArgumentColumn(0, 0, b"", ())
_NO_WORDS = words(b"")
_IDLE = SlotView(TicketId(0), 0, 0.0, TicketId(0), 0)


class Run:
    """One sending of a slice of a batch: every task of it is queued, out, or answered for."""

    __slots__ = (
        "batch", "cancelled", "code", "column", "function", "gpus", "has_ended", "has_function", "hi", "id", "inputs",
        "is_alone", "is_forgotten", "is_told", "kept", "lacks", "lo", "objects", "offsets", "options", "out", "queued",
        "root", "said", "stacks", "timed_out", "times",
    )  # fmt: skip

    def __init__(self, message: RunSpan, column: ArgumentColumn, times: RunTimes, inputs: Inputs | None = None) -> None:
        self.id = message.run
        self.batch = message.batch
        self.function = message.function
        self.options = message.options
        #: its task may take its host down, and whether the scheduler was told that it runs
        self.is_alone = message.alone
        self.is_told = False
        #: the client whose turn it is when it is served
        self.root = message.options.root or message.batch.owner
        #: how many devices a task of it is to see, or which part of one
        self.gpus = dict(message.options.resources).get(GPU, 0.0)
        self.lo = message.lo
        self.hi = message.hi
        self.column = column
        self.offsets = words(column.offsets)
        #: what its calls need of other tasks
        self.inputs = inputs
        self.times = times
        self.has_function = False
        #: the objects among its inputs, and at which positions they are; how many of them are not here
        self.objects: dict[ObjectId, list[int]] = {}
        self.lacks = 0
        #: the code its function came with, once that is here
        self.code = NO_CODE
        #: not given to any worker
        self.queued = RangeSet(((message.lo, message.hi),))
        #: tasks in tickets, or suspects, that have no outcome yet
        self.out = 0
        #: of those out: not wanted any more
        self.cancelled = RangeSet()
        #: of those out: interrupted as they ran too long
        self.timed_out = RangeSet()
        #: where some of those were, by index
        self.stacks: dict[int, str] = {}
        #: nobody hears of this run again
        self.is_forgotten = False
        #: every task of it has been answered for
        self.has_ended = False
        self.kept = KeptResults()
        #: of a call that every worker makes: what is to be answered for all of them, and where that was
        self.said: tuple[ResultColumn, str] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether all is here that it takes to run its tasks."""
        return self.has_function and not self.lacks

    def calls(self, lo: int, hi: int) -> ArgumentColumn:
        """The calls of [lo, hi). Of one that every worker makes there is one, whichever index a worker has."""
        return replace(self.column, lo=lo) if self.options.everywhere else self.column.slice(lo, hi)

    def end(self) -> None:
        """Every task of it has been answered for: the arguments are needed no more."""
        self.has_ended = True
        self.column = _NOTHING
        self.inputs = None
        self.offsets = _NO_WORDS

    def size_bytes(self, lo: int, hi: int) -> int:
        """What the calls of [lo, hi) take in a ticket."""
        size = self.offsets[hi - self.lo] - self.offsets[lo - self.lo] + 8 * (hi - lo)
        return size if self.inputs is None else size + self.inputs.size_bytes(lo - self.lo, hi - self.lo)

    def input_frames(self, lo: int, hi: int) -> tuple[Frame, ...]:
        """The values of other tasks that the calls of [lo, hi) need."""
        return () if self.inputs is None else self.inputs.slice(lo - self.lo, hi - self.lo)


class Ticket:
    """A slice of a run at one worker: [lo, next) is harvested, [next, hi) is still to come."""

    __slots__ = ("cost_ns", "hi", "id", "next", "run")

    def __init__(self, ticket: TicketId, run: Run, lo: int, hi: int, cost_ns: int) -> None:
        self.id = ticket
        self.run = run
        self.next = lo
        self.hi = hi
        #: what a task of it was expected to take at most
        self.cost_ns = cost_ns


class Limited:
    """A slot was told to leave its ticket early; from `certain_at` on nothing from `index` up can begin any more."""

    __slots__ = ("certain_at", "has_passed", "index", "ticket")

    def __init__(self, ticket: Ticket, index: int, certain_at: float) -> None:
        self.ticket = ticket
        self.index = index
        self.certain_at: float | None = certain_at
        #: the slot was seen elsewhere: whatever it ran of the ticket is in the ring
        self.has_passed = False


class Halt:
    """A task is being ended: it was interrupted, and is killed with its worker at `kill_at`."""

    __slots__ = ("index", "kill_at", "ticket")

    def __init__(self, ticket: TicketId, index: int, kill_at: float) -> None:
        self.ticket = ticket
        self.index = index
        self.kill_at = kill_at


class Parking:
    """A task that has waited for others: the slot is not its own while it does, nor does its timeout run."""

    __slots__ = ("index", "is_forced", "is_refused", "paused_s", "request", "since", "ticket")

    def __init__(self, ticket: TicketId, index: int) -> None:
        self.ticket = ticket
        self.index = index
        #: the number of the call in which it waits, 0 while it does not
        self.request = 0
        #: that call was told to raise
        self.is_refused = False
        #: what it has submitted could not begin
        self.is_forced = False
        #: since when it is parked; None while it is not
        self.since: float | None = None
        #: how long it has been parked before
        self.paused_s = 0.0

    @property
    def wants_no_slot(self) -> bool:
        """Whether it is to be parked."""
        return self.is_forced or (self.request > 0 and not self.is_refused)


class Slot:
    """One slot as it was seen last, and what it was told."""

    __slots__ = ("halt", "limited", "parking", "view")

    def __init__(self) -> None:
        self.view = _IDLE
        self.limited: Limited | None = None
        self.halt: Halt | None = None
        self.parking: Parking | None = None

    @property
    def is_parked(self) -> bool:
        """Whether the task in it has given it up for a while."""
        return self.parking is not None and self.parking.since is not None

    def times_out_at(self, timeout_s: float) -> float | None:
        """When the task in it will have run for so long; None while it is parked."""
        if self.parking is None:
            return self.view.since + timeout_s
        return None if self.is_parked else self.view.since + timeout_s + self.parking.paused_s


class Child:
    """A client inside a task: task `index` of `ticket`, its parent."""

    __slots__ = ("has_spoken", "index", "is_starving", "name", "ticket", "worker")

    def __init__(self, name: Incarnation, worker: WorkerId, ticket: Ticket, index: int) -> None:
        self.name = name
        self.worker = worker
        self.ticket = ticket
        self.index = index
        #: on the present link
        self.has_spoken = False
        #: nothing that it has submitted could begin
        self.is_starving = False

    @property
    def is_over(self) -> bool:
        """Whether its parent has ended, or is to run elsewhere."""
        return not self.ticket.next <= self.index < self.ticket.hi


class Counted(NamedTuple):
    """What of a worker is counted in its pool: slots with work that runs, and those with a task that is parked."""

    occupied: int
    parked: int


NOTHING_COUNTED = Counted(0, 0)


class Phase(enum.Enum):
    """Where in its life a worker is."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"  # its line is closed: it ends when it has nothing left
    KILLED = "killed"


#: with a future
ALIVE = (Phase.STARTING, Phase.READY)


class Seat:
    """A place for a worker, which one takes after another; the next may come before the one before it has ended."""

    __slots__ = ("devices", "is_spare", "is_up", "members", "name")

    def __init__(self, name: str, devices: tuple[str, ...], *, is_spare: bool = False) -> None:
        #: it is there for the slot of a task that is parked
        self.is_spare = is_spare
        #: what workers in it are called, if anything
        self.name = name
        #: the devices that the next worker in it is to see
        self.devices = devices
        #: those that have not ended, oldest first
        self.members: list[Worker] = []
        #: whether it is offered: a worker was ready in it, and if it is not now, another comes as planned
        self.is_up = False

    @property
    def is_vacant(self) -> bool:
        """Whether another worker is needed in it, other than as a spare."""
        return not self.is_spare and not any(
            worker.phase is Phase.KILLED or worker.will_take for worker in self.members
        )


class Worker:
    """One worker process."""

    __slots__ = (
        "ahead_ns", "calls", "children", "code", "counted", "devices", "done", "excess_bytes", "function_bytes",
        "functions", "given_at", "has_cancelled", "has_run", "has_unread", "id", "is_alone", "left", "looked_at",
        "most", "parked", "phase", "pid", "place", "seat", "slots", "started_at", "threads", "tickets",
    )  # fmt: skip

    def __init__(self, worker: WorkerId, seat: Seat, threads: int, place: str, now: float, most: int) -> None:
        self.id = worker
        self.seat = seat
        #: the devices it sees; where its seat has others meanwhile it takes nothing more
        self.devices = seat.devices
        self.pid = 0
        self.threads = threads
        self.place = f"{place}, worker {seat.name or worker}"
        self.phase = Phase.STARTING
        self.slots = [Slot() for _ in range(threads)]
        #: slots that the tasks in them have given up for a while
        self.parked = 0
        #: clients inside its tasks
        self.children: dict[Incarnation, Child] = {}
        #: given and not finished, in the order given
        self.tickets: OrderedDict[TicketId, Ticket] = OrderedDict()
        #: tasks in them that have no outcome yet
        self.left = 0
        #: what these may take, by the p95 known when they were given
        self.ahead_ns = 0
        #: calls that it has to make itself, as soon as a slot is free: run and index
        self.calls: deque[tuple[Run, int]] = deque()
        #: functions it has, and how large they are, the one used longest ago first; and all of them together
        self.functions: OrderedDict[FunctionId, int] = OrderedDict()
        self.function_bytes = 0
        #: the content of each module that came with these; it imports no other of the same name
        self.code: dict[str, FunctionId] = {}
        #: it runs a suspect, and nothing else until that is done
        self.is_alone = False
        #: tickets were given since its unread ones were last taken back
        self.has_unread = False
        #: it may have tasks in its tickets that are not wanted any more
        self.has_cancelled = False
        #: a result of it was harvested
        self.has_run = False
        #: tasks it may run in its life, and how many of them it has run
        self.most = most
        self.done = 0
        #: what the pool's sums have of it
        self.counted = NOTHING_COUNTED
        #: what memory it used when it was killed for that; 0 if it was not
        self.excess_bytes = 0
        self.started_at = now
        self.given_at = now
        self.looked_at = now

    @property
    def free(self) -> int:
        """Slots without a ticket; never below zero."""
        return max(0, self.threads - len(self.tickets))

    @property
    def budget(self) -> int:
        """How many tasks it may be given still."""
        left = self.most - self.done - self.left
        return max(0, left) if self.devices == self.seat.devices else 0

    @property
    def will_take(self) -> bool:
        """Whether it can be given tasks, now or once it has started."""
        return self.phase in ALIVE and self.budget > 0

    def may_import(self, code: Code) -> bool:
        """Whether it has imported, or will, no other content of any of these modules."""
        known = self.code
        return all(known.get(name, archive) == archive for name, archive in code)

    @property
    def is_replaceable(self) -> bool:
        """Whether it has nothing to do, and its seat has no other worker that has or will have."""
        others = (other for other in self.seat.members if other is not self)
        return not self.tickets and all(other.phase is Phase.RETIRING for other in others)

    @property
    def is_spent(self) -> bool:
        """Whether it has run all it may."""
        return not self.tickets and not self.budget

    @property
    def is_backed_up(self) -> bool:
        """Whether anything waits behind the tasks that run."""
        return self.left > min(len(self.tickets), self.threads)

    def moving(self, now: float) -> int:
        """Slots that are not held up in one task."""
        count = 0
        for slot in self.slots:
            if (
                slot.limited is None
                and not slot.is_parked
                and (not slot.view.ticket or now - slot.view.since <= STUCK_S)
            ):
                count += 1
        return count

    def give(self, ticket: Ticket, now: float) -> None:
        """A ticket is on its way."""
        self.given_at = now
        count = ticket.hi - ticket.next
        self.tickets[ticket.id] = ticket
        self.left += count
        self.ahead_ns += count * ticket.cost_ns
        ticket.run.out += count
        self.has_unread = True

    def finish(self, ticket: Ticket, hi: int) -> None:
        """The tasks of a ticket below `hi` have an outcome."""
        count = hi - ticket.next
        ticket.next = hi
        self.done += count
        self._less(ticket, count)

    def cut(self, ticket: Ticket, at: int) -> None:
        """The tasks of a ticket from `at` on are not this worker's any more."""
        count = ticket.hi - at
        ticket.hi = at
        self._less(ticket, count)

    def _less(self, ticket: Ticket, count: int) -> None:
        self.left -= count
        self.ahead_ns -= count * ticket.cost_ns
        ticket.run.out -= count
        if ticket.next >= ticket.hi:
            del self.tickets[ticket.id]
            self.is_alone = self.is_alone and bool(self.tickets)

    def runs(self, slot: Slot) -> Ticket | None:
        """The ticket of the task in a slot, if that task has no outcome yet."""
        view = slot.view
        ticket = self.tickets.get(view.ticket) if view.ticket else None
        return ticket if ticket is not None and ticket.next <= view.index < ticket.hi else None
