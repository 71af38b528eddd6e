"""Where in their batches a worker's tickets begin: its board speaks of offsets, the agent of indices. Pure.

Tickets are read in the order they were given, and each slot runs those it read in that order. So a slot that was seen
at a ticket is done with all its earlier ones, and their results lie in its ring before those of the later ticket.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from scaler.ids import BatchId, Incarnation, TaskId, TicketId
from scaler.worker.agent_events import SlotView
from scaler.worker.source import Source

_NO_BATCH = BatchId(Incarnation(0), 0)


#: so many batches are remembered whose tickets are all forgotten: what they have printed may come yet
_MOST_PAST = 1024


@dataclass(slots=True)
class _Printing:
    """A batch as what it prints is told of, and how many of its tickets may have printed what is not read yet."""

    name: str
    viewer: Incarnation | None
    tickets: int = 0


@dataclass(slots=True)
class _Given:
    number: int
    first: int
    batch: BatchId
    printing: _Printing
    #: whether all it has printed is read
    is_quiet: bool = False


@dataclass(slots=True)
class _SlotTickets:
    """What is known of one slot."""

    #: the latest ticket it was seen at, whose earlier ones are all forgotten
    latest: TicketId | None = None
    #: where it ended the one it left last
    ended: tuple[TicketId, int] = (TicketId(0), 0)
    ended_index: int = 0
    #: the tickets that its words named at the last look, the results of which may not have been harvested then
    named: list[TicketId] = field(default_factory=list)


class Tickets:
    """The tickets given to one worker and not left behind by it."""

    def __init__(self, slots: int) -> None:
        #: in the order they were given
        self._given: OrderedDict[TicketId, _Given] = OrderedDict()
        self._count = 0
        #: all and only batches of tickets that are not quiet, and some whose tickets are forgotten, the oldest first
        self._printing: dict[BatchId, _Printing] = {}
        self._past: OrderedDict[BatchId, _Printing] = OrderedDict()
        self._slots = [_SlotTickets() for _ in range(slots)]

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._given)

    def __contains__(self, ticket: TicketId) -> bool:
        return ticket in self._given

    def give(
        self,
        ticket: TicketId,
        first: int,
        batch: BatchId = _NO_BATCH,
        name: str = "",
        viewer: Incarnation | None = None,
    ) -> None:
        """A ticket whose calls are those of a batch from index `first` on is on its way; `name` is the function's.

        `viewer` is to see what they print.
        """
        self._count += 1
        printing = self._printing.get(batch) or self._past.pop(batch, None) or _Printing(name, viewer)
        self._given[ticket] = _Given(self._count, first, batch, printing)
        self._printing[batch] = printing
        printing.tickets += 1

    def take_back(self, tickets: Iterable[TicketId]) -> None:
        """These will not be run."""
        for ticket in tickets:
            self._forget(ticket)

    def _forget(self, ticket: TicketId) -> None:
        given = self._given.pop(ticket)
        if self._quieten(given):
            self._past[given.batch] = given.printing
            if len(self._past) > _MOST_PAST:
                self._past.popitem(last=False)

    def _quieten(self, given: _Given) -> bool:
        """Count a ticket no more among those of its batch that may have printed; whether it was the last of them."""
        if given.is_quiet:
            return False
        given.is_quiet = True
        given.printing.tickets -= 1
        if given.printing.tickets:
            return False
        del self._printing[given.batch]
        return True

    def has_read_output(self) -> None:
        """All is read that was printed before the last look: what was over then prints nothing more."""
        for known in self._slots:
            if (given := self._given.get(known.ended[0])) is not None:
                self._quieten(given)
        self._past.clear()

    def index(self, ticket: TicketId, offset: int) -> int:
        """The index in the batch of a task of a ticket."""
        return self._given[ticket].first + offset

    def source(self, ticket: TicketId, offset: int) -> Source | None:
        """A task of a ticket as what it prints is told of; None if nothing is known of the ticket any more."""
        given = self._given.get(ticket)
        if given is None:
            return None
        return Source(given.batch, given.first + offset, given.printing.name, given.printing.viewer)

    def printed(self, task: TaskId) -> Source | None:
        """A task that is said to have printed something; None if nothing of its batch can have, here and now."""
        known = self._printing.get(task.batch) or self._past.get(task.batch)
        return None if known is None else Source(task.batch, task.index, known.name, known.viewer)

    def look(
        self,
        slot: int,
        harvested: Iterable[TicketId],
        current: tuple[TicketId, int],
        since: float,
        ended: tuple[TicketId, int],
        waits: int = 0,
    ) -> SlotView:
        """A slot's words in the agent's terms, read just after its ring was emptied of results of these tickets.

        `current` is (0, 0) while the slot is idle, `waits` the number of the wait that its task is in.
        """
        known = self._slots[slot]
        if ended != known.ended:
            known.ended, known.ended_index = ended, self.index(*ended)
        ticket, offset = current
        index = self.index(ticket, offset) if ticket else 0
        self._move_on(known, [*known.named, *harvested])
        known.named = [one for one in (ended[0], ticket) if one in self._given]
        return SlotView(ticket, index, since, ended[0], known.ended_index, waits)

    def _move_on(self, known: _SlotTickets, seen: Iterable[TicketId]) -> None:
        """All results of these but the latest of them have been harvested."""
        candidates = {one for one in (known.latest, *seen) if one is not None and one in self._given}
        if not candidates:
            return
        latest = max(candidates, key=lambda one: self._given[one].number)
        if latest == known.latest:
            return
        known.latest = latest
        for ticket in candidates - {latest}:
            self._forget(ticket)
        self._drop_skipped()

    def _drop_skipped(self) -> None:
        """What every slot is past was stopped before its first task, unseen."""
        latest = [known.latest for known in self._slots if known.latest is not None]
        if len(latest) == len(self._slots):
            oldest = min(self._given[ticket].number for ticket in latest)
            while self._given[first := next(iter(self._given))].number < oldest:
                self._forget(first)

    def are_all_ended(self) -> bool:
        """Whether every ticket has been seen to be left."""
        return self._given.keys() <= {known.ended[0] for known in self._slots}
