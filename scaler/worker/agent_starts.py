"""Telling of workers that were asked for and do not come up: what they have to call first may wait for something."""

from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_work import Phase

#: a worker that takes so long to start is told of, and again each time it passes
SLOW_S = 30.0


class Starts:
    """Looks now and then whether all have started, while there may be one that has not."""

    def __init__(self, config: AgentConfig, pool: Pool, outbox: Outbox) -> None:
        self._preload = config.preload
        self._pool = pool
        self._outbox = outbox
        self._asked_for = 0
        self._due: float | None = None

    def tick(self, now: float) -> None:
        """Tell if it is time."""
        if not self._preload:
            return
        if self._asked_for != self._pool.asked_for:
            self._asked_for = self._pool.asked_for
            if self._due is None:
                self._due = now + SLOW_S
        if self._due is not None and now >= self._due:
            self._look(now)

    def _look(self, now: float) -> None:
        began = [worker.started_at for worker in self._pool.workers.values() if worker.phase is Phase.STARTING]
        slow = [at for at in began if at + SLOW_S <= now]
        if slow:
            text = "workers have not started yet, they are in their --preload"
            self._outbox.note("warning", text, preload=self._preload, workers=len(slow), seconds=round(now - min(slow)))
            self._due = now + SLOW_S
        else:
            self._due = min(began) + SLOW_S if began else None

    def next_deadline(self) -> float | None:
        """When to look."""
        return self._due
