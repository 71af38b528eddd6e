"""What the simulated tasks do and what really happened to them, counted where they run, not by the code under test."""

from dataclasses import dataclass, field

from scaler.ids import BatchId, Incarnation, ObjectId, TaskId, WorkerId
from scaler.protocol import BatchOptions
from scaler.protocol.columns import RAISED, RAISED_RETRYABLE, VALUE
from scaler.protocol.references import is_record, read_record
from scaler.worker.agent import AgentConfig
from tests.simulation.clock import Clock
from tests.simulation.objects import OBJECTS


def argument(batch: BatchId, index: int) -> bytes:
    """What the client sends for a task."""
    return b"%d:%d:%d" % (*batch, index)


def value_of(call: bytes) -> bytes:
    """What a call returns when all goes well: a few times more than the rest."""
    return b"=" + call * (100 if call.endswith(b"7") else 1)


def error_of(call: bytes) -> bytes:
    """What a call raises when it is meant to: a few times more than the rest."""
    return b"!" + call.ljust(100 * len(call) if call.endswith(b"3") else 0, b"!")


def raised_by(error: bytes) -> bytes:
    """The call that raised it."""
    return error.strip(b"!")


@dataclass(slots=True)
class Begin:
    """One time that a task began: where and when, and how it ended there."""

    cluster: Incarnation
    worker: WorkerId
    at: float
    #: "" while it runs, "value", "raised", "retryable", "interrupted" or "died"
    end: str = ""
    #: of a task that submits others: how long it held its slot
    held_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a task does that submits others."""

    #: the ways there are for it and those below it, and its own
    ways: tuple[str, ...]
    #: how many levels of tasks there are below it, and how many tasks it submits at a time at most
    levels: int
    width: int
    how: str = ""
    #: how long it works before and after it waits
    before_s: float = 0.0
    after_s: float = 0.0


@dataclass(slots=True)
class Task:
    """One call: what it is meant to do, and what became of it."""

    batch: BatchId
    index: int
    #: its argument
    call: bytes
    options: BatchOptions
    seconds: float
    #: so often it takes its worker down, or raises what may be tried again, before it returns
    deaths_left: int = 0
    raises_left: int = 0
    #: it raises what may not be tried again
    raises: bool = False
    #: the tasks whose values it needs
    needs: tuple[TaskId, ...] = ()
    #: how it submits others, if it does
    shape: Shape | None = None
    #: it was told once that too many tasks wait
    was_refused: bool = False
    begins: list[Begin] = field(default_factory=list)
    #: workers that ended unasked while it was in one of their slots
    deaths: int = 0
    submitted_at: float = 0.0
    cancelled_at: float | None = None
    #: its client has asked for it to be cancelled unless it has begun
    is_asked_for: bool = False


class Workload:
    """Every task of a history, by its call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tasks: dict[bytes, Task] = {}
        #: the values that workers have laid in the stores of their clusters, and those whose file has vanished
        self.laid: dict[ObjectId, bytes] = {}
        self.gone: set[bytes] = set()

    def add(self, task: Task) -> None:
        """A task that is about to be submitted."""
        task.submitted_at = self._clock.now
        self.tasks[task.call] = task

    def origins(self, task: Task) -> list[Task]:
        """A task, and all that it needs, and these need, in turn."""
        found = {task.call: task}
        for one in (queue := [task]):
            for batch, index in (task for task in one.needs if task.batch.n != OBJECTS):
                needed = self.tasks[argument(batch, index)]
                if needed.call not in found:
                    found[needed.call] = needed
                    queue.append(needed)
        return list(found.values())

    def at(self, cluster: Incarnation, config: AgentConfig) -> "ClusterWork":
        """What the workers of one cluster tell."""
        return ClusterWork(self, cluster, config, self._clock)


class ClusterWork:
    """The simulated calls, as the workers of one cluster run them."""

    def __init__(self, workload: Workload, cluster: Incarnation, config: AgentConfig, clock: Clock) -> None:
        self._tasks = workload.tasks
        self._laid = workload.laid
        self._cluster = cluster
        self._tags = config.tags
        self._clock = clock

    def begins(self, call: bytes, worker: WorkerId) -> bool:
        """A call begins; whether it takes its worker down."""
        task = self._tasks[call]
        tag = task.options.tag
        assert tag is None or tag in self._tags, f"{call!r} wants {tag!r} and begins where there is {self._tags}"
        task.begins.append(Begin(self._cluster, worker, self._clock.now))
        if task.deaths_left:
            task.deaths_left -= 1
            return True
        return False

    def is_given(self, call: bytes, inputs: list[bytes]) -> None:
        """A call has come to a worker with these values of other tasks."""
        if self._tasks[call].cancelled_at is not None:
            return  # what it needs may have been given up with it, before it was sent
        inputs = [self._value(read_record(one).object) if is_record(one) else one for one in inputs]
        needed = [
            value_of(argument(batch, index)) if batch.n != OBJECTS else b"object %d:%d" % (batch.owner, index)
            for batch, index in self._tasks[call].needs
        ]
        assert inputs == needed, f"{call!r} needs {needed}, and has {inputs}"

    def _value(self, name: ObjectId) -> bytes:
        """What an object is: something a client has sent, or what a task has returned."""
        return self._laid.get(name) or b"object %d:%d" % name

    def seconds_of(self, call: bytes) -> float:
        """How long a call takes."""
        return self._tasks[call].seconds

    def ends(self, call: bytes, worker: WorkerId) -> tuple[int, bytes]:
        """A call ends by itself: its status and the bytes of its result."""
        task = self._tasks[call]
        begin = self._open(task, worker)
        if task.raises_left:
            task.raises_left -= 1
            begin.end = "retryable"
            return RAISED_RETRYABLE, error_of(call)
        if task.raises:
            begin.end = "raised"
            return RAISED, error_of(call)
        begin.end = "value"
        return VALUE, value_of(call)

    def fails(self, call: bytes, worker: WorkerId) -> tuple[int, bytes]:
        """A call ends by an exception of its client, whatever it was meant to do."""
        self._open(self._tasks[call], worker).end = "raised"
        return RAISED, error_of(call)

    def is_interrupted(self, call: bytes, worker: WorkerId) -> None:
        """A call ended as its cluster wanted it to."""
        self._open(self._tasks[call], worker).end = "interrupted"

    def dies(self, call: bytes, worker: WorkerId, *, was_asked: bool) -> None:
        """The worker of a call ended, by its cluster's order or not."""
        task = self._tasks[call]
        self._open(task, worker).end = "died"
        task.deaths += not was_asked

    def _open(self, task: Task, worker: WorkerId) -> Begin:
        begin = task.begins[-1]
        if begin.cluster == self._cluster and begin.worker == worker and not begin.end:
            return begin
        return next(b for b in reversed(task.begins) if (b.cluster, b.worker, b.end) == (self._cluster, worker, ""))
