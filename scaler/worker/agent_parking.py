"""Parking: a task that waits for others gives its slot to a spare worker, and has no timeout while it waits.

It says so itself where the call it waits in is ours; else it is told so when what it has submitted cannot begin. When
its wait is over it simply goes on: one more runs than there are slots, until a worker has nothing left to do. Spares
that have been one too many for a while are ended.
"""

from scaler.worker.agent_balance import Balance
from scaler.worker.agent_events import Answer, SlotView
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_work import Child, Parking, Phase, Slot, Worker

#: a spare is kept for so long for the next task that waits
REST_S = 5.0


class ParkingPlace:
    """Decides which slots are parked."""

    def __init__(self, config: AgentConfig, pool: Pool, balance: Balance, outbox: Outbox) -> None:
        self._most = config.max_parked
        self._pool = pool
        self._balance = balance
        self._outbox = outbox
        #: since when there are more spares than parked tasks, and how many more there have been at least
        self._since: float | None = None
        self._surplus = 0

    def seen(self, worker: Worker, now: float) -> None:
        """The slots of a worker were looked at."""
        if worker.phase is not Phase.READY:
            return
        for number, slot in enumerate(worker.slots):
            if slot.view.waits or slot.parking is not None or worker.children:
                self._see(worker, number, slot, now)

    def _see(self, worker: Worker, number: int, slot: Slot, now: float) -> None:
        view, parking = slot.view, slot.parking
        is_forced = self._is_forced(worker, view)
        if parking is None or (parking.ticket, parking.index) != (view.ticket, view.index):
            wants = worker.runs(slot) is not None and (view.waits > 0 or is_forced)
            parking = Parking(view.ticket, view.index) if wants else None
        was_parked, slot.parking = slot.is_parked, parking
        if parking is not None:
            self._hear(worker, number, parking, view, is_forced=is_forced)
            self._keep_time(parking, now)
        if slot.is_parked is not was_parked:
            worker.parked += slot.is_parked - was_parked
            self._pool.note(worker)
            if slot.is_parked:
                self._free(worker, number, now)

    def _hear(self, worker: Worker, number: int, parking: Parking, view: SlotView, *, is_forced: bool) -> None:
        """What the task wants now, as far as there is room."""
        has_room = parking.since is not None or self._pool.parked < self._most
        if parking.request and not view.waits:  # it goes on, so it cannot be stuck
            for child in self._children_in(worker, view):
                child.is_starving = False
            is_forced = False
        parking.is_forced = is_forced and has_room
        if view.waits != parking.request:
            parking.request = view.waits
            parking.is_refused = not has_room
            if view.waits:
                self._outbox.order(Answer(worker.id, number, view.waits, has_room))

    @staticmethod
    def _keep_time(parking: Parking, now: float) -> None:
        if parking.wants_no_slot and parking.since is None:
            parking.since = now
        elif not parking.wants_no_slot and parking.since is not None:
            parking.paused_s += now - parking.since
            parking.since = None

    def _free(self, worker: Worker, number: int, now: float) -> None:
        """Give what lies behind a parked task to others."""
        self._balance.limit(worker, number, now)
        if worker.has_unread and worker.parked == worker.threads < len(worker.tickets):
            self._pool.take_back(worker)

    @staticmethod
    def _children_in(worker: Worker, view: SlotView) -> list[Child]:
        task = (view.ticket, view.index)
        return [child for child in worker.children.values() if (child.ticket.id, child.index) == task]

    def _is_forced(self, worker: Worker, view: SlotView) -> bool:
        return any(child.is_starving for child in self._children_in(worker, view))

    # ---- spares

    def tick(self, now: float) -> None:
        """End spares that nobody has needed for a while."""
        pool = self._pool
        surplus = pool.spares - pool.parked
        if surplus <= 0:
            self._since = None
        elif self._since is None:
            self._since, self._surplus = now, surplus
        else:
            self._surplus = min(self._surplus, surplus)
            if now >= self._since + REST_S:
                for worker in pool.idle_spares()[: self._surplus]:
                    pool.retire(worker)
                self._since = now
                self._surplus = pool.spares - pool.parked

    def next_deadline(self) -> float | None:
        """When to look at the spares."""
        return None if self._since is None or not self._pool.spares else self._since + REST_S
