"""Clients inside tasks: passes on what they say and are told, and says goodbye for those whose task is over.

A child speaks of what it has heard on the present link, or it is not passed on: another scheduler would not know what
it speaks of.
"""

from scaler.ids import Epoch, Incarnation
from scaler.protocol import ChildLinked, ChildSays, FromClient, Goodbye, ParkParent, TellChild
from scaler.protocol.columns import Frame
from scaler.worker.agent_events import ChildOpened, ChildSaid, CloseChild, Tell
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_work import Child, Worker


class Children:
    """Every client inside a task that has spoken up and is not over, by name."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox
        self._children: dict[Incarnation, Child] = {}
        #: the scheduler of the last link, and how many links there were
        self._epoch: Epoch | None = None
        self._links = 0

    # ---- what they do

    def opened(self, worker: Worker, event: ChildOpened) -> None:
        """A client wants to speak; too late if its task is over."""
        ticket = worker.tickets.get(event.ticket)
        child = None if ticket is None else Child(event.child, worker.id, ticket, event.index)
        if child is None or child.is_over or event.child in self._children:
            self._outbox.order(CloseChild(worker.id, event.child))
            return
        self._children[event.child] = worker.children[event.child] = child
        child.ticket.run.times.nests = True
        self._introduce(child)

    def said(self, event: ChildSaid) -> None:
        """Pass on what a client says."""
        child = self._children.get(event.child)
        if child is not None and event.link == self._links:
            child.has_spoken = True
            self._say(child, event.message, event.frames)

    def _say(self, child: Child, message: FromClient, frames: tuple[Frame, ...] = ()) -> None:
        self._outbox.say(ChildSays(child.name, child.ticket.run.id, child.index, message), frames)

    def closed(self, worker: Worker, name: Incarnation) -> None:
        """A client says no more."""
        child = worker.children.get(name)
        if child is not None:
            self._end(worker, child, "it has closed its line")
            self._outbox.order(CloseChild(worker.id, name))

    # ---- what they are told

    def told(self, message: TellChild, frames: tuple[Frame, ...]) -> None:
        """Pass on what the scheduler says to one."""
        child = self._children.get(message.child)
        if child is not None:
            self._outbox.order(Tell(child.worker, child.name, message.message, frames))

    def park(self, message: ParkParent) -> None:
        """What a child has submitted cannot begin, or nothing of it is left: its parent is looked at."""
        child = self._children.get(message.child)
        if child is not None:
            child.is_starving = message.parked
            self._pool.look(self._pool.workers[child.worker])

    def linked(self, epoch: Epoch) -> None:
        """A new link stands: everybody begins anew."""
        self._epoch = epoch
        self._links += 1
        for child in self._children.values():
            child.has_spoken = child.is_starving = False
            self._introduce(child)

    def _introduce(self, child: Child) -> None:
        if self._epoch is not None:
            self._outbox.order(Tell(child.worker, child.name, ChildLinked(self._epoch, self._links)))

    # ---- their end

    def seen(self, worker: Worker) -> None:
        """The slots of a worker were looked at: the children of tasks that are over go with them."""
        for child in [child for child in worker.children.values() if child.is_over]:
            self._end(worker, child, "its task has ended")
            self._outbox.order(CloseChild(worker.id, child.name))

    def ended(self, worker: Worker) -> None:
        """A worker is gone, and all that was in it."""
        for child in list(worker.children.values()):
            self._end(worker, child, "its worker has ended")

    def _end(self, worker: Worker, child: Child, reason: str) -> None:
        del self._children[child.name], worker.children[child.name]
        if child.has_spoken:
            self._say(child, Goodbye(reason))

    def check(self) -> None:
        """Every child is known by its worker, and its task is not over."""
        known = [child for worker in self._pool.workers.values() for child in worker.children.values()]
        assert {child.name: child for child in known} == self._children
        for child in known:
            assert child.ticket is self._pool.workers[child.worker].tickets.get(child.ticket.id), child.name
