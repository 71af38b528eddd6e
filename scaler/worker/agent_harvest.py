"""What workers have done and are at: results on their way up, slots as they were seen."""

from scaler.ids import RunId
from scaler.protocol import Cause, Failure, Running, SpanResult
from scaler.protocol.columns import MAX_MEASURED, RAISED, RAISED_RETRYABLE, REFERENCE, ResultColumn
from scaler.ranges import RangeSet
from scaler.worker.agent_events import Harvested, Piece
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_results import failed_column, follows, joined
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_stored import StoredResults
from scaler.worker.agent_work import Run, Worker

#: what has been in a slot for less is not worth telling: its result comes as soon
TOLD_AFTER_S = 0.01
#: what has been in a slot for so long is told though there is no result to tell it with; so often at most
RUNNING_S = 0.1


class Harvest:
    """Takes in what a worker's ring held, and joins it to messages."""

    def __init__(self, runs: Runs, stored: StoredResults, pool: Pool) -> None:
        self._runs = runs
        self._stored = stored
        self._pool = pool

    def take_in(self, worker: Worker, event: Harvested, now: float) -> None:
        """Results of a worker, then its slots."""
        for number, stack in event.stacks:
            _note_stack(worker, number, stack)
        parts: list[ResultColumn] = []
        last: Run | None = None
        for piece in event.pieces:
            run = self._finish(worker, piece)
            if last is not None and (run is not last or not follows(parts, piece.column)):
                self._answer(last, parts, worker)
                parts = []
            last = run
            parts.append(piece.column)
        if last is not None:
            self._answer(last, parts, worker)
            worker.has_run = True
        for slot, view in zip(worker.slots, event.slots, strict=True):
            slot.view = view
        worker.looked_at = now
        self._pool.note(worker)

    def _finish(self, worker: Worker, piece: Piece) -> Run:
        ticket = worker.tickets[piece.ticket]
        column = piece.column
        if column.lo != ticket.next or column.hi > ticket.hi:
            raise ValueError(
                f"results [{column.lo}, {column.hi}) of a ticket with [{ticket.next}, {ticket.hi}) to come"
            )
        worker.finish(ticket, column.hi)
        ticket.run.times.observe(column.run_us)
        return ticket.run

    def _answer(self, run: Run, parts: list[ResultColumn], worker: Worker) -> None:
        """Say what tasks came to, but for those that nobody waits for."""
        column = joined(parts)
        columns = [column] if REFERENCE not in column.statuses else self._stored.take_in(run.id, worker, column)
        for column in columns:
            if run.cancelled or run.timed_out:
                self._answer_wanted(run, column, worker)
            else:
                self._runs.answer(run, column, worker.place)
        self._runs.settle(run)

    def _answer_wanted(self, run: Run, column: ResultColumn, worker: Worker) -> None:
        place = worker.place
        late = run.timed_out.remove(column.lo, column.hi)
        unwanted = RangeSet(((column.lo, column.hi),))
        for lo, hi in self._runs.drop_cancelled(run, column.lo, column.hi):
            start = lo
            for index in (index for first, last in late for index in range(first, last) if lo <= index < hi):
                # beside others it was not interrupted, only asked where it is
                if worker.threads > 1 or _was_late(run, column, index):
                    self._answer_slice(run, column, start, index, place)
                    unwanted.remove(start, index)
                    self._runs.answer(run, timed_out_column(run, index, place), place)
                    start = index + 1
            self._answer_slice(run, column, start, hi, place)
            unwanted.remove(start, hi)
        for lo, hi in unwanted:
            self._runs.discard(column, lo, hi)

    def _answer_slice(self, run: Run, column: ResultColumn, lo: int, hi: int, place: str) -> None:
        if lo < hi:
            self._runs.answer(run, column.slice(lo, hi), place)


def _was_late(run: Run, column: ResultColumn, index: int) -> bool:
    """Whether what a task came to that was to be ended is no outcome: it was interrupted, or had run for too long.

    The signal that has it tell where it is makes some C functions return early: its value may be wrong.
    """
    limit_us = min((run.options.timeout_s or 0.0) * 1e6, MAX_MEASURED)
    at = index - column.lo
    return (
        column.statuses[at] in (RAISED, RAISED_RETRYABLE)
        or memoryview(column.run_us).cast("B").cast("I")[at] >= limit_us
    )


def _note_stack(worker: Worker, number: int, stack: str) -> None:
    """Keep where a task was that is being ended, for the failure that tells of it."""
    halt = worker.slots[number].halt
    ticket = None if halt is None else worker.tickets.get(halt.ticket)
    if halt is not None and ticket is not None and halt.index in ticket.run.timed_out:
        ticket.run.stacks[halt.index] = stack


def timed_out_column(run: Run, index: int, place: str) -> ResultColumn:
    """The outcome of a task that was stopped as it ran for too long."""
    limit_s = run.options.timeout_s or 0.0
    text = f"it ran longer than its timeout of {limit_s:g} s on {place}"
    failure = Failure(Cause.TIMEOUT, text, place, stack=run.stacks.pop(index, ""))
    return failed_column(index, failure, int(limit_s * 1e6))


class Telling:
    """Says results, and what is in the slots."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox
        #: what was told last, and when
        self._told: tuple[tuple[RunId, int], ...] = ()
        self._told_at = 0.0
        #: when something may have run for so long that it has to be told; never later than that
        self._due: float | None = None

    def running(self, now: float) -> tuple[tuple[RunId, int], ...]:
        """The run and index in every slot, but for what has just begun."""
        found = []
        for worker in self._pool.busy():
            for slot in worker.slots:
                view = slot.view
                if view.ticket and now - view.since >= TOLD_AFTER_S:
                    ticket = worker.runs(slot)
                    if ticket is not None:
                        found.append((ticket.run.id, view.index))
        return tuple(found)

    def tell(self, now: float) -> None:
        """Say the results of this turn; without any, what runs, if it has run for long and is news."""
        results = self._outbox.results
        has_news = self._due is not None and self._due <= now and self._has_news(now)
        if results:
            running = self.running(now)
            for run, place, column in results:
                message = SpanResult(run, column.lo, column.hi, column.base, place, running)
                self._outbox.say(message, column.frames())
            results.clear()
            self._told, self._told_at = running, now
        elif has_news:
            self._told, self._told_at = self.running(now), now
            self._outbox.say(Running(self._told))

    def seen(self, worker: Worker) -> None:
        """The slots of a worker were looked at."""
        for slot in worker.slots:
            if slot.view.ticket:
                due = max(slot.view.since, self._told_at) + RUNNING_S
                if self._due is None or due < self._due:
                    self._due = due

    def _has_news(self, now: float) -> bool:
        """Whether something untold has run for long; sets when to ask again."""
        self._due = None
        told = set(self._told)
        is_news = False
        for worker in self._pool.busy():
            for slot in worker.slots:
                ticket = worker.runs(slot)
                if ticket is not None and (ticket.run.id, slot.view.index) not in told:
                    due = max(slot.view.since, self._told_at) + RUNNING_S
                    if due <= now:
                        is_news = True
                    elif self._due is None or due < self._due:
                        self._due = due
        return is_news

    def begin_anew(self) -> None:
        """A new link stands: nothing is told on it yet."""
        self._told = ()

    def next_deadline(self) -> float | None:
        """When something has to be told that no result tells."""
        return self._due
