"""A ledger driven by chance between a caller and a scheduler that are a few lines each."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from scaler.ids import BatchId, Epoch, Incarnation, Range, TaskId
from scaler.ledger.events import (
    BatchClosed,
    BatchOpened,
    CancelAsked,
    ClearAsked,
    Event,
    FunctionPickled,
    KnownOutcome,
    LinkDown,
    LinkUp,
    Received,
    Reject,
    Resolve,
    Say,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.ledger import Ledger
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    DefineFunction,
    Failure,
    InputKnown,
    NeedFunction,
    NeedInputs,
    NeedTasks,
    OpenBatch,
    Resume,
    Resumed,
    Taken,
    TasksFailed,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, VALUE, ArgumentColumn
from scaler.protocol.inputs import Dependencies, read_dependencies, split_off
from tests.unit.ledger.examples import OPTIONS, F, G, arguments, indices, results

FAILURE = Failure(Cause.DIED, "signal 9")
Known = tuple[tuple[TaskId, KnownOutcome], ...]
CANCELLED = KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "the task was cancelled")),))


class Told:
    """One batch as a scheduler knows it."""

    def __init__(self) -> None:
        self.calls: set[int] = set()
        self.waiting: set[int] = set()
        self.known_to = 0
        self.size: int | None = None


class Scheduler:
    """Believes what it is told, holds it against the rules of the conversation, and answers at any time.

    `is_over` says whether the caller waits for a task no more.
    """

    def __init__(self, is_over: Callable[[TaskId], bool]) -> None:
        self._is_over = is_over
        #: of each call that has come, the tasks that it needs
        self.needs: dict[TaskId, tuple[TaskId, ...]] = {}
        #: what it was told of tasks that others need
        self.inputs: list[tuple[TaskId, KnownOutcome]] = []
        self.batches: dict[BatchId, Told] = {}
        self.functions: set[bytes] = set()
        self.untaken: Counter[tuple[BatchId, int]] = Counter()
        self.has_resumed = False

    def hear(self, say: Say) -> None:
        message = say.message
        match message:
            case DefineFunction(function):
                self.functions.add(function)
            case OpenBatch(batch, function):
                assert self.has_resumed
                assert function in self.functions
                assert batch not in self.batches
                self.batches[batch] = Told()
            case AppendTasks(batch, lo, count):
                frames, behind = split_off(say.frames, message.dependency_frames)
                column = ArgumentColumn.from_frames(lo, count, frames)
                assert indices(column) == list(range(lo, lo + count))
                told = self.batches[batch]
                if lo >= told.known_to:
                    told.waiting |= set(range(lo, lo + count))
                    told.known_to = lo + count
                told.calls |= set(range(lo, lo + count))
                for index, tasks in read_dependencies(lo, count, behind).items() if behind else ():
                    assert all(self._knows(task) or self._is_over(task) for task in tasks)
                    self.needs[TaskId(batch, index)] = tasks
            case InputKnown(task, status, attempts):
                self.inputs.append((task, KnownOutcome(status, tuple(map(bytes, say.frames)), attempts)))
            case CloseBatch(batch, size):
                assert self.batches[batch].size is None
                assert self.batches[batch].known_to <= size
                self.batches[batch].size = size
            case Resume(batch, _, _, size, unresolved):
                assert not self.has_resumed
                assert batch not in self.batches
                told = self.batches[batch] = Told()
                told.waiting = {index for lo, hi in unresolved for index in range(lo, hi)}
                told.known_to = max(told.waiting, default=-1) + 1
                told.size = size
            case Resumed():
                assert not self.has_resumed
                self.has_resumed = True
            case CancelTasks(batch, ranges, unless_begun):
                assert all(hi <= self.batches[batch].known_to for _, hi in ranges)
                if unless_begun:  # it may all have begun
                    return
                self.batches[batch].waiting -= {index for lo, hi in ranges for index in range(lo, hi)}
            case Taken(batch, ranges):
                for lo, hi in ranges:
                    for index in range(lo, hi):
                        assert self.untaken.pop((batch, index), 0)
            case ClearClient():
                self.batches.clear()
            case _:
                raise AssertionError(message)

    def _knows(self, task: TaskId) -> bool:
        return task.batch in self.batches and task.index < self.batches[task.batch].known_to


class World:
    """The caller, the ledger and one scheduler after another; messages are lost only with the scheduler."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.now = 0.0
        self.scheduler = Scheduler(self.is_over)
        self.epoch = 0
        self.is_up = False
        self.open: dict[BatchId, int] = {}
        #: every task that is waited for
        self.waiting: set[tuple[BatchId, int]] = set()
        self.resolved: Counter[tuple[BatchId, int]] = Counter()
        #: what became of every task that is not waited for, and what each needs
        self.outcomes: dict[TaskId, KnownOutcome] = {}
        self.needs: dict[TaskId, tuple[TaskId, ...]] = {}
        self.asked_inputs = 0
        self.batches = 0
        self.turn: list[Event] = []

    def step(self) -> None:
        actions = [self.open_batch, self.append, self.append, self.close, self.give_up, self.answer, self.answer]
        actions += [self.answer, self.repeat, self.ask, self.ask_inputs, self.link, self.wait]
        for _ in range(self.chance.randrange(1, 4)):
            self.chance.choice(actions)()
        if self.chance.random() < 0.01:
            self.turn.append(ClearAsked())
            self.cancelled(self.waiting)
            self.open.clear()
        self.handle(self.chance.choice((0, 1, 100, 1 << 20)))

    def handle(self, room_bytes: int) -> None:
        commands = self.ledger.handle(self.turn, self.now, room_bytes if self.is_up else 0)
        self.turn = []
        self.ledger.check()
        for command in commands:
            match command:
                case Say():
                    self.scheduler.hear(command)
                case Resolve(batch, column, _, attempts):
                    assert bytes(column.data[0]) == bytes(index % 256 for index in range(column.lo, column.hi))
                    for index in range(column.lo, column.hi):
                        self.settle(batch, index, KnownOutcome(VALUE, (bytes((index % 256,)),), attempts))
                case Reject(batch, ranges, failure):
                    outcome = KnownOutcome(FAILED, (encode_failure(failure),))
                    for lo, hi in ranges:
                        for index in range(lo, hi):
                            self.settle(batch, index, outcome)
        assert self.ledger.unresolved == len(self.waiting)

    def settle(self, batch: BatchId, index: int, outcome: KnownOutcome) -> None:
        self.waiting.remove((batch, index))
        self.resolved[batch, index] += 1
        self.outcomes[TaskId(batch, index)] = outcome

    def cancelled(self, tasks: set[tuple[BatchId, int]]) -> None:
        self.outcomes |= {TaskId(*task): CANCELLED for task in tasks}
        self.waiting -= set(tasks)

    def is_over(self, task: TaskId) -> bool:
        return tuple(task) not in self.waiting

    # ---- the caller

    def open_batch(self) -> None:
        if len(self.open) < 5:
            self.batches += 1
            batch = BatchId(Incarnation(1), self.batches)
            function = self.chance.choice((F, G))
            self.turn += [FunctionPickled(function, (b"code",)), BatchOpened(batch, function, OPTIONS)]
            self.open[batch] = 0

    def append(self) -> None:
        if self.open:
            batch = self.chance.choice(list(self.open))
            lo = self.open[batch]
            hi = self.open[batch] = lo + self.chance.randrange(1, 6)
            column = arguments(lo, hi, size=self.chance.choice((0, 3000, 40_000)))
            self.turn.append(TasksAppended(batch, column, *self.needs_of(batch, lo, hi)))
            self.waiting |= {(batch, index) for index in range(lo, hi)}

    def needs_of(self, batch: BatchId, lo: int, hi: int) -> tuple[Dependencies, Known]:
        """Have some of the calls need others, and tell what is known of these, as the client does."""
        earlier = [TaskId(*task) for task in sorted(self.waiting)][-20:] + list(self.outcomes)[-5:]
        needs = {}
        for index in range(lo, hi):
            before = [*earlier, *(TaskId(batch, other) for other in range(lo, index))]
            if before and self.chance.random() < 0.3:
                needs[index] = tuple(self.chance.sample(before, min(len(before), self.chance.choice((1, 1, 2)))))
        self.needs |= {TaskId(batch, index): tasks for index, tasks in needs.items()}
        ended = dict.fromkeys(task for tasks in needs.values() for task in tasks if task in self.outcomes)
        # of what was given up it is the ledger who knows
        told = [task for task in ended if self.outcomes[task] is not CANCELLED or self.chance.random() < 0.5]
        return needs, tuple((task, self.outcomes[task]) for task in told)

    def close(self) -> None:
        if self.open and self.chance.random() < 0.4:
            batch = self.chance.choice(list(self.open))
            del self.open[batch]
            self.turn.append(BatchClosed(batch))

    def give_up(self) -> None:
        if self.batches and self.chance.random() < 0.5:
            batch = BatchId(Incarnation(1), self.chance.randrange(1, self.batches + 1))
            lo = self.chance.randrange(10)
            hi = lo + self.chance.choice((1, 3, 100))
            if self.chance.random() < 0.3:
                self.turn.append(CancelAsked(batch, (Range(lo, hi),)))
                return
            self.turn.append(Unwanted(batch, (Range(lo, hi),)))
            self.cancelled(self.waiting & {(batch, index) for index in range(lo, hi)})

    # ---- the scheduler

    def answer(self) -> None:
        for batch, told in self.scheduler.batches.items() if self.is_up else ():
            ready = sorted(told.waiting & told.calls)
            if ready and self.chance.random() < 0.6:
                lo = self.chance.choice(ready)
                hi = lo + 1
                while hi in ready and self.chance.random() < 0.7:
                    hi += 1
                told.waiting -= set(range(lo, hi))
                self.tell(batch, lo, hi)
                return

    def repeat(self) -> None:
        if self.is_up and self.scheduler.untaken:
            batch, index = self.chance.choice(list(self.scheduler.untaken))
            self.tell(batch, index, index + 1)

    def tell(self, batch: BatchId, lo: int, hi: int) -> None:
        for index in range(lo, hi):
            self.scheduler.untaken[batch, index] += 1
        failed = Received(TasksFailed(batch, (Range(lo, hi),), FAILURE))
        self.turn.append(failed if self.chance.random() < 0.3 else results(batch, lo, hi))
        self.handle(self.chance.choice((0, 1000)))

    def ask(self) -> None:
        """For what is wanted and not there."""
        for batch, told in self.scheduler.batches.items() if self.is_up else ():
            missing = sorted(told.waiting - told.calls)
            if missing:
                self.turn.append(Received(NeedTasks(batch, missing[0], missing[-1] + 1)))
                return
        if self.is_up and self.chance.random() < 0.2:
            self.turn.append(Received(NeedFunction(self.chance.choice((F, G)))))

    def ask_inputs(self) -> None:
        """For what has become of a task that another needs."""
        self.handle(0)
        users = [user for user in self.scheduler.needs if tuple(user) in self.waiting]
        if not self.is_up or not users:
            return
        user = self.chance.choice(users)
        task = self.chance.choice(self.needs[user])
        self.turn.append(Received(NeedInputs((task,))))
        self.handle(0)
        answers, self.scheduler.inputs = self.scheduler.inputs, []
        assert answers == ([(task, self.outcomes[task])] if self.is_over(task) else [])
        self.asked_inputs += len(answers)

    def link(self) -> None:
        self.handle(0)
        if self.is_up:
            if self.chance.random() < 0.2:
                self.is_up = False
                self.turn.append(LinkDown())
        elif self.epoch and self.chance.random() < 0.5:
            self.come_up(resumed=True)
        else:
            self.epoch += 1
            self.scheduler = Scheduler(self.is_over)
            self.come_up(resumed=False)

    def come_up(self, *, resumed: bool) -> None:
        self.is_up = True
        self.turn.append(LinkUp(Epoch(self.epoch), resumed))

    def wait(self) -> None:
        self.now += self.chance.choice((0.01, 0.1))

    # ---- the end

    def finish(self) -> None:
        """Everybody does what is left to do."""
        for batch in self.open:
            self.turn.append(BatchClosed(batch))
        self.open.clear()
        if not self.is_up:
            self.link()
        for _ in range(10_000):
            self.now += 1.0
            self.handle(1 << 20)
            if not self.waiting and not self.ledger.has_more_to_say:
                break
            self.ask()
            self.handle(1 << 20)
            self.answer()
        self.now += 1.0
        self.handle(1 << 20)


@pytest.mark.parametrize("seed", range(150))
def test_every_task_is_answered_once_whatever_happens(seed: int):
    world = World(seed)
    for _ in range(150):
        world.step()
    world.finish()
    assert world.waiting == set()
    assert set(world.resolved.values()) <= {1}
    assert not world.ledger._batches
    assert not world.ledger._inputs._by_task
    assert not world.scheduler.untaken
    assert all(world.needs[user] == tasks for user, tasks in world.scheduler.needs.items())
    assert all(not told.waiting for told in world.scheduler.batches.values())
    assert all(told.size is not None for told in world.scheduler.batches.values())


def test_the_driver_goes_everywhere():
    worlds = [World(seed) for seed in range(20)]
    for world in worlds:
        for _ in range(150):
            world.step()
    assert sum(world.epoch for world in worlds) > 50
    assert sum(len(world.resolved) for world in worlds) > 1000
    assert sum(world.asked_inputs for world in worlds) > 100
