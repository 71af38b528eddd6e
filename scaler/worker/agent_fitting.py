"""Which worker may run what: it depends on the devices that it sees, and on the code that it has imported.

A process looks for its devices once, and imports one content of a module: what it sees and has imported stays for all
its life. Devices are dealt out to the seats at the start; a task that asks for GPUs runs where it sees just so many,
and none that another has. Where no worker fits, an idle one makes room for another, which has the task already when it
starts. Of a device tasks may ask for a part: then several workers see it, and no more of it is given out than there is.
"""

import math
from collections.abc import Collection, Iterator

from scaler.protocol.code import Code
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_work import Phase, Run, Seat, Worker

#: so long tasks with code that no worker has wait for those with other code, before one is kept for them
PATIENCE_S = 0.5
#: sums of fractions miss whole numbers by a little
_CLOSE = 1e-9


class Fitting:
    """Finds workers for single tasks; it may have an idle one replaced."""

    def __init__(self, devices: tuple[str, ...], pool: Pool) -> None:
        self._devices = devices
        self._pool = pool
        #: code of tasks that were passed over, since all workers have imported other code, and since when
        self._passed_over: dict[Code, float] = {}
        #: the worker that is given nothing else, until it can be replaced for them
        self._kept: dict[Code, Worker] = {}

    # ---- who may run what

    def is_plain(self, worker: Worker, run: Run) -> bool:
        """Whether nothing has to be looked at: any task may run anywhere."""
        return not self._devices and not self._kept and (not run.code or worker.may_import(run.code))

    def may_wait_at(self, worker: Worker, run: Run, now: float) -> bool:
        """Whether tasks of a run may be given to a worker before it can begin them."""
        return not run.gpus and self._may_run(worker, run, now)

    def find(self, run: Run, now: float, *, is_alone: bool = False) -> Worker | None:
        """A worker that can begin a task of a run, or that will as soon as it has started; None if there is none.

        What is to run alone has a worker without anything else.
        """
        if run.gpus and self._devices:
            return self._with_devices(run, now, is_alone=is_alone)
        for worker in self._candidates():
            if not (is_alone and worker.tickets) and self._may_run(worker, run, now):
                return worker
        return self.replace_idle(run, now) if is_alone or run.code in self._kept else None

    def replace_idle(self, run: Run, now: float) -> Worker | None:
        """A new worker for a task of a run, in place of an idle one; None if there is none."""
        if not self._pool.may_replace(now):
            return None
        resting = [worker for worker in self._candidates() if worker.is_replaceable and not self._is_kept(worker, run)]
        return self._pool.replace(resting[-1], now) if resting else None

    def _candidates(self) -> Iterator[Worker]:
        """Workers with a free slot; those that see no device come first."""
        idle = self._pool.idle.values()
        if not self._devices:
            yield from idle
            return
        yield from (worker for worker in idle if not worker.devices)
        yield from (worker for worker in idle if worker.devices)

    def _may_run(self, worker: Worker, run: Run, now: float) -> bool:
        if worker.may_import(run.code):
            return not self._is_kept(worker, run)
        self._passed_over.setdefault(run.code, now)
        return False

    # ---- code that has to wait

    def _is_kept(self, worker: Worker, run: Run) -> bool:
        """Whether a worker is kept for others than the tasks of a run."""
        return any(kept is worker and code != run.code for code, kept in self._kept.items())

    def given(self, run: Run) -> None:
        """A task of a run was given to a worker."""
        self._passed_over.pop(run.code, None)
        self._kept.pop(run.code, None)

    def settle(self, waiting: Collection[Code], now: float) -> None:
        """With all that wait known, see for which of them a worker is to be kept."""
        self._passed_over = {code: since for code, since in self._passed_over.items() if code in waiting}
        self._kept = {
            code: worker
            for code, worker in self._kept.items()
            if code in waiting and worker.phase is Phase.READY and worker.will_take
        }
        for code, since in self._passed_over.items():
            if code not in self._kept and now >= since + PATIENCE_S:
                self._passed_over[code] = now
                self._keep_one(code)

    def _keep_one(self, code: Code) -> None:
        """Keep the worker that will have nothing to do soonest; if there is none, that is tried again later."""
        kept = list(self._kept.values())
        able = [one for one in self._pool.workers.values() if one.phase is Phase.READY and one.will_take]
        others = [one for one in able if one not in kept]
        if others:
            self._kept[code] = min(others, key=lambda worker: worker.ahead_ns)

    @property
    def has_passed_over(self) -> bool:
        """Whether any code waits for a worker."""
        return bool(self._passed_over)

    def next_deadline(self) -> float | None:
        """When a worker is to be kept for some code."""
        waiting = (since for code, since in self._passed_over.items() if code not in self._kept)
        return min((since + PATIENCE_S for since in waiting), default=None)

    # ---- devices

    def _with_devices(self, run: Run, now: float, *, is_alone: bool) -> Worker | None:
        count, part = math.ceil(run.gpus - _CLOSE), min(1.0, run.gpus)
        free = self._free(part)
        for worker in self._pool.idle.values():
            fits = len(worker.devices) == count and free.issuperset(worker.devices)
            if fits and not (is_alone and worker.tickets) and self._may_run(worker, run, now):
                if part == 1:
                    self._take(worker.seat, worker.devices)
                return worker
        if len(free) < count or not self._pool.may_replace(now):
            return None
        return self._replace(run, count, free, now)

    def _free(self, part: float) -> set[str]:
        """The devices of which nobody asks for more than is left beside such a part."""
        used = dict.fromkeys(self._devices, part)
        for worker in self._pool.busy():
            asked = sum(min(1.0, ticket.run.gpus) for ticket in worker.tickets.values())
            if asked:
                for device in worker.devices:
                    used[device] += asked
        return {device for device in self._devices if used[device] <= 1 + _CLOSE}

    def _replace(self, run: Run, count: int, free: set[str], now: float) -> Worker | None:
        """Have a worker that sees so many free devices come in place of an idle one that has as many of them as any."""
        idle = self._pool.idle.values()
        resting = [worker for worker in idle if worker.is_replaceable and not self._is_kept(worker, run)]
        if not resting:
            return None
        chosen = max(resting, key=lambda worker: len(free.intersection(worker.seat.devices)))
        seat = chosen.seat
        ranked = sorted(free, key=lambda device: (self._rank(seat, device), self._devices.index(device)))
        wanted = set(ranked[:count])
        seat.devices = tuple(device for device in self._devices if device in wanted)
        if run.gpus >= 1:
            self._take(seat, seat.devices)
        return self._pool.replace(chosen, now)

    def _rank(self, seat: Seat, device: str) -> int:
        """How little it takes to give a device to a seat: its own, nobody's, an idle one's, a busy one's."""
        if device in seat.devices:
            return 0
        holders = [other for other in self._pool.seats if device in other.devices]
        if not holders:
            return 1
        return 3 if any(member.tickets for holder in holders for member in holder.members) else 2

    def _take(self, seat: Seat, devices: tuple[str, ...]) -> None:
        """Nobody else is to see these devices: who does makes room for another worker when it has nothing left."""
        for other in self._pool.seats:
            if other is not seat and not set(devices).isdisjoint(other.devices):
                other.devices = tuple(device for device in other.devices if device not in devices)
                for member in list(other.members):
                    self._pool.note(member)
