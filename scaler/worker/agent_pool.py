"""The workers of a cluster: started, replaced and ended, and indexed by what they can take."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from scaler.ids import WorkerId
from scaler.resources import NO_RESOURCES, Resources
from scaler.worker.agent_events import KillWorker, Look, RetireWorker, StartWorker, TakeBack
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_work import ALIVE, LOOKAHEAD_NS, NOTHING_COUNTED, Counted, Phase, Seat, Worker

#: a worker that ends so soon after its start without having run anything was started in vain
VAIN_S = 1.0
FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
#: tasks that a worker runs which never retires
_ENDLESS = 1 << 62


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
    max_tasks_per_worker: int | None = None
    memory_limit_bytes: int | None = None
    devices: tuple[str, ...] = ()
    #: how long a task may run that has no timeout of its own; None for ever
    task_timeout_s: float | None = None
    #: of what tasks print, so many lines a second go to clients
    output_lines_per_s: float = 200.0
    #: what each worker has to call before it starts, for people
    preload: str = ""
    #: the port at which other clusters are given what is here, and the public key that is shown there; 0 for none
    port: int = 0
    key: str = ""

    @property
    def place(self) -> str:
        """Where its tasks run, for people: the host, and the cluster unless its name tells no more than the host."""
        tells_host = self.name in {self.host, f"{self.host}-{self.pid}"}
        return self.name if tells_host else f"{self.host} ({self.name})"


def _shares(devices: tuple[str, ...], seats: int) -> list[tuple[str, ...]]:
    """The devices dealt out to seats, as evenly as can be."""
    ends = [len(devices) * number // max(1, seats) for number in range(seats + 1)]
    return [devices[lo:hi] for lo, hi in pairwise(ends)]


class Pool:
    """All workers that have been asked for and have not ended, by number."""

    def __init__(self, config: AgentConfig, outbox: Outbox) -> None:
        self._config = config
        self._outbox = outbox
        self.workers: dict[WorkerId, Worker] = {}
        #: slots there are for tasks that run, how many of them workers have work for, and tasks that are parked beside
        self._nominal = config.workers * config.threads
        self._occupied = 0
        self.parked = 0
        #: seats that are offered: all and only those with `is_up`; those of spares apart
        self.ready = 0
        self._spares_up = 0
        #: spares that were asked for and are not to end
        self.spares = 0
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
        names = config.worker_names + ("",) * max(0, config.workers - len(config.worker_names))
        shares = _shares(config.devices, config.workers)
        #: those there always are, and those of spares that have not ended
        self.seats = [Seat(name, share) for name, share in zip(names[: config.workers], shares, strict=True)]
        #: all and only seats that need another worker, and when they are to get one
        self._vacant = deque(self.seats)
        self._start_at = 0.0
        self._delay_s = 0.0
        #: a worker could take tickets, now or before
        self.has_had_any = False
        self.is_closed = False

    @property
    def asked_for(self) -> int:
        """How many workers were ever asked for."""
        return self._next

    @property
    def slots(self) -> int:
        """How many tasks can be in slots at once: so many can run, the others wait for tasks and do not."""
        up = self.ready * self._config.threads + self._spares_up - self.parked
        return min(max(up, 0), self._nominal) + self.parked

    @property
    def room(self) -> int:
        """How many more tasks can begin now, however many workers there are.

        Below zero while more run than there are slots, since tasks that were parked have gone on.
        """
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

    def callers(self) -> list[Worker]:
        """The workers that have calls to make themselves, and nothing that they have to do alone."""
        ready = (worker for worker in self.workers.values() if worker.phase is Phase.READY)
        return [worker for worker in ready if worker.calls and not worker.is_alone]

    # ---- lives

    def start_missing(self, now: float) -> None:
        """Have workers started for the seats that need one, and spares for parked tasks, if their time has come."""
        while self._vacant and self.may_replace(now):
            self._start(self._vacant.popleft(), now)
        while self.spares < self.parked and self.may_replace(now):
            seat = Seat("", (), is_spare=True)
            self.seats.append(seat)
            self._start(seat, now)

    def may_replace(self, now: float) -> bool:
        """Whether a worker may be started now."""
        return not self.is_closed and now >= self._start_at

    def replace(self, worker: Worker, now: float) -> Worker:
        """Have another worker started in the seat of one that has no tickets; it may be given some already."""
        worker.most = worker.done
        self._tend(worker.seat)
        if not worker.seat.is_spare:
            self._vacant.remove(worker.seat)
        return self._start(worker.seat, now)

    def _start(self, seat: Seat, now: float) -> Worker:
        config = self._config
        most = config.max_tasks_per_worker or _ENDLESS
        threads = 1 if seat.is_spare else config.threads
        worker = Worker(WorkerId(self._next), seat, threads, config.place, now, most)
        self._next += 1
        self.spares += seat.is_spare
        self.workers[worker.id] = worker
        seat.members.append(worker)
        devices = ",".join(seat.devices) if config.devices else None
        self._outbox.order(StartWorker(worker.id, seat.name, devices, seat.is_spare))
        return worker

    def started(self, worker: Worker, pid: int, now: float) -> None:
        """A worker can take tickets."""
        worker.pid = pid
        worker.started_at = worker.looked_at = now
        if worker.phase is Phase.STARTING:
            self.has_had_any = True
            worker.phase = Phase.READY
            self._set_up(worker.seat, is_up=True)
            self.note(worker)
            named = {"name": worker.seat.name} if worker.seat.name else {}
            self._outbox.note("info", f"Worker[{worker.id}] started", pid=pid, **named)
        else:
            self._outbox.order(KillWorker(worker.id))

    def ended(self, worker: Worker, now: float, *, in_vain: bool) -> None:
        """A worker is gone, or never came: another takes its seat, after a pause if this was in vain."""
        seat, was_planned = worker.seat, worker.phase is Phase.RETIRING
        self._leave(worker, Phase.RETIRING if was_planned else Phase.KILLED)
        self._outbox.withdraw(worker.id)
        del self.workers[worker.id]
        seat.members.remove(worker)
        self._see_whether_up(seat)
        if seat.is_spare and not seat.members:
            self.seats.remove(seat)
        self._to_take_back.pop(worker.id, None)
        self._to_look.pop(worker.id, None)
        self.asked_back.pop(worker.id, None)
        if in_vain and now >= self._start_at:
            self._delay_s = min(LAST_DELAY_S, max(FIRST_DELAY_S, 2 * self._delay_s))
            self._start_at = now + self._delay_s
        elif not in_vain and not was_planned:
            self._delay_s = 0.0
            self._start_at = now
        self._tend(seat)

    def next_start(self) -> float | None:
        """When workers are to be started."""
        is_due = self._vacant or self.spares < self.parked
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
        self.spares -= worker.seat.is_spare and worker.phase in ALIVE
        worker.phase = phase
        if phase is Phase.KILLED:
            self._see_whether_up(worker.seat)
        self.note(worker)

    def _see_whether_up(self, seat: Seat) -> None:
        if not any(member.phase in ALIVE for member in seat.members):
            self._set_up(seat, is_up=False)

    def _set_up(self, seat: Seat, *, is_up: bool) -> None:
        if seat.is_spare:
            self._spares_up += is_up - seat.is_up
        else:
            self.ready += is_up - seat.is_up
        seat.is_up = is_up

    def _tend(self, seat: Seat) -> None:
        """See whether a seat needs another worker, or one fewer."""
        for worker in list(seat.members):
            last = seat.members[-1]
            is_superseded = worker is not last and last.phase is Phase.READY
            is_done = worker.phase is Phase.READY and not worker.tickets and not worker.calls
            if is_done and (worker.is_spent or is_superseded):
                self.retire(worker)
        if seat.is_vacant != (seat in self._vacant):
            (self._vacant.append if seat.is_vacant else self._vacant.remove)(seat)

    # ---- what they can take

    def note(self, worker: Worker) -> None:
        """What a worker has to do has changed."""
        self._count(worker)
        self._index(worker)
        if worker.most < _ENDLESS or self._config.devices:
            self._tend(worker.seat)

    def _count(self, worker: Worker) -> None:
        """Keep the sums over all workers true."""
        before, now = worker.counted, NOTHING_COUNTED
        if worker.phase in ALIVE:
            now = Counted(min(len(worker.tickets), worker.threads) - worker.parked, worker.parked)
        if now != before:
            worker.counted = now
            self._occupied += now.occupied - before.occupied
            self.parked += now.parked - before.parked

    def _index(self, worker: Worker) -> None:
        name = worker.id
        is_open = not worker.is_alone and not worker.calls
        can_take = worker.phase is Phase.READY and is_open and worker.budget > 0
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

    def idle_spares(self) -> list[Worker]:
        """Spares that have nothing to do."""
        return [
            worker for worker in self.idle.values() if worker.seat.is_spare and not (worker.tickets or worker.calls)
        ]

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
        self._check_seats()
        for index in (self.idle, self.hungry, self.backed_up):
            assert all(self.workers[name] is worker for name, worker in index.items())
        for name, worker in self.workers.items():
            is_ready = worker.phase is Phase.READY
            can_take = is_ready and not worker.is_alone and not worker.calls and worker.budget > 0
            assert worker.left == sum(ticket.hi - ticket.next for ticket in worker.tickets.values())
            assert worker.ahead_ns == sum(
                (ticket.hi - ticket.next) * ticket.cost_ns for ticket in worker.tickets.values()
            )
            assert all(ticket.next < ticket.hi for ticket in worker.tickets.values())
            assert not worker.is_alone or len(worker.tickets) == 1
            assert worker.parked == sum(slot.is_parked for slot in worker.slots)
            assert worker.budget >= 0
            assert not (is_ready and worker.is_spent and not worker.calls)
            is_busy = worker.tickets or worker.calls
            assert worker is worker.seat.members[-1] or is_busy or not is_ready or worker.budget > 0
            assert (name in self.idle) == (can_take and worker.free > 0)
            assert name not in self.hungry or can_take
            assert (name in self.backed_up) == (is_ready and worker.is_backed_up)
            assert all(ticket.run.function in worker.functions for ticket in worker.tickets.values())
            assert all(worker.may_import(ticket.run.code) for ticket in worker.tickets.values())
        assert not self._to_take_back
        assert not self._to_look

    def _check_seats(self) -> None:
        assert self.ready == sum(seat.is_up and not seat.is_spare for seat in self.seats)
        assert self._spares_up == sum(seat.is_up and seat.is_spare for seat in self.seats)
        alive = [worker for worker in self.workers.values() if worker.phase in ALIVE]
        assert self.spares == sum(worker.seat.is_spare for worker in alive)
        assert self.parked == sum(worker.parked for worker in alive)
        assert self._occupied + self.parked == sum(min(len(worker.tickets), worker.threads) for worker in alive)
        assert sorted(self.workers) == sorted(member.id for seat in self.seats for member in seat.members)
        for seat in self.seats:
            assert not seat.is_up or any(member.phase is not Phase.KILLED for member in seat.members)
            assert self.is_closed or seat.is_vacant == (seat in self._vacant)
