"""How many tasks may wait here: beyond that clients keep theirs until half of it is gone. Off unless a limit is set."""

from scaler.core.managers import Managers
from scaler.ids import Incarnation
from scaler.protocol import QueueFull


class Admission:
    """Counts what workers could take, or will once there are any; what is aside or waits for others holds up nobody."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._limit = managers.config.max_queued_tasks
        self._is_full = False

    def joined(self, peer: Incarnation) -> None:
        """A client is there: it knows nothing yet."""
        if self._is_full:
            self._managers.outbox.send(peer, QueueFull(full=True))

    def tick(self) -> None:
        """Tell clients if they are to keep their tasks from now on, or need not any more."""
        if self._limit is None:
            return
        queue = self._managers.tasks.queue
        waiting = queue.tasks
        if self._managers.workers.slots:
            waiting -= sum(known.tasks for known in queue.aside.values())
        is_full = waiting > self._limit // 2 if self._is_full else waiting >= self._limit
        if is_full is not self._is_full:
            self._is_full = is_full
            for peer in self._managers.clients.clients:
                self._managers.outbox.send(peer, QueueFull(is_full))
