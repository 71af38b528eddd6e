"""How the cluster fares, told while somebody watches and never else."""

from scaler.protocol import ClusterStatistics
from scaler.worker.agent_events import Measure, Measured
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_runs import Runs


class Statistics:
    """Has the processes measured every heartbeat interval, and says what came of it."""

    def __init__(self, config: AgentConfig, runs: Runs, pool: Pool, outbox: Outbox) -> None:
        self._config = config
        self._runs = runs
        self._pool = pool
        self._outbox = outbox
        self._is_watched = False
        #: when to measure; None while nobody watches, or nobody can be told
        self._due: float | None = None

    def watched(self, *, watched: bool, now: float) -> None:
        """Somebody begins or ceases to read."""
        self._is_watched = watched
        self._due = now if watched else None

    def linked(self, *, resumed: bool, now: float) -> None:
        """A scheduler is there; a new one, or one that begins anew, says itself whether anybody reads."""
        self.watched(watched=self._is_watched and resumed, now=now)

    def unlinked(self) -> None:
        """It is not: what would be said now is old when it arrives."""
        self._due = None

    def tick(self, now: float) -> None:
        """Have the processes measured if it is time."""
        if self._due is not None and now >= self._due:
            self._due = now + self._config.heartbeat_interval_s
            self._outbox.order(Measure())

    def measured(self, event: Measured) -> None:
        """Say what they use, and what the cluster has to do."""
        unanswered = sum(run.out + len(run.queued) for run in self._runs.by_id.values())
        running = sum(worker.runs(slot) is not None for worker in self._pool.busy() for slot in worker.slots)
        self._outbox.say(
            ClusterStatistics(event.cpu_percent, event.rss_bytes, unanswered - running, running, event.workers)
        )

    def next_deadline(self) -> float | None:
        """When to measure."""
        return self._due
