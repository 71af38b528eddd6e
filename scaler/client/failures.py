"""The futures of a client that have failed and are still held by somebody, alone or with the others of their map."""

import weakref
from typing import Protocol

from scaler.client.futures import ScalerFuture
from scaler.ids import TaskId


class Failing(Protocol):
    """Many tasks whose futures are made when asked for."""

    def failures(self) -> list[int]:
        """Those that failed."""
        ...

    def future(self, index: int) -> ScalerFuture:
        """The future of one."""
        ...


class Failures:
    """Weak references, so that a failed future costs nothing once its user has let go of it."""

    def __init__(self) -> None:
        self._futures: weakref.WeakValueDictionary[TaskId, ScalerFuture] = weakref.WeakValueDictionary()
        #: maps with failures, and those of their tasks that were submitted anew
        self._maps: weakref.WeakSet[Failing] = weakref.WeakSet()
        self._anew: set[TaskId] = set()

    def add(self, future: ScalerFuture) -> None:
        """This one has failed."""
        self._futures[future.task] = future

    def add_map(self, tasks: Failing) -> None:
        """Some of these have failed."""
        self._maps.add(tasks)

    def remove(self, future: ScalerFuture) -> None:
        """Its task has been submitted anew."""
        if self._futures.pop(future.task, None) is None:
            self._anew.add(future.task)

    def all(self) -> list[ScalerFuture]:
        """Those that are held, in the order in which they were submitted."""
        # the references are copied in one step, while another thread may add some
        found = [future for reference in self._futures.valuerefs() if (future := reference()) is not None]
        found += [tasks.future(index) for tasks in list(self._maps) for index in tasks.failures()]
        return sorted((future for future in found if future.task not in self._anew), key=lambda future: future.task)
