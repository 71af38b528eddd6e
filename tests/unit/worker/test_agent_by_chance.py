"""The agent among simulated workers, driven by a scheduler that does whatever comes to its mind, by seed."""

import math
from array import array
from collections import Counter, deque
from collections.abc import Callable
from itertools import accumulate
from random import Random

import pytest

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, ObjectId, Range, RunId, WorkerId
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    ChildSays,
    ClusterReady,
    Confirmed,
    DefineFunction,
    Delivered,
    Drain,
    FetchChunks,
    Forget,
    FromCluster,
    Goodbye,
    Holding,
    NeedFunction,
    ObjectChunk,
    ObjectsDropped,
    ParkParent,
    Resumed,
    Retract,
    RetractAnswered,
    Returned,
    ReturnReason,
    Running,
    RunSpan,
    SpanResult,
    ToCluster,
    WorkerDied,
)
from scaler.protocol.code import Code, with_code
from scaler.protocol.columns import CONTENT, VALUE, Frame
from scaler.resources import resources_from
from scaler.worker import agent_events as agent
from scaler.worker.agent import Agent, AgentConfig
from tests.simulation.clock import Clock, Wake
from tests.simulation.objects import Laying
from tests.simulation.slots import SimWorker, Slot
from tests.simulation.workers import SimWorkers

PATIENCE_S = 3600.0
#: how long tasks take, in seconds
MIXES = [(0.0,), (0.0, 0.0, 0.001), (0.0, 0.003, 0.05), (0.05, 0.3), (0.0, 0.0, 0.0, 1.0)]
#: how many tasks a run has; where most take long, each is a turn of its own, and fewer keep every worker as busy
SIZES = {mix: [1, 3, 40, 400] if max(mix) < 0.01 else [1, 3, 10, 40] for mix in MIXES}
FUNCTIONS = [FunctionId(bytes([number]) * 16) for number in range(3)]
#: every invariant is looked at in each turn that follows an action, and in one of so many others
CHECK_EVERY = 10


