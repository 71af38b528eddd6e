"""How a cluster ends: told to, drained, out of walltime, or without a scheduler for too long.

What has not begun is handed back at once. Within a grace what runs may finish, and results may wait for room on the way
to their clients; those that lie in the store go by value. Then every worker ends, and the process.
"""

from scaler.protocol import Goodbye, ReturnReason
from scaler.protocol.connection import LONGEST_TEXT
from scaler.worker.agent_balance import Balance
from scaler.worker.agent_events import Command, End, Say, StartFailed
from scaler.worker.agent_everywhere import drop_calls
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_stored import StoredResults
from scaler.worker.agent_work import Phase, Worker

#: a worker that has nothing left may take so long to end by itself
RETIRE_S = 0.5
#: large results that nobody has read yet may take so long, whatever the grace
HAND_OVER_S = 1.0
#: the last of the walltime is kept for saying goodbye
PARTING_S = 1.0


def reserve_s(walltime_s: float) -> float:
    """The end of a walltime in which nothing is begun any more."""
    return min(60.0, max(2.0, 0.05 * walltime_s))


class Ending:
    """Decides when, and sees it through."""

    def __init__(
        self,
        config: AgentConfig,
        runs: Runs,
        stored: StoredResults,
        pool: Pool,
        giving: Giving,
        balance: Balance,
        outbox: Outbox,
    ) -> None:
        self._config = config
        self._runs = runs
        self._stored = stored
        self._pool = pool
        self._giving = giving
        self._balance = balance
        self._outbox = outbox
        self._is_linked = False
        #: without a scheduler since then
        self._alone_since: float | None = None
        #: when nothing can be begun any more
        self._leave_at: float | None = None
        self._reason = ""
        self._exit_code = 0
        #: workers that ended in what they have to call first
        self._failed_preloads = 0
        #: when whatever still runs is killed; None while nothing is to end
        self._kill_at: float | None = None
        #: until when results that lie here may wait to be handed over
        self._leave_by = 0.0
        #: when workers that were to end by themselves are killed
        self._retire_by: float | None = None
        self.has_ended = False

    def begin(self, now: float) -> None:
        """The first turn."""
        self._alone_since = now
        if self._config.ends_at is not None:
            self._leave_at = self._config.ends_at - reserve_s(self._config.ends_at - now)
            self._giving.ends_at = self._leave_at

    # ---- the link

    def linked(self) -> None:
        """A scheduler is there."""
        self._is_linked = True
        self._alone_since = None

    def unlinked(self, now: float) -> None:
        """It is not."""
        self._is_linked = False
        if self._alone_since is None:
            self._alone_since = now

    def slept(self, seconds: float) -> None:
        """The process stood still: nothing is late because of that."""
        if self._alone_since is not None:
            self._alone_since += seconds
        if self._kill_at is not None:
            self._kill_at += seconds
            self._leave_by += seconds

    # ---- the end

    def stop(self, grace_s: float, reason: str, now: float, exit_code: int = 0) -> None:
        """Begin nothing more, and end; a second time: now."""
        if self._kill_at is not None:
            self._kill_at = self._leave_by = now
            return
        self._reason, self._exit_code = reason[:LONGEST_TEXT], exit_code
        self._kill_at = self._leave_by = now + grace_s if self._is_linked else now
        if self._is_linked and self._stored.hand_over():
            self._leave_by = max(self._kill_at, now + HAND_OVER_S)
        self._pool.is_closed = True
        self._return_suspects()
        self._runs.close()
        self._retire_by = now + RETIRE_S
        for worker in list(self._pool.workers.values()):
            drop_calls(worker, self._runs)
            self._pool.note(worker)
            if worker.phase is Phase.STARTING:
                self._pool.kill(worker)
            elif worker.tickets:
                self._pool.look(worker)
                if worker.has_unread:
                    self._pool.take_back(worker)

    def start_failed(self, event: StartFailed, now: float) -> None:
        """A worker did not come up: if none ever did, and each has tried, there is no use in going on."""
        self._failed_preloads += event.in_preload
        if self._failed_preloads >= self._config.workers and not self._pool.has_had_any and self._kill_at is None:
            self.stop(0.0, f"no worker could be started: {event.text}", now, exit_code=2)

    def _return_suspects(self) -> None:
        while self._giving.suspects:
            run, index = self._giving.suspects.popleft()
            run.out -= 1
            self._outbox.give_back(run.id, index, index + 1, ReturnReason.BYSTANDER)
            self._runs.settle(run)

    def seen(self, worker: Worker, now: float) -> None:
        """The slots of a worker were looked at: none is to begin another task."""
        if self._kill_at is not None:
            for number in range(worker.threads):
                self._balance.limit(worker, number, now)

    def tick(self, now: float) -> None:
        """See whether it is time to end, and how far the end is."""
        self._see_whether_to_stop(now)
        if self._kill_at is None:
            return
        for worker in list(self._pool.workers.values()):
            if now >= self._kill_at and worker.tickets:
                self._pool.kill(worker)
            elif not worker.tickets and worker.phase is Phase.READY:
                self._pool.retire(worker)
                self._retire_by = now + RETIRE_S
            elif worker.phase is Phase.RETIRING and self._retire_by is not None and now >= self._retire_by:
                self._pool.kill(worker)
        if not self._pool.workers and (now >= self._leave_by or not self._runs.by_id):
            self.has_ended = True

    def _see_whether_to_stop(self, now: float) -> None:
        config = self._config
        if self._kill_at is not None:
            return
        if self._alone_since is not None and now >= self._alone_since + config.death_timeout_s:
            self.stop(0.0, f"no scheduler for {config.death_timeout_s:g} s", now, exit_code=1)
        elif self._leave_at is not None and now >= self._leave_at and config.ends_at is not None:
            self.stop(max(0.0, config.ends_at - now - PARTING_S), "the walltime is over", now)

    def part(self) -> list[Command]:
        """Every worker is gone and everything is handed back: the last words."""
        return [Say(Goodbye(self._reason)), End(self._exit_code, self._reason)]

    def next_deadline(self) -> float | None:
        """When to look again."""
        if self._kill_at is not None:
            phases = [worker.phase for worker in self._pool.workers.values() if worker.phase is not Phase.KILLED]
            due = [self._retire_by] if self._retire_by is not None and Phase.RETIRING in phases else []
            if Phase.READY in phases:
                due.append(self._kill_at)
            elif not self._pool.workers:
                due.append(self._leave_by)
            return min(due, default=None)
        due = [self._leave_at] if self._leave_at is not None else []
        if self._alone_since is not None:
            due.append(self._alone_since + self._config.death_timeout_s)
        return min(due, default=None)
