"""Real worker processes, driven by a test in the place of the agent."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from scaler.ids import BatchId, Epoch, Incarnation, RunId, TicketId, WorkerId
from scaler.payload.calls import joined_column, pickle_call
from scaler.payload.functions import pickle_function
from scaler.payload.inputs import Found, stand_in
from scaler.payload.values import Outcome, dump_value, load_value
from scaler.protocol import BatchOptions
from scaler.protocol.columns import words
from scaler.protocol.inputs import input_frames
from scaler.storage.store import Place
from scaler.worker.agent_events import (
    Define,
    Event,
    Give,
    Harvested,
    StartWorker,
    WorkerCommand,
    WorkerStarted,
)
from scaler.worker.facts import WorkerFacts, ZygoteFacts
from scaler.worker.poller import Poller
from scaler.worker.workers import Workers

PATIENCE_S = 20.0
RUN = RunId(Epoch(1), 1)
BATCH = BatchId(Incarnation(7), 3)
CLUSTER = Incarnation(8)
E = TypeVar("E")


class Input:
    """Among the arguments of a call: the value of another task, or bytes in its place."""

    def __init__(self, value: Any = None, data: bytes | None = None) -> None:
        self.data = dump_value(value) if data is None else data

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in(self)


class Driver:
    """Starts workers, gives them calls, and keeps whatever they tell, in order."""

    def __init__(self, environment: dict[str, str], threads: int = 1, stores: Sequence[Place] = ()) -> None:
        self.poller = Poller()
        facts = ZygoteFacts(WorkerFacts(threads, "here", owner=CLUSTER), (), environment)
        self.workers = Workers(facts, self.poller, time.monotonic, stores=stores)
        self.workers.open()
        self.events: list[Event] = []
        self._tickets = 0

    def close(self) -> None:
        self.workers.close()
        self.poller.close()

    def turn(self, seconds: float) -> None:
        due = self.workers.next_look()
        wait_s = seconds if due is None else min(seconds, max(0.0, due - time.monotonic()))
        self.poller.wait(wait_s)
        self.workers.look_around()
        self.events += self.workers.take_events()

    def wait(self, found: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not found():
            assert time.monotonic() < until, self.events
            self.turn(0.2)

    def wait_for(self, kind: type[E], count: int = 1) -> list[E]:
        """The events of this kind, once there are so many."""
        self.wait(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def tell(self, command: WorkerCommand) -> Event | None:
        answer = self.workers.perform(command)
        if answer is not None:
            self.events.append(answer)
        return answer

    def start(self, number: int = 0) -> WorkerStarted:
        before = len(self.of(WorkerStarted))
        self.tell(StartWorker(WorkerId(number)))
        return self.wait_for(WorkerStarted, before + 1)[-1]

    def define(self, function: Callable[..., Any], worker: int = 0) -> None:
        pickled = pickle_function(function)
        self.tell(Define(WorkerId(worker), pickled.id, pickled.frames))

    def give(
        self, function: Callable[..., Any], calls: list[tuple[Any, ...]], worker: int = 0, lo: int = 0
    ) -> TicketId:
        """One ticket with these calls."""
        pickled, needs = [], []
        values: dict[int, bytes] = {}
        for call in calls:
            with Found() as found:
                pickled.append(pickle_call(call))
            inputs = found.take()
            values |= {id(one): one.data for one in inputs}
            needs.append([list(values).index(id(one)) for one in inputs])
        self._tickets += 1
        column, ticket = joined_column(lo, pickled), TicketId(self._tickets)
        function_id = pickle_function(function).id
        behind = input_frames(needs, [(data,) for data in values.values()]) if values else ()
        self.tell(Give(WorkerId(worker), ticket, RUN, function_id, BatchOptions(), column, BATCH, behind))
        return ticket

    def outcomes(self) -> list[tuple[int, Outcome]]:
        """Index and outcome of every task harvested so far, in order."""
        return [(index, load_value(status, data)) for index, status, data in self.results()]

    def results(self) -> list[tuple[int, int, bytes]]:
        """The same as status and bytes."""
        found: list[tuple[int, int, bytes]] = []
        for event in self.of(Harvested):
            for piece in event.pieces:
                column = piece.column
                data, start = b"".join(column.data), column.base
                for number, end in enumerate(words(column.ends)):
                    value = data[start - column.base : end - column.base]
                    found.append((column.lo + number, bytes(column.statuses)[number], value))
                    start = end
        return found

    def values(self, count: int) -> list[tuple[int, Any]]:
        """Index and value of every task, once there are so many."""
        self.wait(lambda: len(self.outcomes()) >= count)
        return [(index, outcome.value) for index, outcome in self.outcomes()]

    def run(self, function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Outcome]:
        """The outcomes of these calls on worker 0."""
        before = len(self.outcomes())
        self.define(function)
        self.give(function, calls)
        self.wait(lambda: len(self.outcomes()) >= before + len(calls))
        return [outcome for _, outcome in self.outcomes()[before:]]