class History:
    """One seeded history: a scheduler's view of one cluster, and everything that happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.clock = Clock()
        threads = self.chance.choice([1, 1, 1, 2, 3])
        most = self.chance.choice([None, None, 1, 7, 100])
        workers = self.chance.choice([1, 2, 3, 5])
        self.devices = self.chance.choice([(), (), ("0", "1"), ("0", "1", "2", "3")])
        config = AgentConfig(
            "here", "host", 1, workers, threads,
            max_tasks_per_worker=most, devices=self.devices, max_parked=self.chance.choice([1, 64]),
        )  # fmt: skip
        self.agent = Agent(config, Incarnation(7))
        laying = Laying(Incarnation(7), {}, None) if seed % 2 else None
        self.workers = SimWorkers(self.clock, threads, self, self.step, laying=laying)
        self.wake = Wake(self.clock, self.step)
        #: the last of what was said and asked, for whoever looks into a failure
        self.log: deque[tuple[float, object]] = deque(maxlen=1000)
        self.turns = 0
        self.epoch = 1
        self.runs = 0
        self.next_index = 0
        #: what has no answer yet, by run: index to whether it was begun
        self.open: dict[RunId, set[int]] = {}
        self.answers: Counter[tuple[RunId, int]] = Counter()
        self.retracts: Counter[tuple[RunId, int, int]] = Counter()
        self.finished: dict[RunId, list[tuple[int, int]]] = {}
        self.forgotten: set[RunId] = set()
        #: calls that every worker makes once: their runs, and which workers have begun which
        self.everywhere: set[RunId] = set()
        self.callers: Counter[tuple[bytes, WorkerId]] = Counter()
        self.is_linked = False
        self.has_ended = False
        #: something other than the passing of time happens
        self.is_acting = False
        self.mix = self.chance.choice(MIXES)
        self.deadly = self.chance.choice([0.0, 0.0, 0.002, 0.02])
        self.kinds: dict[bytes, float] = {}
        #: clients inside tasks: how many there were, and those that have spoken and were not said goodbye for
        self.children = 0
        self.speaking: set[Incarnation] = set()
        #: what calls ask for, and what those that run have of each device
        self.gpus: dict[bytes, float] = {}
        self.used: Counter[str] = Counter()
        #: what functions come with, what calls need of it, and what workers have imported
        self.codes: dict[FunctionId, Code] = {}
        if self.chance.random() < 0.5:
            names = [self.chance.choice(["a", "b"]) for _ in range(3)]
            self.codes = {FUNCTIONS[n]: ((name, FunctionId(bytes([100 + n]) * 16)),) for n, name in enumerate(names)}
        self.needs: dict[bytes, Code] = {}
        self.imported: dict[tuple[WorkerId, str], FunctionId] = {}
        #: results whose files are gone, until that is told
        self.lost: list[ObjectId] = []

    # ---- what the calls do

    def begins(self, call: bytes, worker: WorkerId) -> bool:
        self.occupy(call, worker, 1)
        for name, archive in self.needs.get(call, ()):
            assert self.imported.setdefault((worker, name), archive) == archive
        if call.startswith(b"every"):
            self.callers[call, worker] += 1
            assert self.callers[call, worker] == 1, f"{worker} made {call!r} twice"
        return self.chance.random() < self.deadly

    @staticmethod
    def is_given(_call: bytes, inputs: list[bytes]) -> None:
        assert inputs == []

    def seconds_of(self, call: bytes) -> float:
        return self.kinds.setdefault(call, self.chance.choice(self.mix) + 2e-6)

    def ends(self, call: bytes, worker: WorkerId) -> tuple[int, bytes]:
        self.occupy(call, worker, -1)
        return VALUE, call

    def is_interrupted(self, call: bytes, worker: WorkerId) -> None:
        self.occupy(call, worker, -1)

    def dies(self, call: bytes, worker: WorkerId, **_how: bool) -> None:
        self.occupy(call, worker, -1)

    def occupy(self, call: bytes, worker: WorkerId, sign: int) -> None:
        """A call begins or ends: it sees as many devices as it asks for, and of none is more used than there is."""
        gpus = self.gpus.get(call, 0.0)
        if gpus:
            devices = self.workers.workers[worker].devices
            assert len(devices) == math.ceil(gpus)
            for device in devices:
                self.used[device] += sign * min(1.0, gpus)
                assert 0 <= self.used[device] <= 1

    # ---- turns

    def step(self, events: list[agent.Event] | None = None) -> None:
        told = [*self.workers.take_events(), *(events or [])]
        while not self.has_ended:
            commands = self.agent.handle(told, self.clock.now)
            self.turns += 1
            if self.is_acting or self.turns % CHECK_EVERY == 0:
                self.agent.check()
            told = []
            for command in commands:
                self.log.append((self.clock.now, command))
                match command:
                    case agent.Say(message, frames):
                        self.hear(message, frames)
                    case agent.Note():
                        continue
                    case agent.End():
                        self.has_ended = True
                    case _:
                        told += self.workers.perform(command)
            if not told:
                break
        self.wake.ask(self.agent.next_deadline())

    def say(self, message: ToCluster, frames: tuple[Frame, ...] = ()) -> None:
        self.log.append((self.clock.now, message))
        self.step([agent.Received(message, frames)])

    # ---- what the scheduler hears

    def hear(self, message: FromCluster, frames: tuple[Frame, ...]) -> None:
        assert self.is_linked or not isinstance(message, ClusterReady)
        match message:
            case SpanResult(run, lo, hi):
                assert len(frames[0]) == hi - lo
                if bytes(frames[0]) == bytes([CONTENT]):  # handed over before the cluster leaves
                    assert run in self.everywhere or self.answers[run, lo] == 1
                else:
                    self.answer(run, [(lo, hi)])
                self.finished.setdefault(run, []).append((lo, hi))
            case Confirmed(run) if run in self.everywhere:
                return  # its parts are no matter; that it is over is told besides
            case Returned(run, ranges, ReturnReason.LOST):
                assert run in self.everywhere or all(self.answers[run, lo] == 1 for lo, _ in ranges)
                self.lost.pop()
            case Returned(run, ranges) | Confirmed(run, ranges):
                self.answer(run, list(ranges))
            case RetractAnswered(run, lo, hi):
                self.retracts[run, lo, hi] -= 1
            case NeedFunction(function, of):
                assert of is None or function in dict(self.codes[of]).values()
                frames = (with_code(self.codes.get(function, ()), b"code") if of is None else b"archive",)
                if self.chance.random() < 0.9:
                    self.clock.after(0.001, lambda: self.say(DefineFunction(function, 4), frames))
            case ChildSays(child, _, _, Goodbye()):
                self.speaking.remove(child)
            case ChildSays(child):
                self.speaking.add(child)
            case Holding(runs):
                assert all(held.queued or held.running or held.finished for held in runs)
            case ClusterReady() | Running() | Goodbye() | WorkerDied() | ObjectChunk() | ObjectsDropped():
                return
            case _:
                raise AssertionError(message)

    def answer(self, run: RunId, ranges: list[tuple[int, int]]) -> None:
        if run in self.everywhere and run not in self.forgotten:
            assert self.open[run], f"{run} answered twice"
            self.open[run].clear()
            return
        for lo, hi in ranges:
            for index in range(lo, hi):
                self.answers[run, index] += 1
                if run in self.forgotten:
                    continue
                assert self.answers[run, index] == 1, f"{run} {index} answered twice"
                self.open[run].remove(index)

    # ---- what it does

    def submit(self) -> None:
        self.runs += 1
        run = RunId(Epoch(self.epoch), self.runs)
        size = self.chance.choice(SIZES[self.mix])
        lo, hi = self.next_index, self.next_index + size
        self.next_index = hi
        function = self.chance.choice(FUNCTIONS)
        gpus = self.chance.choice([0.0, 0.0, 0.5, 1.0, 2.0]) if self.devices else 0.0
        options = BatchOptions(
            priority=self.chance.randrange(2),
            timeout_s=0.2 if self.chance.random() < 0.1 else None,
            resources=resources_from({"gpu": gpus}),
        )
        calls = [b"%d" % index for index in range(lo, hi)]
        self.gpus |= dict.fromkeys(calls, gpus)
        self.needs |= dict.fromkeys(calls, self.codes.get(function, ()))
        offsets = array("Q", accumulate(map(len, calls), initial=0)).tobytes()
        self.open[run] = set(range(lo, hi))
        batch = BatchId(Incarnation(self.chance.randrange(2)), 1)
        self.say(RunSpan(run, batch, lo, hi, function, options), (offsets, b"".join(calls)))

    def call_everywhere(self) -> None:
        self.runs += 1
        run = RunId(Epoch(self.epoch), self.runs)
        lo = self.next_index
        self.next_index += 1
        self.open[run] = {lo}
        self.everywhere.add(run)
        call = b"every %d" % lo
        offsets = array("Q", [0, len(call)]).tobytes()
        function = FunctionId(bytes([self.chance.randrange(3)]) * 16)
        message = RunSpan(run, BatchId(Incarnation(0), 2), lo, lo + 1, function, BatchOptions(everywhere=True))
        self.say(message, (offsets, call))

    def some_range(self) -> tuple[RunId, int, int] | None:
        runs = [run for run, indices in self.open.items() if indices and run not in self.forgotten]
        if not runs:
            return None
        run = self.chance.choice(runs)
        first, last = min(self.open[run]), max(self.open[run])
        lo = self.chance.randint(first, last)
        return run, lo, self.chance.randint(lo, last) + 1

    def retract(self) -> None:
        if (found := self.some_range()) and found[0] not in self.everywhere:
            self.retracts[found] += 1
            self.say(Retract(*found))
            assert self.retracts[found] == 0 or self.has_ended

    def cancel(self) -> None:
        if found := self.some_range():
            self.say(CancelRun(found[0], (Range(*found[1:]),)))

    def forget(self) -> None:
        if self.chance.random() < 0.2 and (found := self.some_range()):
            self.forgotten.add(found[0])
            self.open[found[0]].clear()
            self.say(Forget(found[0]))

    def deliver(self) -> None:
        finished, self.finished = self.finished, {}
        for run, ranges in finished.items():
            self.say(Delivered(((run, tuple(Range(*part) for part in ranges)),)))

    def fetch(self) -> None:
        """Somebody on another host needs a result; now and then its file is gone, which is told once."""
        if not (names := self.workers.shelf.adopted):
            return
        name = self.chance.choice(sorted(names))
        is_kept = self.agent._runs.by_id[self.agent._stored._by_name[name].run].kept.index_of(name) is not None
        if is_kept and self.chance.random() < 0.3:
            del self.workers.shelf.results[name]
            self.lost.append(name)
        self.say(FetchChunks(name, 0, 3))
        assert self.lost == []

    def kill(self) -> None:
        if self.workers.workers:
            worker = self.chance.choice(list(self.workers.workers))
            self.workers.kill(worker, -9)

    def some_task(self) -> tuple[SimWorker, Slot] | None:
        found = [
            (worker, slot)
            for worker in self.workers.workers.values()
            for slot in worker.slots
            if worker.alive and slot.ticket is not None
        ]
        return self.chance.choice(found) if found else None

    def wait(self) -> None:
        if found := self.some_task():
            self.workers.wait(*found)

    def nest(self) -> None:
        """A client inside a task speaks up."""
        if found := self.some_task():
            worker, slot = found
            assert slot.ticket is not None
            self.children += 1
            child = Incarnation(self.children)
            opened = agent.ChildOpened(worker.worker, child, slot.ticket.ticket, slot.index)
            self.step([opened, agent.ChildSaid(worker.worker, child, 1, Resumed())])

    def starve(self) -> None:
        """What such a client has submitted cannot begin, or is all done."""
        if self.speaking:
            self.say(ParkParent(self.chance.choice(sorted(self.speaking)), self.chance.random() < 0.5))

    def link_up(self) -> None:
        self.is_linked = True
        self.step([agent.LinkUp(Epoch(self.epoch), resumed=False)])

    def cut(self) -> None:
        self.step([agent.LinkDown()])
        self.clock.after(0.3, lambda: self.step([agent.LinkUp(Epoch(self.epoch), resumed=True)]))

    def run(self, seconds: float) -> None:
        self.clock.run(self.clock.now + seconds, lambda: self.has_ended)


def play(seed: int, finish: Callable[[History], None]) -> History:
    history = History(seed)
    history.step()
    history.link_up()
    weights = [
        (History.submit, 10), (History.deliver, 5), (History.retract, 3), (History.cancel, 2), (History.forget, 1),
        (History.kill, 1), (History.cut, 1), (History.call_everywhere, 1), (History.wait, 4), (History.nest, 2),
        (History.starve, 1), *([(History.fetch, 3)] if seed % 2 else []),
    ]  # fmt: skip
    actions = [action for action, weight in weights for _ in range(weight)]
    for _ in range(history.chance.randint(5, 60)):
        history.is_acting = True
        history.chance.choice(actions)(history)
        history.is_acting = False
        history.run(history.chance.choice([0.0, 0.0003, 0.004, 0.03, 0.3]))
    finish(history)
    return history


def until_all_is_done(history: History) -> None:
    """Whatever was sent and not forgotten is answered, once; nothing is left."""
    history.deadly = 0.0
    history.clock.run(history.clock.now + PATIENCE_S, lambda: not any(history.open.values()))
    assert not any(history.open.values())
    history.deliver()
    history.run(10.0)
    history.deliver()
    assert not history.agent._runs.by_id
    assert history.workers.shelf.is_empty
    assert history.agent.next_deadline() is None
    assert not history.speaking
    assert history.agent._pool.slots == history.agent._pool.room


def until_drained(history: History) -> None:
    """It hands everything back, says goodbye and ends, in time."""
    grace_s = history.chance.choice([0.0, 0.5, 5.0])
    history.say(Drain(grace_s))
    until = history.clock.now + grace_s + 1.0
    assert history.clock.run(until, lambda: history.has_ended)
    assert not any(history.open.values())
    assert not history.workers.workers
    assert not history.speaking
    assert isinstance(history.log[-2][1].message, Goodbye)


@pytest.mark.parametrize("seed", range(120))
def test_every_task_is_answered_once_whatever_happens(seed: int):
    play(seed, until_all_is_done)


@pytest.mark.parametrize("seed", range(1000, 1060))
def test_a_drained_cluster_hands_everything_back(seed: int):
    play(seed, until_drained)
