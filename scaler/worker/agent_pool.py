"""The workers of a cluster: started, replaced and ended, and indexed by what they can take."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.ids import WorkerId
from scaler.resources import NO_RESOURCES, Resources
from scaler.worker.agent_events import KillWorker, Look, RetireWorker, StartWorker, TakeBack
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_work import LOOKAHEAD_NS, NOTHING_COUNTED, Counted, Phase, Worker

#: a worker that ends so soon after its start without having run anything was started in vain
VAIN_S = 1.0
FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What the agent of a cluster is told about it; `ends_at` is the end of its walltime on the agent's clock."""

    name: str
    host: str
    pid: int
    workers: int
    threads: int = 1
    tags: tuple[str, ...] = ()
    resources: Resources = NO_RESOURCES
    heartbeat_interval_s: float = 2.0
    death_timeout_s: float = 300.0
    ends_at: float | None = None
    worker_names: tuple[str, ...] = ()
    max_parked: int = 64


class Pool:
    """All workers that have been asked for and have not ended, by number."""

    def __init__(self, config: AgentConfig, outbox: Outbox) -> None:
        self._config = config
        self._outbox = outbox
        self.workers: dict[WorkerId, Worker] = {}
        #: workers that can run tasks, but for spares
        self.ready = 0
        #: spares that were asked for and are not to end
        self.spares = 0
        #: slots there are for tasks that run
        self._nominal = config.workers * config.threads
        #: of all workers that can run tasks: slots that are not parked, those of them with work, and those parked
        self._open = self._occupied = 0
        self.parked = 0
        #: all and only workers with a slot that has no ticket: one that has run something came to the front, since what
        #: it needs is in the caches still, one that has not to the end
        self.idle: OrderedDict[WorkerId, Worker] = OrderedDict()
        #: all and only workers whose slots have less than the lookahead to do
        self.hungry: OrderedDict[WorkerId, Worker] = OrderedDict()
        #: all and only workers with tasks behind those that run
        self.backed_up: OrderedDict[WorkerId, Worker] = OrderedDict()
        #: to be asked before the turn ends
        self._to_take_back: dict[WorkerId, None] = {}
        self._to_look: dict[WorkerId, None] = {}
        #: asked for their unread tickets, and not answered yet
        self.asked_back: dict[WorkerId, None] = {}
        self._next = 0
        #: all and only names that no worker has; one that ends leaves its own to the worker in its place
        self._free_names = deque(config.worker_names)
        #: workers to be started, and when
        self._missing = config.workers
        self._start_at = 0.0
        self._delay_s = 0.0
        self.is_closed = False

    @property
    def slots(self) -> int:
        """How many tasks can be in slots at once: so many can run, others wait for tasks and do not."""
        return min(self._open, self._nominal) + self.parked

    @property
    def room(self) -> int:
        """How many more tasks can begin now; below zero while more run, since parked ones have gone on."""
        return self._nominal - self._occupied

    def is_crowded(self, depth: int) -> bool:
        """Whether no task of this depth that may wait for others is to begin: room is kept for what those wait for.

        Each level of nesting may use half of what the levels above it leave. If nothing runs, one may begin.
        """
        most = self._config.max_parked
        return self.parked > 0 and self._occupied > 0 and self.parked + self._occupied >= most - (most >> depth + 1)

    def busy(self) -> Iterator[Worker]:
        """The workers that have tickets."""
        return (worker for worker in self.workers.values() if worker.tickets)

    # ---- lives

    def start_missing(self, now: float) -> None:
        """Have workers started for those that are missing, if their time has come."""
        if self.is_closed or now < self._start_at:
            return
        for _ in range(self._missing):
            name = self._free_names.popleft() if self._free_names else ""
            self._start(name, self._config.threads, now, is_spare=False)
        self._missing = 0
        while self.spares < self.parked:
            self.spares += 1
            self._start("", 1, now, is_spare=True)

    def _start(self, name: str, threads: int, now: float, *, is_spare: bool) -> None:
        worker = WorkerId(self._next)
        self._next += 1
        self.workers[worker] = Worker(worker, name, threads, self._config.name, now, is_spare=is_spare)
        self._outbox.order(StartWorker(worker, name, is_spare))

    def started(self, worker: Worker, pid: int, now: float) -> None:
        """A worker can take tickets."""
        worker.pid = pid
        worker.started_at = worker.looked_at = now
        if worker.phase is Phase.STARTING:
            worker.phase = Phase.READY
            self.ready += not worker.is_spare
            self.note(worker)
            named = {"name": worker.name} if worker.name else {}
            self._outbox.note("info", f"Worker[{worker.id}] started", pid=pid, **named)
        else:
            self._outbox.order(KillWorker(worker.id))

    def ended(self, worker: Worker, now: float, *, in_vain: bool) -> None:
        """A worker is gone, or never came: another is started in its place, after a pause if this was in vain."""
        self._leave(worker, Phase.KILLED)
        self._outbox.withdraw(worker.id)
        del self.workers[worker.id]
        if worker.name:
            self._free_names.append(worker.name)
        self._missing += not worker.is_spare
        self._to_take_back.pop(worker.id, None)
        self._to_look.pop(worker.id, None)
        self.asked_back.pop(worker.id, None)
        if not in_vain:
            self._delay_s = 0.0
            self._start_at = now
        elif now >= self._start_at:
            self._delay_s = min(LAST_DELAY_S, max(FIRST_DELAY_S, 2 * self._delay_s))
            self._start_at = now + self._delay_s

    def next_start(self) -> float | None:
        """When workers are to be started."""
        is_due = self._missing or self.spares < self.parked
        return self._start_at if is_due and not self.is_closed else None

    def kill(self, worker: Worker) -> None:
        """End a worker and whatever it runs."""
        if worker.phase is not Phase.KILLED:
            self._leave(worker, Phase.KILLED)
            self._outbox.order(KillWorker(worker.id))

    def retire(self, worker: Worker) -> None:
        """Let a worker end by itself."""
        self._leave(worker, Phase.RETIRING)
        self._outbox.order(RetireWorker(worker.id))

    def _leave(self, worker: Worker, phase: Phase) -> None:
        if worker.is_spare:
            self.spares -= worker.phase in (Phase.STARTING, Phase.READY)
        elif worker.phase is Phase.READY:
            self.ready -= 1
        worker.phase = phase
        self.note(worker)

    # ---- what they can take

    def note(self, worker: Worker) -> None:
        """What a worker has to do has changed."""
        self._count(worker)
        name = worker.id
        can_take = worker.phase is Phase.READY and not worker.is_alone
        if can_take and len(worker.tickets) < worker.threads:
            if name not in self.idle:
                self.idle[name] = worker
                self.idle.move_to_end(name, last=not worker.has_run)
        else:
            self.idle.pop(name, None)
        if can_take and worker.ahead_ns < worker.threads * LOOKAHEAD_NS:
            self.hungry[name] = worker
        else:
            self.hungry.pop(name, None)
        if worker.is_backed_up and worker.phase is Phase.READY:
            self.backed_up[name] = worker
        else:
            self.backed_up.pop(name, None)

    def _count(self, worker: Worker) -> None:
        """Keep the sums over all workers true."""
        before, now = worker.counted, NOTHING_COUNTED
        if worker.phase is Phase.READY:
            parked = worker.parked
            now = Counted(worker.threads - parked, min(len(worker.tickets), worker.threads) - parked, parked)
        if now != before:
            worker.counted = now
            self._open += now.open - before.open
            self._occupied += now.occupied - before.occupied
            self.parked += now.parked - before.parked

    def idle_spares(self) -> list[Worker]:
        """Spares that have nothing to do."""
        return [worker for worker in self.idle.values() if worker.is_spare and not worker.tickets]

    # ---- what they are asked

    def take_back(self, worker: Worker) -> None:
        """Ask a worker for its unread tickets, before the turn ends."""
        self._to_take_back[worker.id] = None
        self.asked_back[worker.id] = None

    def took_back(self, worker: Worker) -> None:
        """It has answered."""
        self.asked_back.pop(worker.id, None)
        worker.has_unread = False

    def look(self, worker: Worker) -> None:
        """Ask what a worker has done and is at, before the turn ends."""
        self._to_look[worker.id] = None

    def ask(self) -> None:
        """Order what was asked for. Looks come last: they make the words that other orders go by old."""
        for worker in self._to_take_back:
            self._outbox.order(TakeBack(worker))
        for worker in self._to_look:
            self._outbox.order(Look(worker))
        self._to_take_back.clear()
        self._to_look.clear()

    def check(self) -> None:
        """Every index, and every sum a worker keeps, against what it is one of."""
        ready = [worker for worker in self.workers.values() if worker.phase is Phase.READY]
        assert self.ready == sum(not worker.is_spare for worker in ready)
        hoped_for = (Phase.STARTING, Phase.READY)
        assert self.spares == sum(one.is_spare and one.phase in hoped_for for one in self.workers.values())
        assert self._open == sum(worker.threads - worker.parked for worker in ready)
        assert self.parked == sum(worker.parked for worker in ready)
        assert self._occupied + self.parked == sum(min(len(worker.tickets), worker.threads) for worker in ready)
        names = [worker.name for worker in self.workers.values() if worker.name]
        assert sorted([*names, *self._free_names]) == sorted(self._config.worker_names)
        for index in (self.idle, self.hungry, self.backed_up):
            assert all(self.workers[name] is worker for name, worker in index.items())
        for name, worker in self.workers.items():
            is_ready = worker.phase is Phase.READY
            assert worker.left == sum(ticket.hi - ticket.next for ticket in worker.tickets.values())
            assert worker.ahead_ns == sum(
                (ticket.hi - ticket.next) * ticket.cost_ns for ticket in worker.tickets.values()
            )
            assert all(ticket.next < ticket.hi for ticket in worker.tickets.values())
            assert not worker.is_alone or len(worker.tickets) == 1
            assert worker.parked == sum(slot.is_parked for slot in worker.slots)
            assert (name in self.idle) == (is_ready and not worker.is_alone and worker.free > 0)
            assert (name in self.backed_up) == (is_ready and worker.is_backed_up)
            assert all(ticket.run.function in worker.functions for ticket in worker.tickets.values())
        assert not self._to_take_back
        assert not self._to_look
