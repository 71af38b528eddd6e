"""What a cluster says of itself: what it offers, and, on a new link, everything it has of earlier ones."""

from collections.abc import Iterable, Iterator

from scaler.ids import RunId
from scaler.protocol import ClusterReady, Held, Holding, SpanResult
from scaler.ranges import RangeSet
from scaler.worker.agent_events import Say
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_giving import Giving
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import AgentConfig, Pool
from scaler.worker.agent_runs import Runs
from scaler.worker.agent_work import Run

#: ranges and indices in one `Holding`, so that its header stays well below 1 MiB
_MOST_HELD = 20_000
_HELD_COST = 8


class _Parts:
    """The tasks of one run that are out, sorted by how far they are."""

    __slots__ = ("finished", "queued", "running")

    def __init__(self, run: Run) -> None:
        self.queued = RangeSet(run.queued)
        self.running: list[int] = []
        self.finished = RangeSet(run.kept.ranges())


class Greeting:
    """Keeps the scheduler informed of what this cluster is."""

    def __init__(
        self, config: AgentConfig, runs: Runs, pool: Pool, functions: Functions, giving: Giving, outbox: Outbox
    ) -> None:
        self._config = config
        self._runs = runs
        self._pool = pool
        self._functions = functions
        self._giving = giving
        self._outbox = outbox
        self._offered: tuple[int, int] | None = None
        self._is_new = False

    def begin_anew(self) -> None:
        """A new link stands."""
        self._is_new = True

    def greet(self, now: float) -> list[Say]:
        """What to say before all else in this turn."""
        if self._is_new:
            self._is_new = False
            self._offered = None
            return [*self._offer(now), *self._hold()]
        return self._offer(now) if self._offered is not None else []

    def _offer(self, now: float) -> list[Say]:
        pool, config = self._pool, self._config
        offer = (0, 0) if pool.is_closed else (pool.ready, pool.slots)
        if offer == self._offered:
            return []
        self._offered = offer
        ends_in_s = None if config.ends_at is None else max(0.0, config.ends_at - now)
        workers, slots = offer
        full_slots = 0 if pool.is_closed else config.workers * config.threads
        ready = ClusterReady(
            config.name, config.host, config.pid, workers, slots, config.tags, config.resources, ends_in_s, full_slots,
            config.port, config.key,
        )  # fmt: skip
        return [Say(ready)]

    # ---- what is held

    def _hold(self) -> Iterator[Say]:
        """Every run, then every result that is not delivered."""
        self._functions.ask_again()
        parts = self._sorted_parts()
        held: list[Held] = []
        cost = 0
        for name, part in parts.items():
            queued, finished = part.queued.ranges(), part.finished.ranges()
            if queued or finished or part.running:
                held.append(Held(self._runs.by_id[name].batch, name, queued, tuple(part.running), finished))
                cost += _HELD_COST + len(queued) + len(finished) + len(part.running)
            if cost > _MOST_HELD:
                yield Say(Holding(tuple(held)))
                held, cost = [], 0
        yield Say(Holding(tuple(held)))
        for run in self._runs.by_id.values():
            for column, place in run.kept:
                yield Say(SpanResult(run.id, column.lo, column.hi, column.base, place), column.frames())

    def _sorted_parts(self) -> dict[RunId, _Parts]:
        """All tasks of each run that are wanted and here; what is cancelled is not worth claiming."""
        parts = {name: _Parts(run) for name, run in self._runs.by_id.items()}
        for worker in self._pool.busy():
            at = {ticket.id: slot.view.index for slot in worker.slots if (ticket := worker.runs(slot)) is not None}
            for ticket in worker.tickets.values():
                part = parts[ticket.run.id]
                index = at.get(ticket.id)
                if index is None:
                    part.queued.add(ticket.next, ticket.hi)
                    continue
                # what was finished since the last harvest is in the ring, and comes
                part.finished.add(ticket.next, index)
                part.running.append(index)
                part.queued.add(index + 1, ticket.hi)
        for run, index in self._giving.suspects:
            parts[run.id].queued.add(index, index + 1)
        for name, run in self._runs.by_id.items():
            _forget(parts[name], run.cancelled)
        return parts


def _forget(part: _Parts, cancelled: Iterable[tuple[int, int]]) -> None:
    for lo, hi in cancelled:
        part.queued.remove(lo, hi)
        part.finished.remove(lo, hi)
        part.running = [index for index in part.running if not lo <= index < hi]
