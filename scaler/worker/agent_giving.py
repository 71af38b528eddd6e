"""Which worker is given which tasks, and how many: tickets of about a millisecond, a lookahead of some more.

Sizes go by the run times seen of a function. They shrink as the queue empties, so that the last tasks are spread.
"""

from bisect import bisect_right
from collections import deque

from scaler.core.runtimes import RunTimes
from scaler.ids import TicketId
from scaler.protocol import Running
from scaler.protocol.code import Code
from scaler.worker.agent_events import Give
from scaler.worker.agent_fitting import Fitting
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import LOOKAHEAD_NS, Run, Ticket, Worker

#: what a task counts at least, however short it is: a ticket has a thousand at most, which keeps turns few
TASK_NS = 1_000
#: the work in one ticket, by p50
TICKET_NS = 1_000_000
#: no ticket is made smaller than this for the sake of spreading, by p50
SMALLEST_NS = 50_000
#: offsets and calls of a ticket of several tasks; what is larger goes down a worker's line by a detour
TICKET_BYTES = 48 << 10
_NS = 1_000_000_000


def p50_ns(times: RunTimes) -> int:
    """What a task is expected to take."""
    return max(TASK_NS, int(times.p50_s * _NS))


def p95_ns(times: RunTimes) -> int:
    """What a task may take."""
    return max(TASK_NS, int(times.p95_s * _NS))


