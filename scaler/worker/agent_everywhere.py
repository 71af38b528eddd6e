"""Calls that every worker makes once: a run of one call becomes one task for each worker there is, and one answer.

Such a task waits at its own worker and goes before all others there; no other worker makes it. Who ends before it has
begun is not waited for. Within the cluster the tasks have indices from the run's first on, one a worker.
"""

from collections import deque

from msgspec.structs import replace

from scaler.protocol import ReturnReason, RunSpan
from scaler.protocol.columns import ArgumentColumn, Frame
from scaler.ranges import RangeSet
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import LOOKAHEAD_NS, Phase, Run, Worker


class Everywhere:
    """Takes such runs in, and gives each worker its part."""

    def __init__(self, runs: Runs, pool: Pool, functions: Functions, giving: Giving, outbox: Outbox) -> None:
        self._runs = runs
        self._pool = pool
        self._functions = functions
        self._giving = giving
        self._outbox = outbox

    def add(self, message: RunSpan, frames: tuple[Frame, ...]) -> None:
        """A run came: all workers that are here or on their way have it to do."""
        lo = message.lo
        column = ArgumentColumn.from_frames(lo, message.hi - lo, frames).slice(lo, lo + 1)
        workers = [one for one in self._pool.workers.values() if one.phase in (Phase.STARTING, Phase.READY)]
        if self._runs.is_closed or not workers:
            self._outbox.give_back(message.run, lo, message.hi, ReturnReason.NOT_BEGUN)
            return
        run = self._runs.known(replace(message, hi=lo + len(workers)), column)
        run.queued = RangeSet()
        for index, worker in enumerate(workers, lo):
            call(worker, run, index)
            self._pool.note(worker)

    def give(self, now: float) -> None:
        """Give workers with a free slot what they have to call."""
        for worker in self._pool.callers():
            while worker.calls and worker.free and worker.calls[0][0].has_function and self._pool.room > 0:
                run, index = worker.calls[0]
                if not worker.may_import(run.code):
                    self._leave_to_another(worker, run, now)
                    break
                worker.calls.popleft()
                run.out -= 1
                self._giving.give_ticket(worker, run, index, index + 1, LOOKAHEAD_NS + 1, now)
                self._pool.note(worker)
            self._pool.note(worker)

    def _leave_to_another(self, worker: Worker, run: Run, now: float) -> None:
        """A worker has imported other code than a call comes with: the one in its place makes it."""
        if worker.tickets or not self._pool.may_replace(now):
            return
        if worker.is_replaceable:
            calls, worker.calls = worker.calls, deque()
            self._pool.replace(worker, now).calls = calls
        else:  # there is another in its place
            drop_calls(worker, self._runs, run)
            self._pool.note(worker)

    def of_all(self) -> list[Run]:
        """The runs of this kind that are not over."""
        return [run for run in self._runs.by_id.values() if run.options.everywhere]


def call(worker: Worker, run: Run, index: int, *, at_front: bool = False) -> None:
    """A worker has a call to make, before all others if it had it before; whoever says so tells the pool."""
    (worker.calls.appendleft if at_front else worker.calls.append)((run, index))
    run.out += 1


def drop_calls(worker: Worker, runs: Runs, of: Run | None = None) -> None:
    """A worker will not make its calls, or those of one run; whoever says so tells the pool."""
    gone = [waiting for waiting in worker.calls if of is None or waiting[0] is of]
    for waiting in gone:
        worker.calls.remove(waiting)
        waiting[0].out -= 1
    for run, _ in gone:
        runs.settle(run)


def is_to_be_made(runs: Runs, run: Run, index: int) -> bool:
    """Whether what a worker has not begun is a call that it has to make all the same."""
    return run.options.everywhere and not runs.is_closed and index not in run.cancelled
