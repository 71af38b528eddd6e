"""Tasks that need others, by chance: which need which, what their clients know of these, and what comes with a call."""

from random import Random

from scaler.core.events import Event, Received
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol import Failure, InputKnown, RunSpan
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, VALUE, Frame, ResultColumn
from scaler.protocol.inputs import Dependencies, Inputs

#: of the tasks that a client has submitted the last ones are needed
LATEST = 12


def value_of(task: TaskId) -> bytes:
    """What a task returns: no other returns the same."""
    return b"%d.%d.%d" % (*task.batch, task.index)


class Needs:
    """What all clients of a world have submitted and learned, each as its ledger would."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._submitted: dict[Incarnation, list[TaskId]] = {}
        self._needs: dict[TaskId, tuple[TaskId, ...]] = {}
        self._known: dict[TaskId, tuple[int, tuple[Frame, ...]]] = {}
        #: calls that came to clusters with the values of others
        self.served = 0
        #: outcomes that clients were asked for and had
        self.told = 0

    def draw(self, batch: BatchId, lo: int, hi: int) -> Dependencies:
        """[lo, hi) are submitted: which of them need what was submitted before."""
        submitted = self._submitted.setdefault(batch.owner, [])
        is_needy = self._chance.random() < 0.7
        for index in range(lo, hi):
            latest = submitted[-LATEST:]
            if is_needy and latest and self._chance.random() < 0.5:
                count = min(len(latest), self._chance.choice((1, 1, 2)))
                self._needs[TaskId(batch, index)] = tuple(self._chance.sample(latest, count))
            submitted.append(TaskId(batch, index))
        return self.of(batch, lo, hi)

    def of(self, batch: BatchId, lo: int, hi: int) -> Dependencies:
        """What those of [lo, hi) need that need something."""
        tasks = [TaskId(batch, index) for index in range(lo, hi)]
        return {task.index: self._needs[task] for task in tasks if task in self._needs}

    # ---- what clients learn, and are asked

    def learn(self, batch: BatchId, column: ResultColumn) -> None:
        """Results have come to their client."""
        for index in range(column.lo, column.hi):
            status, data = column.one(index)
            self._known.setdefault(TaskId(batch, index), (status, tuple(bytes(frame) for frame in data)))

    def learn_failed(self, batch: BatchId, lo: int, hi: int, failure: Failure) -> None:
        """A failure has come to its client."""
        for index in range(lo, hi):
            self._known.setdefault(TaskId(batch, index), (FAILED, (encode_failure(failure),)))

    def tell(self, tasks: tuple[TaskId, ...]) -> list[Event]:
        """What clients say of tasks that they are asked for: nothing of those that are not over."""
        known = [task for task in tasks if task in self._known]
        self.told += len(known)
        return [
            Received(task.batch.owner, InputKnown(task, self._known[task][0]), self._known[task][1]) for task in known
        ]

    # ---- what comes to clusters

    def check(self, message: RunSpan, frames: tuple[Frame, ...]) -> None:
        """Each call has come with the values that it needs, and no others."""
        count = message.hi - message.lo
        behind = frames[len(frames) - message.input_frames :]
        inputs = Inputs.from_frames(count, behind) if behind else None
        needs = self.of(message.batch, message.lo, message.hi)
        for number in range(count):
            given = [] if inputs is None else [bytes(inputs.values[at]) for at in inputs.needs[number]]
            needed = needs.get(message.lo + number, ())
            assert given == [value_of(task) for task in needed], (message, number)
            self.served += bool(given)


def ending(task: TaskId, status: int, data: bytes) -> tuple[int, bytes]:
    """How a task ends: with its own value, if with one."""
    return (VALUE, value_of(task)) if status == VALUE else (status, data)
