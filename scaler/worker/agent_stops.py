"""Ending tasks that run: those that nobody wants any more, and those that run for too long.

A task is interrupted first where that is certain to hit no other: in a worker with one slot. What does not heed it in
time, and what shares its process, is killed with its worker.
"""

from collections.abc import Iterator

from scaler.ids import Range, RunId
from scaler.worker.agent_balance import Balance
from scaler.worker.agent_events import Dump, Interrupt
from scaler.worker.agent_everywhere import drop_calls
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import Halt, Phase, Run, Ticket, Worker

#: how long an interrupted task may take to end
HEED_S = 0.2
#: how long a worker may take to write down where a task is
TELL_S = 0.1


class Stops:
    """Cancels and timeouts."""

    def __init__(self, runs: Runs, pool: Pool, giving: Giving, balance: Balance, outbox: Outbox) -> None:
        self._runs = runs
        self._pool = pool
        self._giving = giving
        self._balance = balance
        self._outbox = outbox
        #: when a task may have run for too long, or an interrupted one has to be killed; never later than that
        self._due: float | None = None

    def next_deadline(self) -> float | None:
        """When to look again."""
        return self._due

    # ---- cancel

    def cancel(self, name: RunId, ranges: tuple[Range, ...]) -> None:
        """Nobody wants these any more, begun or not; what has an outcome already is no matter."""
        run = self._runs.by_id.get(name)
        if run is not None:
            self._cancel(run, ranges)

    def _cancel(self, run: Run, ranges: tuple[Range, ...]) -> None:
        if run.options.everywhere:  # whatever is named, it is one call
            ranges = (Range(run.lo, run.hi),)
            for worker in self._pool.workers.values():
                drop_calls(worker, self._runs, run)
                self._pool.note(worker)
        for lo, hi in ranges:
            for part in self._runs.take(run, lo, hi):
                if not run.is_forgotten:
                    self._outbox.confirm(run.id, *part)
        self._cancel_suspects(run, ranges)
        for worker, ticket in self._tickets_of(run):
            for lo, hi in ranges:
                first, last = max(lo, ticket.next), min(hi, ticket.hi)
                if first < last:
                    run.cancelled.add(first, last)
                    worker.has_cancelled = True
                    self._pool.look(worker)
                    if worker.has_unread:
                        self._pool.take_back(worker)
        self._runs.settle(run)

    def forget(self, name: RunId) -> None:
        """Nobody wants anything of a run, nor to hear of it."""
        run = self._runs.by_id.get(name)
        if run is not None:
            self._runs.forgotten(run)
            self._cancel(run, (Range(run.lo, run.hi),))

    def _cancel_suspects(self, run: Run, ranges: tuple[Range, ...]) -> None:
        suspects = self._giving.suspects
        for suspect in list(suspects):
            if suspect[0] is run and any(lo <= suspect[1] < hi for lo, hi in ranges):
                suspects.remove(suspect)
                run.out -= 1
                if not run.is_forgotten:
                    self._outbox.confirm(run.id, suspect[1], suspect[1] + 1)

    def _tickets_of(self, run: Run) -> Iterator[tuple[Worker, Ticket]]:
        if run.out:
            for worker in self._pool.busy():
                for ticket in worker.tickets.values():
                    if ticket.run is run:
                        yield worker, ticket

    # ---- what is seen

    def seen(self, worker: Worker, now: float) -> None:
        """The slots of a worker were looked at: end what is not to run, watch what may run for too long."""
        if worker.has_cancelled:
            worker.has_cancelled = any(
                ticket.run.cancelled.intersects(ticket.next, ticket.hi) for ticket in worker.tickets.values()
            )
            if worker.has_cancelled:
                self._end_cancelled(worker, now)
        for slot in worker.slots:
            ticket = worker.runs(slot)
            if ticket is not None and ticket.run.options.timeout_s is not None:
                due = slot.times_out_at(ticket.run.options.timeout_s)
                if due is not None:
                    self._wake_by(due)
            if slot.halt is not None and (slot.halt.ticket, slot.halt.index) != (slot.view.ticket, slot.view.index):
                slot.halt = None

    def _end_cancelled(self, worker: Worker, now: float) -> None:
        for number, slot in enumerate(worker.slots):
            ticket = worker.runs(slot)
            if ticket is None or not ticket.run.cancelled.intersects(slot.view.index, ticket.hi):
                continue
            self._balance.limit(worker, number, now)
            if slot.view.index in ticket.run.cancelled:
                self._halt(worker, number, ticket, now)

    def _halt(self, worker: Worker, number: int, ticket: Ticket, now: float) -> None:
        """End the task in a slot."""
        slot = worker.slots[number]
        index = slot.view.index
        if worker.phase is Phase.KILLED or (slot.halt is not None and slot.halt.index == index):
            return
        if worker.threads > 1:
            self._pool.kill(worker)
            return
        slot.halt = Halt(ticket.id, index, now + HEED_S)
        self._outbox.order(Interrupt(worker.id, number, ticket.id, index))
        self._wake_by(now + HEED_S)

    # ---- what is due

    def _wake_by(self, due: float) -> None:
        if self._due is None or due < self._due:
            self._due = due

    def tick(self, now: float) -> None:
        """End what has run for too long, kill what does not heed."""
        if self._due is None or now < self._due:
            return
        self._due = None
        for worker in list(self._pool.busy()):
            if worker.phase is Phase.KILLED:
                continue
            for number in range(worker.threads):
                self._tick_slot(worker, number, now)

    def _tick_slot(self, worker: Worker, number: int, now: float) -> None:
        slot = worker.slots[number]
        ticket = worker.runs(slot)
        if ticket is None:
            return
        timeout_s = ticket.run.options.timeout_s
        due = None
        if slot.halt is not None:
            due = slot.halt.kill_at
        elif timeout_s is not None:
            due = slot.times_out_at(timeout_s)
        if due is None:
            return
        if now < due:
            self._wake_by(due)
        elif worker.looked_at < now:
            self._pool.look(worker)
            self._wake_by(now)
        elif slot.halt is not None:
            self._pool.kill(worker)
        else:
            self._time_out(worker, number, ticket, now)

    def _time_out(self, worker: Worker, number: int, ticket: Ticket, now: float) -> None:
        index = worker.slots[number].view.index
        ticket.run.timed_out.add(index, index + 1)
        self._outbox.order(Dump(worker.id, number))
        if worker.threads > 1:  # it is to be killed, once it has told where the task is
            worker.slots[number].halt = Halt(ticket.id, index, now + TELL_S)
            self._wake_by(now + TELL_S)
        else:
            self._halt(worker, number, ticket, now)
