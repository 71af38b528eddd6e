"""What is known of how tasks ran, as `ScalerFuture.profiling_info` tells it."""

from dataclasses import dataclass

from scaler.ids import BatchId, TaskId
from scaler.ledger.events import Resolve
from scaler.protocol import Failure
from scaler.protocol.columns import Frame

_RUN_BYTES = 4
_COST_BYTES = 8


@dataclass(frozen=True, slots=True)
class ProfilingInfo:
    """How a task ran: its last attempt, but for `queue_time_s` and `attempts`.

    `duration_s` and `cpu_time_s` are seconds in the function, loading its arguments and pickling its result included;
    `memory_peak` is the most its worker process had used by then, in bytes. What took less than a millisecond is not
    measured closer: its CPU time and memory are 0. `queue_time_s` is all the time between `submit` and the result's
    arrival in which it was not in that attempt: waiting, travelling, and earlier attempts. `worker` and `host` name
    where it ran; `attempts` is how often it began.
    """

    duration_s: float
    cpu_time_s: float
    memory_peak: int
    queue_time_s: float
    worker: str
    host: str
    attempts: int


def told(batch: BatchId, name: str, index: int) -> str:
    """Which task it is and what it is called, as workers say it of what tasks raise."""
    return f"in task {TaskId(batch, index)} ({name})"


class Facts:
    """What was told with the outcomes of some tasks of a batch, shared by their futures."""

    __slots__ = ("_arrived_at", "_batch", "_costs", "_host", "_lo", "_name", "_place", "_run_us", "attempts")

    def __init__(
        self,
        batch: BatchId,
        name: str,
        arrived_at: float,
        place: str,
        attempts: int,
        *,
        host: str = "",
        lo: int = 0,
        run_us: Frame = b"",
        costs: Frame = b"",
    ) -> None:
        self._batch = batch
        self._name = name
        self._arrived_at = arrived_at
        self._place = place
        self._host = host
        self._lo = lo
        self._run_us = run_us
        self._costs = costs
        self.attempts = attempts

    @classmethod
    def of_results(cls, done: Resolve, name: str, now: float) -> "Facts":
        """The facts of tasks that are done."""
        column = done.column
        return cls(
            done.batch, name, now, done.place, done.attempts,
            host=done.host, lo=column.lo, run_us=column.run_us, costs=column.costs,
        )  # fmt: skip

    @classmethod
    def of_failure(cls, batch: BatchId, name: str, failure: Failure, now: float) -> "Facts":
        """The facts of tasks that ended without a result."""
        return cls(batch, name, now, failure.place, failure.attempts)

    def told(self, index: int) -> str:
        """Which of the tasks it is, for people."""
        return told(self._batch, self._name, index)

    def profile(self, index: int, submitted_at: float) -> ProfilingInfo:
        """How a task ran that was submitted then."""
        at = index - self._lo
        run_us = _word(self._run_us, at * _RUN_BYTES)
        waited_s = self._arrived_at - submitted_at - run_us / 1e6
        return ProfilingInfo(
            duration_s=run_us / 1e6,
            cpu_time_s=_word(self._costs, at * _COST_BYTES) / 1e6,
            memory_peak=_word(self._costs, at * _COST_BYTES + _RUN_BYTES) * 1024,
            queue_time_s=max(0.0, waited_s),
            worker=self._place,
            host=self._host,
            attempts=self.attempts,
        )


def _word(frame: Frame, at: int) -> int:
    """The 32-bit word there; 0 where nothing was told."""
    return int.from_bytes(frame[at : at + _RUN_BYTES], "little")