class Giving:
    """Cuts runs into tickets."""

    def __init__(self, runs: Runs, pool: Pool, fitting: Fitting, functions: Functions, outbox: Outbox) -> None:
        self._runs = runs
        self._fitting = fitting
        self._queue = runs.queue
        self._pool = pool
        self._functions = functions
        self._outbox = outbox
        self._tickets = 0
        #: when something that was held back for a turn is to be given
        self._again_at: float | None = None
        #: when the last task has to be done, if ever
        self.ends_at: float | None = None
        #: tasks that ran when their worker died, and others with them: each runs again alone, to see which it was
        self.suspects: deque[tuple[Run, int]] = deque()

    def fill(self, now: float) -> None:
        """Give each idle slot something, then each worker what it needs ahead."""
        self._again_at = None
        if self.suspects:
            self._try_suspects(now)
        pool = self._pool
        while pool.idle and pool.room > 0 and (found := self._next_pair(now)) is not None:
            run, worker = found
            if run.is_alone and not run.is_told:
                self._tell_first(run, now)
                return
            count = 1 if run.gpus else max(1, min(self._count(worker, run, worker.threads), worker.budget))
            self._give(worker, run, count, now)
            self._queue.pass_turn(run)
        if pool.hungry and self._queue.tasks:
            self._look_ahead(now)
        if self._fitting.has_passed_over:
            self._fitting.settle({run.code for run in self._queue.in_order()}, now)

    def _tell_first(self, run: Run, now: float) -> None:
        """Say that a task runs which may take its host down at once; it is given in the next turn."""
        run.is_told = True
        self._outbox.say(Running(((run.id, next(iter(run.queued)).lo),)))
        self._again_at = now

    def next_deadline(self) -> float | None:
        """When something has waited for long enough for a worker that may run it, or was held back for a turn."""
        return self._fitting.next_deadline() if self._again_at is None else self._again_at

    def _next(self, now: float) -> Run | None:
        """The run to be served next. One whose tasks would not end in time is the scheduler's again.

        So is one whose tasks may wait for others, where too many do already: what they wait for comes in its place.
        """
        while self._queue.tasks:
            run = self._queue.head()
            if self._ends_in_time(run, now) and not self._is_crowded_out(run):
                return run
            self._runs.return_queued(run)
        return None

    def _ends_in_time(self, run: Run, now: float) -> bool:
        return self.ends_at is None or not run.times.samples or now + run.times.p95_s <= self.ends_at

    def _is_crowded_out(self, run: Run) -> bool:
        return run.times.nests and self._pool.is_crowded(run.options.depth)

    def _next_pair(self, now: float) -> tuple[Run, Worker] | None:
        """The next run that some worker can begin tasks of, and that worker."""
        head = self._next(now)
        if head is None:
            return None
        first = next(iter(self._pool.idle.values()))
        if self._fitting.is_plain(first, head):
            return head, first
        blocked: dict[tuple[float, Code], Run] = {}
        for run in self._queue.in_order():
            kind = run.gpus, run.code
            if kind not in blocked and self._ends_in_time(run, now) and not self._is_crowded_out(run):
                worker = self._fitting.find(run, now)
                if worker is not None:
                    return run, worker
                blocked[kind] = run
        # nobody can use the idle ones as they are
        for run in blocked.values():
            worker = None if run.gpus else self._fitting.replace_idle(run, now)
            if worker is not None:
                return run, worker
        return None

    def _next_for(self, worker: Worker, now: float) -> Run | None:
        """The next run of which tasks may wait at a worker."""
        head = self._next(now)
        if head is None or self._fitting.is_plain(worker, head):
            return head
        fitting = (run for run in self._queue.in_order() if self._fitting.may_wait_at(worker, run, now))
        return next((run for run in fitting if self._ends_in_time(run, now)), None)

    def _look_ahead(self, now: float) -> None:
        """Deal out shares of the queue, one worker after another, until all have enough or nothing is left."""
        room = self._pool.room
        if room < 0:
            return
        able = [worker for worker in self._pool.hungry.values() if room or not worker.free]
        hungry = [(worker, moving) for worker in able if (moving := worker.moving(now))]
        while hungry:
            fed = []
            for worker, moving in hungry:
                run = self._next_for(worker, now)
                if run is not None and self._give_share(worker, run, moving, now):
                    fed.append((worker, moving))
            hungry = fed

    def _give_share(self, worker: Worker, run: Run, moving: int, now: float) -> bool:
        """Give a worker tickets of a run that follow each other; whether it had room for any."""
        queue = self._queue
        share = -(-queue.tasks // (2 * self._pool.slots))
        given = 0
        while given < share and run.queued:
            count = min(self._count(worker, run, moving), worker.budget)
            if not count:
                break
            given += self._give(worker, run, count, now)
        queue.pass_turn(run)
        return given > 0

    def _count(self, worker: Worker, run: Run, moving: int) -> int:
        """How many tasks the next ticket of a worker is to have; 0 if it has enough to do for now."""
        times = run.times
        cost_ns = p95_ns(times)
        free = worker.free
        if not times.samples or cost_ns > LOOKAHEAD_NS:
            return 1 if free else 0
        room = min(
            (moving * (LOOKAHEAD_NS + cost_ns) - worker.ahead_ns) // cost_ns,
            worker.threads * times.ramp - worker.left,
        )
        likely_ns = p50_ns(times)
        spread = -(-self._queue.tasks // (2 * self._pool.slots))
        wanted = max(1, min(TICKET_NS // likely_ns, max(spread, SMALLEST_NS // likely_ns)))
        if room >= wanted:
            return wanted
        return max(1, room) if free else 0

    def _give(self, worker: Worker, run: Run, count: int, now: float) -> int:
        """Give the first queued tasks of a run to a worker, `count` or fewer; how many."""
        lo, hi = next(iter(run.queued))
        hi = self._fits_bytes(run, lo, min(hi, lo + count))
        self.give_ticket(worker, run, lo, hi, p95_ns(run.times) if run.times.samples else LOOKAHEAD_NS + 1, now)
        self._runs.take(run, lo, hi)
        self._pool.note(worker)
        return hi - lo

    def _fits_bytes(self, run: Run, lo: int, hi: int) -> int:
        """Where a ticket that begins at `lo` has to end, at `hi` at the latest; one task always fits."""
        if run.size_bytes(lo, hi) <= TICKET_BYTES:
            return hi
        return lo + max(1, bisect_right(range(lo + 1, hi + 1), TICKET_BYTES, key=lambda at: run.size_bytes(lo, at)))

    def give_ticket(self, worker: Worker, run: Run, lo: int, hi: int, cost_ns: int, now: float) -> None:
        """Give [lo, hi) of a run to a worker, each task of which may take so long."""
        self._functions.provide(worker, run.function)
        self._fitting.given(run)
        self._tickets += 1
        ticket = Ticket(TicketId(self._tickets), run, lo, hi, cost_ns)
        worker.give(ticket, now)
        column = run.calls(lo, hi)
        inputs = run.input_frames(lo, hi)
        self._outbox.order(Give(worker.id, ticket.id, run.id, run.function, run.options, column, run.batch, inputs))

    def _try_suspects(self, now: float) -> None:
        """Run suspects again, each on a worker that has nothing else."""
        for _ in range(len(self.suspects)):
            if not self._pool.idle or self._pool.room <= 0:
                return
            run, index = self.suspects.popleft()
            worker = self._fitting.find(run, now, is_alone=True)
            if worker is None:
                self.suspects.append((run, index))
                continue
            run.out -= 1
            self.give_ticket(worker, run, index, index + 1, LOOKAHEAD_NS + 1, now)
            worker.is_alone = True
            self._pool.note(worker)
