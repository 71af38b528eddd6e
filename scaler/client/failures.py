"""The futures of a client that have failed and are still held by somebody, alone or with the others of their map."""

import weakref
from typing import Protocol

from scaler.client.futures import ScalerFuture
from scaler.ids import BatchId, TaskId


class Failing(Protocol):
    """Many tasks whose futures are made when asked for."""

    @property
    def batch(self) -> BatchId:
        """The batch they are."""
        ...

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
        self._maps: weakref.WeakValueDictionary[BatchId, Failing] = weakref.WeakValueDictionary()
        self._anew: weakref.WeakKeyDictionary[Failing, set[int]] = weakref.WeakKeyDictionary()

    def add(self, future: ScalerFuture) -> None:
        """This one has failed."""
        self._futures[future.task] = future

    def add_map(self, tasks: Failing) -> None:
        """Some of these have failed."""
        self._maps[tasks.batch] = tasks

    def remove(self, future: ScalerFuture) -> None:
        """Its task has been submitted anew."""
        tasks = self._maps.get(future.task.batch)
        if self._futures.pop(future.task, None) is None and tasks is not None:
            self._anew.setdefault(tasks, set()).add(future.task.index)

    def all(self) -> list[ScalerFuture]:
        """Those that are held, in the order in which they were submitted."""
        # the references are copied in one step, while another thread may add some
        found = [future for reference in self._futures.valuerefs() if (future := reference()) is not None]
        for reference in self._maps.valuerefs():
            if (tasks := reference()) is not None:
                anew = self._anew.get(tasks, set())
                found += [tasks.future(index) for index in tasks.failures() if index not in anew]
        return sorted(found, key=lambda future: future.task)
