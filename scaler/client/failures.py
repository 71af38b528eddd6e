"""The futures of a client that have failed and are still held by somebody."""

import weakref

from scaler.client.futures import ScalerFuture
from scaler.ids import TaskId


class Failures:
    """Weak references, so that a failed future costs nothing once its user has let go of it."""

    def __init__(self) -> None:
        self._futures: weakref.WeakValueDictionary[TaskId, ScalerFuture] = weakref.WeakValueDictionary()

    def add(self, future: ScalerFuture) -> None:
        """This one has failed."""
        self._futures[future.task] = future

    def remove(self, future: ScalerFuture) -> None:
        """Its task has been submitted anew."""
        self._futures.pop(future.task, None)

    def all(self) -> list[ScalerFuture]:
        """Those that are held, in the order in which they were submitted."""
        # the references are copied in one step, while another thread may add some
        found = [future for reference in self._futures.valuerefs() if (future := reference()) is not None]
        return sorted(found, key=lambda future: future.task)
