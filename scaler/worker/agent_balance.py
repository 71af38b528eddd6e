"""Taking work from workers that are held up, or that have some ahead while others stand idle.

Unread tickets are read back from the line. A slot that is held up in one task is limited to it; a little later what was
behind that task in its ticket is the agent's again. A task that has begun is never moved.
"""

from scaler.worker.agent_events import Limit
from scaler.worker.agent_everywhere import call, is_to_be_made
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import STUCK_S, Limited, Phase, Slot, Ticket, Worker

#: the same as STUCK_S while others stand idle
STUCK_BESIDE_IDLE_S = 0.005
#: work ahead of each slot that is worth taking back for slots that stand idle
WORTH_NS = 2_000_000
#: a limit that a slot has not met after this time will be met: the store has arrived
CERTAIN_S = 0.002


class Balance:
    """Looks at workers that have something behind what they run."""

    def __init__(self, runs: Runs, pool: Pool, outbox: Outbox) -> None:
        self._runs = runs
        self._pool = pool
        self._outbox = outbox
        #: when a worker that has something behind may be held up; at most one patience later than that
        self._due: float | None = None
        self._is_beside_idle = False
        #: when the first of the limits is certain; never later than that
        self._certain_at: float | None = None

    def next_deadline(self) -> float | None:
        """When to look again."""
        if self._due is None or self._certain_at is None:
            return self._certain_at if self._due is None else self._due
        return min(self._due, self._certain_at)

    # ---- what to take

    def level(self, now: float) -> None:
        """Ask for what others can do sooner; called when all that could be given was given."""
        pool = self._pool
        if self._certain_at is not None and now >= self._certain_at:
            self._look_at_limited(now)
        if not pool.backed_up:
            self._due = None
            return
        is_beside_idle = pool.room > 0 and bool(pool.idle) and not self._runs.queue.tasks
        if self._due is None or is_beside_idle != self._is_beside_idle:
            self._is_beside_idle = is_beside_idle
            self._due = now
        if now >= self._due:
            self._due = min([self._level_one(worker, now) for worker in pool.backed_up.values()])

    def _level_one(self, worker: Worker, now: float) -> float:
        """Take from one worker if it is time; when to look at it again."""
        patience_s = STUCK_BESIDE_IDLE_S if self._is_beside_idle else STUCK_S
        since = self._since(worker)
        if worker.has_unread and self._is_beside_idle and self._has_plenty(worker, now):
            self._pool.take_back(worker)
            return now + patience_s
        if now < since + patience_s:
            return since + patience_s
        if worker.looked_at < now:
            self._pool.look(worker)
            return now
        if worker.has_unread:
            self._pool.take_back(worker)
        for number, slot in enumerate(worker.slots):
            if slot.view.ticket and now >= slot.view.since + patience_s:
                self.limit(worker, number, now)
        return now + patience_s

    def _since(self, worker: Worker) -> float:
        """Since when a worker may be held up: the begin of the task it has been in for longest, as far as is known."""
        at_work = [slot for slot in worker.slots if slot.view.ticket and not slot.is_parked]
        busy = [slot.view.since for slot in at_work if slot.limited is None]
        return min(busy, default=max(worker.given_at, worker.looked_at))

    def _has_plenty(self, worker: Worker, now: float) -> bool:
        """Whether what waits unread at a worker is worth the way; what it has done since it was seen is guessed."""
        done_ns = int((now - worker.looked_at) * 1e9)
        return len(worker.tickets) > worker.threads and worker.ahead_ns // worker.threads - done_ns > WORTH_NS

    # ---- limits

    def limit(self, worker: Worker, number: int, now: float) -> None:
        """Have a slot leave its ticket behind the task it runs, if there is more in it."""
        slot = worker.slots[number]
        ticket, index = worker.runs(slot), slot.view.index + 1
        if slot.limited is None and ticket is not None and index < ticket.hi:
            slot.limited = Limited(ticket, index, now + CERTAIN_S)
            self._outbox.order(Limit(worker.id, number, ticket.id, index))
            if self._certain_at is None:
                self._certain_at = now + CERTAIN_S

    def seen(self, worker: Worker, now: float) -> None:
        """The slots of a worker were looked at: what they leave undone of tickets they were limited in is ours."""
        for slot in worker.slots:
            if slot.limited is not None:
                self._seen_limited(worker, slot, slot.limited, now)

    def _seen_limited(self, worker: Worker, slot: Slot, limited: Limited, now: float) -> None:
        view, ticket = slot.view, limited.ticket
        if ticket.next >= ticket.hi:
            slot.limited = None
        elif view.ticket == ticket.id:
            if limited.certain_at is not None and now >= limited.certain_at:
                limited.certain_at = None
                self._cut(worker, ticket, max(limited.index, view.index + 1))
        elif view.ended_ticket == ticket.id:
            slot.limited = None
            self._cut(worker, ticket, view.ended_index)
        elif limited.has_passed:
            slot.limited = None
            self._cut(worker, ticket, ticket.next)
        else:
            limited.has_passed = True
            self._pool.look(worker)

    def _cut(self, worker: Worker, ticket: Ticket, at: int) -> None:
        lo, hi = at, ticket.hi
        if lo < hi:
            worker.cut(ticket, lo)
            if is_to_be_made(self._runs, ticket.run, lo):
                call(worker, ticket.run, lo, at_front=True)
            else:
                self._runs.put_back(ticket.run, lo, hi)
            self._pool.note(worker)

    def _look_at_limited(self, now: float) -> None:
        """Look at the slots whose limits are certain now; see when the next one is."""
        self._certain_at = None
        for worker in self._pool.workers.values():
            for slot in worker.slots:
                due = None if slot.limited is None else slot.limited.certain_at
                if due is None:
                    continue
                if due <= now:
                    self._pool.look(worker)
                if self._certain_at is None or due < self._certain_at:
                    self._certain_at = due

    # ---- what comes back

    def took_back(self, worker: Worker, tickets: list[Ticket]) -> None:
        """A worker had not read these."""
        for ticket in reversed(tickets):  # each goes before all else
            self._cut(worker, ticket, ticket.next)

    def check(self) -> None:
        """Who could be held up is looked at in time."""
        assert not self._pool.backed_up or self._due is not None
        for worker in self._pool.workers.values():
            for slot in worker.slots:
                if slot.limited is not None and slot.limited.certain_at is not None and worker.phase is Phase.READY:
                    assert self._certain_at is not None
