"""Which worker may run what: a task that asks for GPUs runs where it sees just so many, and shares none of them.

A process looks for its devices once, so a worker sees the same ones all its life. They are dealt out to the seats at
the start; where a task asks for another number of them, an idle worker makes room for one that sees so many. Of a
device tasks may ask for a part: then it is seen by several workers, and no more of it is given out than there is.
"""

import math
from collections.abc import Iterator

from scaler.worker.agent_pool import Pool
from scaler.worker.agent_work import Run, Seat, Worker

#: sums of fractions miss whole numbers by a little
_CLOSE = 1e-9


class Fitting:
    """Finds workers for single tasks; it may have an idle one replaced."""

    def __init__(self, devices: tuple[str, ...], pool: Pool) -> None:
        self._devices = devices
        self._pool = pool

    @property
    def is_needed(self) -> bool:
        """Whether workers differ in what they may run."""
        return bool(self._devices)

    def may_wait_at(self, _worker: Worker, run: Run) -> bool:
        """Whether tasks of a run may be given to a worker before it can begin them."""
        return not run.gpus

    def find(self, run: Run, now: float) -> Worker | None:
        """A worker that can begin a task of a run, or that will as soon as it has started; None if there is none."""
        return self._with_devices(run, now, is_alone=False) if run.gpus else next(self._candidates(), None)

    def find_alone(self, run: Run, now: float) -> Worker | None:
        """As `find`, but for a worker that has nothing else."""
        if run.gpus:
            return self._with_devices(run, now, is_alone=True)
        return next((worker for worker in self._candidates() if not worker.tickets), None)

    def _candidates(self) -> Iterator[Worker]:
        """Workers with a free slot; those that see no device come first."""
        idle = self._pool.idle.values()
        yield from (worker for worker in idle if not worker.devices)
        yield from (worker for worker in idle if worker.devices)

    # ---- devices

    def _with_devices(self, run: Run, now: float, *, is_alone: bool) -> Worker | None:
        count, part = math.ceil(run.gpus - _CLOSE), min(1.0, run.gpus)
        free = self._free(part)
        for worker in self._pool.idle.values():
            fits = len(worker.devices) == count and free.issuperset(worker.devices)
            if fits and not (is_alone and worker.tickets):
                if part == 1:
                    self._take(worker.seat, worker.devices)
                return worker
        if len(free) < count or not self._pool.may_replace(now):
            return None
        return self._replace(count, part, free, now)

    def _free(self, part: float) -> set[str]:
        """The devices of which nobody asks for more than is left beside such a part."""
        used = dict.fromkeys(self._devices, part)
        for worker in self._pool.busy():
            asked = sum(min(1.0, ticket.run.gpus) for ticket in worker.tickets.values())
            if asked:
                for device in worker.devices:
                    used[device] += asked
        return {device for device in self._devices if used[device] <= 1 + _CLOSE}

    def _replace(self, count: int, part: float, free: set[str], now: float) -> Worker | None:
        """Have a worker that sees so many free devices come in place of an idle one that has as many of them as any."""
        resting = [worker for worker in self._pool.idle.values() if worker.is_replaceable]
        if not resting:
            return None
        chosen = max(resting, key=lambda worker: len(free.intersection(worker.seat.devices)))
        seat = chosen.seat
        ranked = sorted(free, key=lambda device: (self._rank(seat, device), self._devices.index(device)))
        wanted = set(ranked[:count])
        seat.devices = tuple(device for device in self._devices if device in wanted)
        if part == 1:
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
