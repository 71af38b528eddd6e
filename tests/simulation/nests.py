"""Tasks that submit tasks: each a program that works, submits, waits and goes on, with the real face's link and ledger.

What they submit is drawn as they run, from the world's chance: an attempt that runs again submits anew.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scaler.client.face import FaceLink, Heard
from scaler.client.options import nested_options
from scaler.ids import BatchId, Incarnation, TaskId, WorkerId
from scaler.ledger import events as ledger
from scaler.link import events as link
from scaler.payload.nested import Standing
from scaler.protocol import BatchOptions, ParkParent, ToChild
from scaler.protocol.codec import Header
from scaler.protocol.columns import Frame
from scaler.worker import agent_events as agent
from scaler.worker.agent import AgentConfig
from scaler.worker.inside import ASK_S, MOMENT_S
from tests.simulation.caller import Caller
from tests.simulation.slots import SimWorker, Slot
from tests.simulation.trees import function_of_nested, nested_tasks
from tests.simulation.verdicts import Verdicts
from tests.simulation.workers import SimWorkers
from tests.simulation.workload import ClusterWork, Task, Workload, argument
from tests.simulation.world import World

#: a client inside a task takes in what it is told so much later
FACE_S = 0.0003
#: so much later than its task's end a client inside it may still be counted where its cluster has not looked
UNSEEN_S = 0.1
#: what a program does next: work for so long, or wait for these tasks
Step = float | list[tuple[BatchId, int]]


@dataclass(frozen=True, slots=True)
class Families:
    """What all tasks of a history that submit others share."""

    world: World
    workload: Workload
    verdicts: Verdicts
    #: a new name
    incarnation: Callable[[], Incarnation]
    #: what was met, by name
    met: Counter[str] = field(default_factory=Counter)


class Nests:
    """The tasks of one cluster that submit others, and what is seen of all its tasks for their sake."""

    workers: SimWorkers

    def __init__(
        self, families: Families, cluster: Incarnation, host: str, config: AgentConfig, calls: ClusterWork
    ) -> None:
        self.families = families
        self.cluster = cluster
        self.host = host
        self.calls = calls
        self._config = config
        #: what clients inside the tasks of one worker process know of the link
        self._heard: dict[WorkerId, Heard] = {}
        #: those that run, or ended a moment ago
        self._nests: list[Nest] = []

    def begin(self, worker: SimWorker, slot: Slot) -> "Nest | None":
        """A task begins in a slot; what it does if it submits others."""
        task = self.families.workload.tasks[slot.call]
        nest = None
        if task.shape is not None:
            heard = self._heard.setdefault(worker.worker, Heard())
            nest = Nest(self, worker, slot, task, heard)
            self._nests.append(nest)
        return nest

    def given(self, worker: SimWorker) -> None:
        """A worker that had nothing to do is given a task: there is a slot for it.

        Tasks that were parked and go on count as soon as their cluster has seen that. In workers with threads one slot
        may read what lies behind another's task before the cluster does.
        """
        if self._config.threads > 1:
            return
        others = [one for one in self.workers.workers.values() if one is not worker and not (one.killed or one.is_idle)]
        running = 1 + sum(not _may_be_parked(one) for one in others)
        assert running <= self._config.workers, f"{running} tasks run in {self._config.workers} slots at {self.host}"

    def check_granted(self) -> None:
        """Another wait was granted: not more than there may be, as far as the cluster can know."""
        self.families.met["parked"] += 1
        granted = sum(nest.is_parked and not nest.worker.killed for nest in self._nests)
        assert granted <= self._config.max_parked, f"{granted} tasks are parked at {self.host}"

    def check_refused(self) -> None:
        """A wait was refused: so many others do wait, or did a moment ago."""
        self.families.met["refused"] += 1
        since = self.families.world.clock.now - UNSEEN_S
        self._nests = [nest for nest in self._nests if nest.ended_at is None or nest.ended_at > since]
        others = sum(nest.child != 0 for nest in self._nests) - 1
        assert others >= self._config.max_parked, f"a wait was refused beside {others} others at {self.host}"

    def hear(self, told: list[agent.Event]) -> None:
        """The cluster is told this by its link: some tasks may be to give up their slots unasked."""
        for event in told:
            if isinstance(event, agent.Received) and isinstance(event.message, ParkParent):
                self.families.met["parked unasked" if event.message.parked else "unparked unasked"] += 1
                for nest in self._nests:
                    nest.was_forced |= nest.child == event.message.child

    def left(self) -> int:
        """How many clients inside tasks are still there."""
        return sum(nest.ended_at is None for nest in self._nests)


def _may_be_parked(worker: SimWorker) -> bool:
    """Whether the task in a worker of one slot is parked, as far as its cluster can know."""
    nested = worker.slots[0].nested
    return isinstance(nested, Nest) and (nested.was_forced or any(view.waits for view in worker.views))


@dataclass(frozen=True, slots=True)
class _Parent:
    """The task as its client sees it, as far as options go."""

    name: TaskId
    standing: Standing


class Nest:
    """One attempt of a task that submits others."""

    def __init__(self, nests: Nests, worker: SimWorker, slot: Slot, task: Task, heard: Heard) -> None:
        assert slot.ticket is not None
        assert task.shape is not None
        self.worker = worker
        self.ended_at: float | None = None
        #: a wait of it was granted and is not over
        self.is_parked = False
        #: its cluster was told to park it, whatever it does
        self.was_forced = False
        #: its client, once it has one
        self.child = Incarnation(0)
        self._nests = nests
        self._families = nests.families
        self._clock = nests.families.world.clock
        self._slot = slot
        self._ticket = slot.ticket
        self._index = slot.index
        self._task = task
        self._shape = task.shape
        self._begin = task.begins[-1]
        self._held_since = self._clock.now
        self._link = FaceLink(heard)
        self._caller: Caller | None = None
        #: what has come and is not taken in yet
        self._arrived: list[link.DialledEvent] = []
        self._own: list[ledger.Event] = []
        self._is_called = False
        #: what is waited for, and how often it was waited
        self._awaited: list[tuple[BatchId, int]] | None = None
        self._waits = 0
        self._program = self._programs()[task.shape.how]()
        self._later(0.0, self._go_on)

    # ---- what it does

    def _programs(self) -> dict[str, Callable[[], Iterator[Step]]]:
        return {
            "waits": self._waits_for_all,
            "polls": self._waits_for_all,
            "waits twice": self._waits_twice,
            "waits for one": self._waits_for_one,
            "waits for none": self._waits_for_none,
            "cancels one": self._cancels_one,
        }

    def _waits_for_all(self) -> Iterator[Step]:
        yield self._shape.before_s
        yield self._submit()
        yield self._shape.after_s

    def _waits_twice(self) -> Iterator[Step]:
        yield from self._waits_for_all()
        yield self._submit()

    def _waits_for_one(self) -> Iterator[Step]:
        yield self._shape.before_s
        yield self._submit()[:1]
        yield self._shape.after_s

    def _waits_for_none(self) -> Iterator[Step]:
        yield self._shape.before_s
        self._submit()
        yield self._shape.after_s

    def _cancels_one(self) -> Iterator[Step]:
        yield self._shape.before_s
        tasks = self._submit()
        yield FACE_S + self._shape.after_s  # what its ledger has not seen it cannot give up
        batch, index = tasks[0]
        assert self._caller is not None
        for given_up in self._caller.cancel(batch, index, index + 1):
            self._family_task(batch, given_up).cancelled_at = self._clock.now
        yield tasks

    def _family_task(self, batch: BatchId, index: int) -> Task:
        return self._families.workload.tasks[argument(batch, index)]

    def _go_on(self) -> None:
        """The next step of the program, or its end."""
        for step in self._program:
            if isinstance(step, float):
                if step:
                    self._later(step, self._go_on)
                    return
            elif not self._is_answered(step):
                self._await(step)
                return
        self._end(*self._nests.calls.ends(self._task.call, self.worker.worker))

    def _end(self, status: int, data: bytes) -> None:
        self._nests.workers.end_nested(self.worker, self._slot, status, data)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._clock.after(delay_s, lambda: None if self.ended_at is not None else action())

    # ---- waiting

    def _is_answered(self, tasks: list[tuple[BatchId, int]]) -> bool:
        assert self._caller is not None
        answers = self._caller.answers
        return all(task in answers for task in tasks)

    def _await(self, tasks: list[tuple[BatchId, int]]) -> None:
        self._awaited = tasks
        self._waits += 1
        waits = self._waits
        if self._shape.how != "polls":
            self._later(MOMENT_S, lambda: self._announce(waits))

    def _announce(self, waits: int) -> None:
        if self._awaited is not None and self._waits == waits:
            self._nests.workers.wait(self.worker, self._slot)

    def _look(self) -> None:
        """See whether what is waited for has come."""
        if self._awaited is None or not self._is_answered(self._awaited):
            return
        self._awaited = None
        self._keep_time()
        self.is_parked = False
        if self._slot.waits:
            self._nests.workers.wait(self.worker, self._slot)
        self._go_on()

    def answered(self, waits: int, *, is_granted: bool) -> None:
        """Its wait is granted, or refused, which it sees a little later."""
        if waits != self._slot.waits:
            return
        if is_granted:
            self._keep_time()
            self.is_parked = True
            self._nests.check_granted()
        else:
            self._nests.check_refused()
            number = self._waits
            self._later(ASK_S * self._families.world.chance.random(), lambda: self._see_refusal(number))

    def _see_refusal(self, waits: int) -> None:
        if self._awaited is not None and self._waits == waits:
            self._task.was_refused = True
            self._fail()

    def _fail(self) -> None:
        """Its client raises, and so does the task."""
        self._end(*self._nests.calls.fails(self._task.call, self.worker.worker))

    def _keep_time(self) -> None:
        """It is parked from now on, or goes on: the time in between is not its own."""
        now = self._clock.now
        if not self.is_parked:
            self._begin.held_s += now - self._held_since
        self._held_since = now

    # ---- its client

    def _submit(self) -> list[tuple[BatchId, int]]:
        """Submit tasks; which."""
        families, chance = self._families, self._families.world.chance
        if self._caller is None:
            self.child = families.incarnation()
            name = f"{self._nests.host}/{self.child}"
            families.verdicts.lives(self.child, self._nests.host, self._nests.cluster)
            self._caller = Caller(families.world, name, self.child, families.verdicts.judge, self._tell)
            families.verdicts.answers[self.child] = self._caller.answers
        parent = _Parent(TaskId(self._ticket.batch, self._index), self._ticket.standing)
        batch = self._caller.next_batch
        tasks, options = nested_tasks(chance, batch, self._shape, self._task.options.tag)
        options = nested_options(options, parent)  # type: ignore[arg-type]  # what it reads of a task
        for task in tasks:
            task.options = options
            families.workload.add(task)
        self._count(tasks, options)
        needs = {task.index: task.needs for task in tasks if task.needs}
        self._caller.submit(function_of_nested(tasks), options, [task.call for task in tasks], [len(tasks)], 0.0, needs)
        return [(batch, task.index) for task in tasks]

    def _count(self, tasks: list[Task], options: BatchOptions) -> None:
        met = self._families.met
        met[self._shape.how] += 1
        met[f"at depth {options.depth}"] += len(tasks)

    def _tell(self, events: list[ledger.Event]) -> None:
        self._own += events
        self._call_up()

    def _call_up(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._later(FACE_S, self._turn)

    def _turn(self) -> None:
        """What the thread does that speaks for the client."""
        self._is_called = False
        now = self._clock.now
        arrived, self._arrived = self._arrived, []
        own, self._own = self._own, []
        said: list[agent.Event] = []
        told = [*own, *self._perform(self._link.handle(arrived, now), said)]
        if self.ended_at is not None or self._caller is None:
            return
        outgoing = self._caller.turn(told, self._link.room_bytes)
        if outgoing:
            assert not self._perform(self._link.handle(outgoing, now), said)
        if said:
            self._nests.workers.tell(self.worker, said)
        due = self._caller.ledger.next_deadline()
        if due is not None:
            self._later(max(FACE_S, due - now), self._call_up)
        self._look()

    def _perform(self, outputs: list[link.DialledOutput], said: list[agent.Event]) -> list[ledger.Event]:
        told: list[ledger.Event] = []
        worker = self.worker.worker
        for output in outputs:
            match output:
                case link.Dial():
                    self.worker.children[self.child] = self
                    said.append(agent.ChildOpened(worker, self.child, self._ticket.ticket, self._index))
                case link.LinkUp(epoch, resumed):
                    told.append(ledger.LinkUp(epoch, resumed))
                case link.Transmit(_, ack, message, frames):
                    said.append(agent.ChildSaid(worker, self.child, ack, message, frames))  # type: ignore[arg-type]  # a client says it
                case link.Deliver(message, frames):
                    told.append(ledger.Received(message, frames))  # type: ignore[arg-type]  # of those to clients
                case link.GaveUp():
                    self._fail()
                    return []
                case _:
                    raise AssertionError(output)
        return told

    def told(self, message: ToChild, frames: tuple[Frame, ...]) -> None:
        """Something has come down its line."""
        self._arrived.append(link.PacketArrived(Header(0, 0, message), frames))
        self._call_up()

    def closed(self) -> None:
        """Its line has ended."""
        self._arrived.append(link.ConnectionLost("the worker cluster has closed the line of this client"))
        self._call_up()

    # ---- its end

    def end(self, *, is_killed: bool) -> None:
        """It has ended: nobody wants what it has submitted and has no answer."""
        self._keep_time()
        self.is_parked = False
        self.ended_at = self._clock.now
        self._families.met["killed" if is_killed else "ended"] += 1
        caller = self._caller
        if caller is None:
            return
        caller.has_ended = True
        self._families.verdicts.gave_up(self.child, "goodbye")
        for batch, size in caller.sizes.items():
            for index in range(size):
                if (batch, index) not in caller.answers:
                    self._family_task(batch, index).cancelled_at = self.ended_at
                    self._families.met["left to nobody"] += 1
        if not is_killed and self.worker.children.pop(self.child, None) and self._families.world.chance.random() < 0.7:
            self._say_goodbye(caller)

    def _say_goodbye(self, caller: Caller) -> None:
        """It may come in time that the client disconnects; the cluster says it in any case."""
        said: list[agent.Event] = []
        outgoing = caller.turn([*self._own, ledger.Leaving()], self._link.room_bytes)
        self._perform(self._link.handle(outgoing, self._clock.now), said)
        self._nests.workers.tell(self.worker, [*said, agent.ChildClosed(self.worker.worker, self.child)])
