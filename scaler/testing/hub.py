"""An in-process cluster: the scheduler's own core and what runs tasks, behind one lock that whoever speaks holds.

The core decides all there is to decide about tasks. It sees one worker cluster with room for everything, so that what
can run is here at once, and begins in the order of `Bench`.
"""

import dataclasses
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread
from scaler.client.waits import require_may_wait
from scaler.client.way import Way
from scaler.core import events as core
from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from scaler.ids import Epoch, Incarnation, incarnation_of
from scaler.payload.functions import Retried
from scaler.payload.nested import Attempt, Line
from scaler.protocol import ChildLinked, ChildSays, ClusterReady, FromClient, Goodbye, Holding, RunSpan
from scaler.protocol.codec import Unlinked
from scaler.protocol.columns import Frame
from scaler.resources import Resources
from scaler.testing.bench import PATIENCE_S, SOON_S, Bench, Work
from scaler.testing.box import Box
from scaler.testing.calls import Call
from scaler.testing.debuggers import is_at_prompt
from scaler.testing.driving import drive
from scaler.testing.lines import NearDialer, NearDialing, NearLine, NearLink
from scaler.testing.reports import Reports

#: what may be on its way to a client: there is no way
_ROOM_BYTES = 16 << 20
_SLOTS = 1 << 20
NAME = "in process"


@dataclasses.dataclass
class _Member:
    """A client, and what it has submitted."""

    io: "weakref.ref[IoThread]"
    #: what is said to it; None while it has not dialled
    box: Box | None = None
    bench: Bench = dataclasses.field(default_factory=Bench)


