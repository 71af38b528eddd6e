"""What a simulated worker has: slots, the tickets in them, and what they finished, as the cluster finds it."""

from array import array
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from scaler.ids import BatchId, Incarnation, TicketId, WorkerId
from scaler.payload.nested import Standing
from scaler.protocol import ToChild
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn, words
from scaler.worker import agent_events as agent
from scaler.worker.looks import Looks


class Nested(Protocol):
    """A task that submits tasks, as its slot sees it."""

    def answered(self, waits: int, *, is_granted: bool) -> None:
        """The cluster has answered the wait with this number."""
        ...

    def told(self, message: ToChild, frames: tuple[Frame, ...]) -> None:
        """Its client is told something."""
        ...

    def closed(self) -> None:
        """The line of its client has ended."""
        ...

    def end(self, *, is_killed: bool) -> None:
        """It has ended, with its process or before it."""
        ...


@dataclass(slots=True)
class Ticket:
    """Work at a worker."""

    ticket: TicketId
    lo: int
    calls: list[bytes]
    batch: BatchId
    #: where the tasks in it stand among others
    standing: Standing

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
    #: the number of the wait that the task is in, and how many there were in this slot
    waits: int = 0
    waited: int = 0
    #: the task in it, if it submits others
    nested: Nested | None = None
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
        #: the tasks whose clients are heard, by the names of these
        self.children: dict[Incarnation, Nested] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing will happen before it is given something."""
        if self.unread:
            return False
        for slot in self.slots:  # noqa: SIM110  # a generator takes longer, and this is asked all the time
            if slot.ticket is not None:
                return False
        return True


def calls_of(column: ArgumentColumn) -> list[bytes]:
    """The calls of a column, one by one."""
    data, offsets = bytes(column.data[0]), words(column.offsets).tolist()
    base = offsets[0]
    return [data[lo - base : hi - base] for lo, hi in pairwise(offsets)]


def view_of(slot: Slot) -> agent.SlotView:
    """What the words of a slot say."""
    ended, limit = slot.ended
    if slot.ticket is None:
        return agent.SlotView(TicketId(0), 0, 0.0, ended, limit)
    return agent.SlotView(slot.ticket.ticket, slot.index, slot.since, ended, limit, slot.waits)


def take_pieces(slot: Slot) -> list[agent.Piece]:
    """Empty the ring of a slot."""
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
