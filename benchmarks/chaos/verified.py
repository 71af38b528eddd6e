"""A workload whose every future is watched: how often it resolved, when, and with what."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from benchmarks.chaos.system import Chaos, GaveUpError, System, wait_until
from benchmarks.measured.runs import Kill, count, counted, value_of
from scaler import Client

#: of the errors that were seen so many are told
TOLD_ERRORS = 3


class Verified:
    """Tasks 0, 1 … of one client, each with its own value, and what became of their futures."""

    def __init__(self, chaos: Chaos, client: Client, name: str, tasks: int, seconds: float) -> None:
        self._chaos = chaos
        self.name = name
        self.tasks = tasks
        self.started_s = time.monotonic()
        self.resolutions: Counter[int] = Counter()
        self.resolved_s: dict[int, float] = {}
        path = chaos.path(name)
        self.futures: Sequence[Future[Any]] = client.map_async(counted, [(path, n, seconds) for n in range(tasks)])
        for index, future in enumerate(self.futures):
            future.add_done_callback(self._note(index))

    def _note(self, index: int) -> Callable[[Future[Any]], None]:
        def note(_: Future[Any]) -> None:
            self.resolutions[index] += 1
            self.resolved_s[index] = time.monotonic()

        return note

    @property
    def done(self) -> int:
        """How many have resolved."""
        return len(self.resolved_s)

    @property
    def is_done(self) -> bool:
        """Whether all have."""
        return self.done >= self.tasks

    def wait_for(self, count: int, within_s: float) -> None:
        """Wait until so many have resolved."""
        wait_until(lambda: self.done >= min(count, self.tasks), f"{count} tasks of {self.name} are done", within_s)

    def wait(self, within_s: float) -> float:
        """Wait until all have resolved, or time is up; the seconds since the start."""
        try:
            wait_until(lambda: self.is_done, "all futures resolve", within_s)
        except GaveUpError:
            self._chaos.tell(f"{self.tasks - self.done} futures of {self.name} have not resolved")
            return time.monotonic() - self.started_s
        return max(self.resolved_s.values()) - self.started_s

    def figures(self, kills: Sequence[Kill] = ()) -> dict[str, Any]:
        """What came out; the runs are those that the tasks have counted."""
        resolved = [(index, future) for index, future in enumerate(self.futures) if future.done()]
        errors = [error for _, future in resolved if (error := future.exception()) is not None]
        wrong = [index for index, future in resolved if not future.exception() and future.result() != value_of(index)]
        counts = count(self._chaos.runs(self.name), self.tasks, kills, self.resolved_s)
        for error in errors[:TOLD_ERRORS]:
            self._chaos.tell(f"{self.name}: {error!r:.300}")
        return {
            "lost": self.tasks - len(resolved) + max(0, counts.never_ended - len(errors)),
            "doubled": sum(times > 1 for times in self.resolutions.values()),
            "wrong": len(wrong),
            "errors": len(errors),
            "re_runs": counts.re_runs,
            "running": counts.running,
            "innocent": counts.innocent,
            "made_again": counts.made_again,
        }


def undisturbed(chaos: Chaos, system: System, tasks: int, seconds: float, within_s: float) -> float:
    """Seconds for the same work while nothing is done to the system."""
    with Client(system.address) as client:
        for number in range(3):  # every worker has loaded the function then
            client.map(counted, [(chaos.path(f"warm{number}"), n, seconds) for n in range(50)])
        work = Verified(chaos, client, "undisturbed", tasks, seconds)
        seconds = work.wait(within_s)
        if not work.is_done:
            raise GaveUpError("the work is not done though nothing was done to the system")
        return seconds
