"""Giving back to the scheduler what it asks for, as far as it has not begun."""

from scaler.ids import WorkerId
from scaler.protocol import Retract, RetractAnswered, Returned, ReturnReason
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool
from scaler.worker.agent_runs import Runs


class Retracts:
    """Retractions on their way: each waits for the unread tickets of the workers that have some of it."""

    def __init__(self, runs: Runs, pool: Pool, outbox: Outbox) -> None:
        self._runs = runs
        self._pool = pool
        self._outbox = outbox
        self._waiting: list[tuple[Retract, list[WorkerId]]] = []

    def __bool__(self) -> bool:
        """Whether any waits: nothing is given out meanwhile, it might be what is asked for."""
        return bool(self._waiting)

    def ask(self, message: Retract) -> None:
        """The scheduler has others for these tasks."""
        run = self._runs.by_id.get(message.run)
        asked: list[WorkerId] = []
        if run is not None and run.out:
            for worker in self._pool.busy():
                if worker.has_unread and any(
                    ticket.run is run and ticket.next < message.hi and message.lo < ticket.hi
                    for ticket in worker.tickets.values()
                ):
                    self._pool.take_back(worker)
                    asked.append(worker.id)
        self._waiting.append((message, asked))

    def settle(self) -> None:
        """Answer those that wait for nobody any more."""
        waiting, self._waiting = self._waiting, []
        for message, asked in waiting:
            if any(worker in self._pool.asked_back for worker in asked):
                self._waiting.append((message, asked))
            else:
                self._answer(message)

    def _answer(self, message: Retract) -> None:
        run = self._runs.by_id.get(message.run)
        if run is not None:
            ranges = self._runs.take(run, message.lo, message.hi)
            if ranges:
                self._outbox.say(Returned(run.id, tuple(ranges), ReturnReason.RETRACTED))
            self._runs.settle(run)
        self._outbox.gather()
        self._outbox.say(RetractAnswered(message.run, message.lo, message.hi))