class Hub:
    """One of them; `number` tells it from others of this process."""

    def __init__(self, number: int, tags: tuple[str, ...], resources: Resources) -> None:
        self.address = f"in-process://{number}"
        self.place = f"{socket.gethostname()} ({NAME}), worker 0"
        self.number = number
        self._lock = threading.RLock()
        self.epoch = Epoch(int.from_bytes(os.urandom(8)) or 1)
        # nothing was before: there is nothing to be recovered
        self._core = SchedulerCore(CoreConfig(is_protected=True, recovery_s=0.0), self.epoch)
        self._cluster = Incarnation(int.from_bytes(os.urandom(8)) or 1)
        self._told: deque[core.Event] = deque()
        #: clients that have not left
        self._members: dict[Incarnation, _Member] = {}
        self._has_ended = False
        #: whether anything waited at the end of the last turn
        self._has_more = False
        #: tasks that run
        self._calls: dict[object, Call] = {}
        self._reports = Reports(self.place, self._bench_of)
        ready = ClusterReady(NAME, socket.gethostname(), os.getpid(), 1, _SLOTS, tags, resources, full_slots=_SLOTS)
        self._tell(
            core.PeerJoined(self._cluster, "worker", NAME),
            core.Received(self._cluster, ready),
            core.Received(self._cluster, Holding(())),
        )

    # ---- clients

    def io(self, config: ClientConfig, secret: bytes) -> IoThread:
        """What a client speaks by."""
        require_may_wait("Client")
        peer = incarnation_of(secret)
        dialing = NearDialing(partial(self._dial, peer, config.name))
        io = IoThread(config, Way(dialing, NearLink(self.epoch, self.number, self.next_deadline), "to-client"))
        with self._lock:
            self._members[peer] = _Member(weakref.ref(io))
        return io

    def _dial(self, peer: Incarnation, name: str) -> NearDialer:
        box = Box()
        with self._lock:
            member = self._members.get(peer)
            if self._has_ended or member is None:
                box.end()
            else:
                member.box = box
                self._tell(core.PeerJoined(peer, "client", name))
        return NearDialer(box, partial(self._heard, peer), self.look, partial(self._left, peer))

    def _heard(self, peer: Incarnation, message: FromClient, frames: tuple[Frame, ...]) -> None:
        self._tell(core.Received(peer, message, frames))

    def _left(self, peer: Incarnation) -> None:
        with self._lock:
            member = self._members.pop(peer, None)
            if member is not None and member.box is not None:
                self._tell(core.PeerLost(peer, "it has left"))

    def end(self) -> None:
        """Let all clients know that nothing will come any more."""
        with self._lock:
            self._has_ended = True
            for box in self._boxes():
                box.end()

    def _boxes(self) -> list[Box]:
        return [member.box for member in self._members.values() if member.box is not None]

    @property
    def benches(self) -> list[Bench]:
        """Those of the clients that are inside of no task."""
        with self._lock:
            return [member.bench for member in self._members.values()]

    # ---- clients inside tasks

    def open_line(self, call: Call, child: Incarnation) -> Line:
        """A new line for a client inside a task."""
        box = Box()
        with self._lock:
            call.children[child] = box
        box.put([Unlinked(ChildLinked(self.epoch, self.number))])
        return NearLine(box, partial(self._heard_inside, call, child))

    def _heard_inside(self, call: Call, child: Incarnation, message: FromClient, frames: tuple[Frame, ...]) -> None:
        with self._lock:
            if child in call.children:
                says = ChildSays(child, call.work.id, call.index, message)
                self._tell(core.Received(self._cluster, says, frames))

    def wait_inside(self, call: Call, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait as a task does."""
        return drive([(self, call.inside)], attempt, timeout_s)

    def step_inside(self, call: Call) -> bool:
        """Run one task that a task has submitted, if there is one; whether there was."""
        return self.is_settled(call.inside) and self.step(call.inside)

    def _bench_of(self, message: RunSpan) -> Bench:
        """Where a run belongs."""
        parent = self._calls.get(message.options.parent)
        if parent is not None:
            return parent.inside
        member = self._members.get(message.options.root or message.batch.owner)
        return Bench() if member is None else member.bench  # whose client has left is not run

    # ---- the core

    def _tell(self, *events: core.Event) -> None:
        with self._lock:
            self._told.extend(events)
            self._turn()

    def _turn(self) -> None:
        now = time.monotonic()
        while True:
            told = list(self._told)
            self._told.clear()
            for command in self._core.handle(told, now):
                self._perform(command)
            if not self._told:
                break
        had_more, self._has_more = self._has_more, any(bench.has_more for bench in self._all_benches())
        if self._has_more and not had_more:
            self._wake()

    def _perform(self, command: core.Command) -> None:
        match command:
            case core.Send(peer, message, frames) if peer == self._cluster:
                for answer, behind in self._reports.hear(message, frames, self._tell_child):
                    self._told.append(core.Received(peer, answer, behind))
            case core.Send(peer, message, frames):
                if (member := self._members.get(peer)) is not None and member.box is not None:
                    member.box.put([Unlinked(message, frames)])
            case core.AwaitRoom(peer, room_bytes):
                self._told.append(core.RoomFound(peer, max(room_bytes, _ROOM_BYTES)))
            case core.CutOff(peer):
                if (member := self._members.pop(peer, None)) is not None and member.box is not None:
                    member.box.end()
            case core.Note() | core.Publish() | core.Stop():
                return

    def _tell_child(self, child: Incarnation, message: Unlinked) -> None:
        for call in self._calls.values():
            if (box := call.children.get(child)) is not None:
                box.put([message])

    # ---- time

    def look(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        with self._lock:
            due = self._core.next_deadline()
            if due is not None and due <= now:
                self._turn()
            for bench in self._all_benches():
                alone_due = bench.due(now)
                if alone_due is not None and alone_due <= now:
                    self._serve(bench, now)

    def next_deadline(self) -> float | None:
        """When to look."""
        with self._lock:
            dues = (self._core.next_deadline(), self._alone_due(time.monotonic()))
            return min((due for due in dues if due is not None), default=None)

    def _alone_due(self, now: float) -> float | None:
        return min((due for bench in self._all_benches() if (due := bench.due(now)) is not None), default=None)

    def _all_benches(self) -> list[Bench]:
        return [*self.benches, *(call.inside for call in self._calls.values())]

    def _wake(self) -> None:
        """Have one of the clients look, since there may be a new deadline."""
        with self._lock:
            for box in self._boxes()[:1]:
                box.wake()

    # ---- running

    def attend(self, bench: Bench) -> None:
        """A thread that waits runs the tasks of a bench."""
        with self._lock:
            bench.attendants += 1
            bench.patience_s = PATIENCE_S

    def leave_alone(self, bench: Bench) -> None:
        """It does no more."""
        with self._lock:
            bench.attendants -= 1

    def is_settled(self, bench: Bench) -> bool:
        """Whether all that has been said by the clients of a bench, or to them, has arrived."""
        with self._lock:
            for member in self._members.values():
                if member.bench is bench:
                    return _is_quiet(member.io()) and not member.box
            for call in self._calls.values():
                if call.inside is bench:
                    ios = [getattr(side, "io", None) for side in list(call.belongings.values())]
                    return all(map(_is_quiet, ios)) and not any(call.children.values())
            return True

    def step(self, bench: Bench) -> bool:
        """Run one task of a bench in this thread, if one is to be run; whether one was."""
        call = self._begin(bench)
        if call is None:
            return False
        result = None
        try:
            result = call.run()
        finally:
            with self._lock:
                del self._calls[call.name]
                bench.is_busy = False
                children, call.children = call.children, {}
                for child, box in children.items():
                    box.end()
                    says = ChildSays(child, call.work.id, call.index, Goodbye("its task has ended"))
                    self._told.append(core.Received(self._cluster, says))
                for answer, frames in self._reports.ended(call, result):
                    self._told.append(core.Received(self._cluster, answer, frames))
                self._turn()
        if call.interrupt is not None:
            raise call.interrupt
        return True

    def _begin(self, bench: Bench) -> Call | None:
        with self._lock:
            found = None if self._has_ended else bench.next()
            if found is None:
                return None
            bench.is_busy = True
            call = Call(self, bench, *found)
            self._calls[call.name] = call
            self._tell(core.Received(self._cluster, self._reports.running(list(self._calls.values()))))
            return call

    def function_of(self, work: Work) -> Callable[..., Any] | Retried:  # Any: users' functions
        """The function of a run."""
        return self._reports.function(work.message.function)

    # ---- what nobody waits for

    def _serve(self, bench: Bench, now: float) -> None:
        if is_at_prompt():
            bench.alone_since = now
            return
        bench.is_served = True
        threading.Thread(target=self._run_alone, args=(bench,), name="scaler-in-process", daemon=True).start()

    def _run_alone(self, bench: Bench) -> None:
        try:
            while not bench.attendants and self._step_alone(bench):
                continue
        finally:
            with self._lock:
                bench.is_served = False
                bench.patience_s = SOON_S
            self._wake()

    def _step_alone(self, bench: Bench) -> bool:
        try:
            return self.step(bench)
        except KeyboardInterrupt:  # of the task's own: here is nobody whom it would stop
            return True


def _is_quiet(io: IoThread | None) -> bool:
    return io is None or io.is_quiet
