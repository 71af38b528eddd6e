"""What users make: a cluster within their own process, and a client of one."""

import itertools
import os
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from scaler.client import near
from scaler.client.client import Client
from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread
from scaler.client.waits import have_help
from scaler.errors import ConfigurationError
from scaler.payload import nested
from scaler.payload.nested import Attempt
from scaler.testing.calls import Call
from scaler.testing.driving import drive
from scaler.testing.hub import Hub

#: a capability of Scaler that is there or not, without an amount
_JUST_THERE = -1

_numbers = itertools.count(1)


class InProcessCluster:
    """Stands in for a `SchedulerClusterCombo`: its tasks run in this process, so that debuggers and mocks see them.

    Tasks run one at a time, in the thread that waits for one of them, in order of priority and age; what nobody waits
    for within half a second, in a thread of its own. Arguments and results are pickled and opened as on their way to a
    worker. What one process cannot do is not done: a task that runs is not interrupted by `cancel`, has no `timeout`
    and no memory limit, and takes the program down if it takes its process down.

    `Client(cluster)` and `Client(cluster.get_address())` connect to it, in this process alone.
    `per_worker_capabilities` maps tags to -1, and what can be had in numbers to how much of it there is.
    """

    def __init__(self, *, per_worker_capabilities: Mapping[str, float] | None = None) -> None:
        offered = per_worker_capabilities or {}
        for name, amount in offered.items():
            if amount != _JUST_THERE and not amount > 0:
                raise ConfigurationError(f"per_worker_capabilities: {name} is -1 or more than 0, not {amount!r}")
        tags = tuple(name for name, amount in offered.items() if amount == _JUST_THERE)
        resources = tuple(sorted((name, float(amount)) for name, amount in offered.items() if amount != _JUST_THERE))
        self._hub = Hub(next(_numbers), tags, resources)
        self._is_running = True
        _helper.clusters.add(self)
        near.here[self._hub.address] = self
        have_help(_helper)

    @property
    def is_running(self) -> bool:
        """Whether it was not shut down."""
        return self._is_running

    @property
    def hub(self) -> Hub:
        """What is in it."""
        return self._hub

    def get_address(self) -> str:
        """Where clients of this process reach it."""
        return self._hub.address

    def io(self, config: ClientConfig, secret: bytes) -> IoThread:
        """What a client speaks to it by."""
        return self._hub.io(config, secret)

    def shutdown(self) -> None:
        """Run nothing more; clients hear of it by `DisconnectedError`. May be called twice."""
        self._is_running = False
        near.here.pop(self._hub.address, None)
        self._hub.end()
        _helper.clusters.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<InProcessCluster {self._hub.address if self._is_running else 'stopped'}>"


def in_process_client(
    *, per_worker_capabilities: Mapping[str, float] | None = None, **options: Any
) -> Client:  # Any: those of `Client`
    """A `Client` of an `InProcessCluster` of its own; `options` are those of `Client`."""
    return Client(InProcessCluster(per_worker_capabilities=per_worker_capabilities), **options)


class _Helper:
    """Runs the tasks of all such clusters in the threads that wait."""

    def __init__(self) -> None:
        self.clusters: weakref.WeakSet[InProcessCluster] = weakref.WeakSet()

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait, and run tasks meanwhile."""
        hubs = self._hubs()
        benches = [(hub, bench) for hub in hubs for bench in hub.benches]
        return drive(benches, attempt, timeout_s) if benches else attempt(timeout_s)

    def step(self) -> bool:
        """Run one task of those that this thread would run while it waits."""
        task = nested.here()
        if isinstance(task, Call):
            return task.step()
        benches = [] if task is not None else [(hub, bench) for hub in self._hubs() for bench in hub.benches]
        return any(hub.is_settled(bench) and hub.step(bench) for hub, bench in benches)

    def _hubs(self) -> list[Hub]:
        return sorted((cluster.hub for cluster in list(self.clusters)), key=lambda hub: hub.number)


_helper = _Helper()


def _forget() -> None:
    """In a forked child the threads that tasks depend on are the parent's, and so are the clusters."""
    near.here.clear()
    _helper.clusters.clear()


os.register_at_fork(after_in_child=_forget)
