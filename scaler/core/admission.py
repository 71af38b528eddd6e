"""How many tasks of a client may wait here: beyond that it keeps its own until half of them is gone. Off by default."""

from scaler.core.managers import Managers
from scaler.ids import Incarnation
from scaler.protocol import QueueFull


class Admission:
    """Counts what workers could take, or will once there are any; what is aside or waits for others holds up nobody.

    What tasks submit is not counted, and not held up: their client's waits for it.
    """

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._limit = managers.config.max_queued_tasks
        #: the clients that were told to keep their tasks
        self._full: dict[Incarnation, None] = {}

    def joined(self, peer: Incarnation) -> None:
        """A client is there, and keeps nothing yet."""
        self._full.pop(peer, None)

    def tick(self) -> None:
        """Tell clients if they are to keep their tasks from now on, or need not any more."""
        if self._limit is None:
            return
        managers = self._managers
        queue, clients = managers.tasks.queue, managers.clients.clients
        waiting = queue.waiting if managers.workers.slots else queue.waiting + queue.waiting_aside
        for peer in [peer for peer in self._full if waiting[peer] <= self._limit // 2]:
            del self._full[peer]
            if peer in clients:
                managers.outbox.send(peer, QueueFull(full=False))
        for peer, count in waiting.items():
            client = clients.get(peer)
            if count >= self._limit and client is not None and client.parent is None and peer not in self._full:
                self._full[peer] = None
                managers.outbox.send(peer, QueueFull(full=True, why=_too_many(count, self._limit)))


def _too_many(count: int, limit: int) -> str:
    return f"{count:,} tasks of this client wait at the scheduler, where {limit:,} may (--max-queued-tasks)"
