"""How much of a client may be here: beyond that it keeps its new tasks until half of it is gone. Without limits, all.

What tasks submit is not held up: their client's waits for it.
"""

from collections.abc import Callable

from scaler.core.holdings import Holding
from scaler.core.managers import Managers
from scaler.ids import Incarnation
from scaler.protocol import QueueFull
from scaler.resources import bytes_text

#: clients with too much here, each with what it is told
_Full = dict[Incarnation, str]


class Admission:
    """Tells clients which are to keep their tasks, and by which limit."""

    def __init__(self, managers: Managers) -> None:
        self._clients = managers.clients
        self._outbox = managers.outbox
        #: by name; each tells which clients are beyond it, given those that it named last
        self._limits: dict[str, Callable[[_Full], _Full]] = {}
        config = managers.config
        if config.max_queued_tasks is not None:
            self._limits["tasks"] = _TaskLimit(managers, config.max_queued_tasks).full
        if config.memory_limit_bytes is not None:
            self._limits["memory"] = _MemoryLimit(managers, config.memory_limit_bytes).full
        self._beyond: dict[str, _Full] = {name: {} for name in self._limits}
        #: the limit by which each client was told to keep its tasks
        self._told: dict[Incarnation, str] = {}

    def joined(self, peer: Incarnation) -> None:
        """A client is there, and keeps nothing yet."""
        self._told.pop(peer, None)

    def tick(self) -> None:
        """Tell clients if they are to keep their tasks from now on, or need not any more."""
        if not self._limits:
            return
        beyond: dict[Incarnation, str] = {}
        for name, full in self._limits.items():
            self._beyond[name] = full(self._beyond[name])
            for peer in self._beyond[name]:
                beyond.setdefault(peer, name)
        for peer in [peer for peer in self._told if peer not in beyond]:
            del self._told[peer]
            self._outbox.send(peer, QueueFull(full=False))
        for peer, name in beyond.items():
            client = self._clients.clients.get(peer)
            if client is not None and client.parent is None and self._told.get(peer) != name:
                self._told[peer] = name
                self._outbox.send(peer, QueueFull(full=True, why=self._beyond[name][peer]))


class _TaskLimit:
    """Counts what workers could take, or will once there are any; what is aside or waits for others is not counted."""

    def __init__(self, managers: Managers, limit: int) -> None:
        self._queue = managers.tasks.queue
        self._workers = managers.workers
        self._limit = limit

    def full(self, before: _Full) -> _Full:
        waiting = self._queue.waiting
        if not self._workers.slots:
            waiting = waiting + self._queue.waiting_aside
        text = "{count:,} tasks of this client wait at the scheduler, where {limit:,} may (--max-queued-tasks)"
        return {
            peer: before.get(peer) or text.format(count=count, limit=self._limit)
            for peer, count in waiting.items()
            if count >= self._limit or (peer in before and count > self._limit // 2)
        }


class _MemoryLimit:
    """Beyond it those wait that have more here than an equal part of it: there is always one."""

    def __init__(self, managers: Managers, limit_bytes: int) -> None:
        self._tasks = managers.tasks
        self._functions = managers.functions
        self._limit_bytes = limit_bytes

    def full(self, before: _Full) -> _Full:
        holdings = self._tasks.holdings
        total = self._functions.size_bytes + sum(holding.size_bytes for holding in holdings.values())
        if total < self._limit_bytes // 2 or not holdings or (total < self._limit_bytes and not before):
            return {}
        part = self._limit_bytes // len(holdings)
        full: _Full = {}
        for peer, holding in holdings.items():
            size_bytes = self._size(holding)
            if peer in before and size_bytes > part // 2:
                full[peer] = before[peer]
            elif total >= self._limit_bytes and size_bytes >= part:
                full[peer] = (
                    f"the scheduler has {bytes_text(size_bytes)} of this client, and {bytes_text(total)} in all,"
                    f" where {bytes_text(self._limit_bytes)} may be (--memory-limit)"
                )
        return full

    def _size(self, holding: Holding) -> int:
        return holding.size_bytes + sum(self._functions.bytes_of(function) for function in holding.functions)
