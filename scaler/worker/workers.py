"""All workers of a cluster and the zygote they come from: does what the agent asks of them, tells what they did.

The shell owns the waiting: it is told which descriptors to watch through `Watch`, and calls what belongs to one when
something is there. Nothing here blocks, and nothing here decides about tasks.
"""

import contextlib
import logging
import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from scaler.errors import ProtocolError
from scaler.ids import Incarnation, WorkerId
from scaler.protocol.codec import Decoder, Unlinked, pack
from scaler.resources import bytes_text
from scaler.storage.store import Place
from scaler.worker.agent_deaths import ending
from scaler.worker.agent_events import (
    Answer,
    ChildClosed,
    ChildSaid,
    CloseChild,
    Define,
    Drop,
    DropCode,
    DropObject,
    Dump,
    Event,
    Give,
    Harvested,
    Hold,
    Interrupt,
    KeepCode,
    KillWorker,
    Limit,
    Look,
    Measure,
    Measured,
    RetireWorker,
    StartFailed,
    StartWorker,
    StorePiece,
    TakeBack,
    Tell,
    WorkerCommand,
    WorkerStarted,
)
from scaler.worker.agent_result_events import ResultCommand
from scaler.worker.code_folder import CodeFolder
from scaler.worker.descendants import become_subreaper, kill_descendants
from scaler.worker.echo import Echo
from scaler.worker.facts import ZygoteFacts
from scaler.worker.forwarding import Forwarding
from scaler.worker.handle import WorkerHandle
from scaler.worker.launch import Exited, Forked, ForkFailed, ZygoteEnded, ZygoteProcess
from scaler.worker.memory import MemoryWatch
from scaler.worker.shelf import Shelf
from scaler.worker.usage import Usage
from scaler.worker.watch import Watch

#: looks that are due so soon are done with those that are due now
TOGETHER_S = 0.001
#: so many messages of one client inside a task are taken in before others have their turn
_CHILD_MESSAGES = 100

log = logging.getLogger("scaler.worker")


class Workers:
    """The workers, by number; `take_events` tells what they did since it was last called."""

    def __init__(
        self,
        facts: ZygoteFacts,
        watch: Watch,
        clock: Callable[[], float],
        memory_limit_bytes: int | None = None,
        stores: Sequence[Place] = (),
    ) -> None:
        self._facts = facts
        self._watch = watch
        self._clock = clock
        self._handles: dict[WorkerId, WorkerHandle] = {}
        self._by_pid: dict[int, WorkerHandle] = {}
        self._events: list[Event] = []
        #: no worker is to be looked at before this; it may be too early, never too late
        self._look_at = math.inf
        self._zygote: ZygoteProcess | None = None
        self._usage = Usage()
        self._code = CodeFolder(facts.workers.code_folder)
        self._shelf = Shelf(stores, facts.workers.owner)
        #: what workers were told last of the room there is in the store
        self._room = self._shelf.room_bytes
        self._decoder = Decoder("child")
        #: whether what clients inside tasks say is taken in: else it waits where it is
        self._listens = True
        #: where the scheduler is, for workers that start from now on
        self.address = ""
        self._memory = MemoryWatch(memory_limit_bytes, clock) if memory_limit_bytes else None
        echo = Echo(facts.log_format, clock)
        echo.open()
        self._output = Forwarding(echo, watch, clock, self._note, echoes=facts.echoes)

    def open(self) -> None:
        """Start the zygote, so that it is there when the first worker is asked for; nothing if it runs."""
        if self._zygote is not None:
            return
        become_subreaper()
        workers = replace(self._facts.workers, stores=self._shelf.open())
        self._zygote = ZygoteProcess(replace(self._facts, workers=workers))
        self._watch.watch(self._zygote.fileno(), self._hear_zygote)

    def _note(self, event: Event) -> None:
        self._events.append(event)

    def take_events(self) -> list[Event]:
        """What has happened, in order."""
        events, self._events = self._events, []
        return events

    @property
    def has_news(self) -> bool:
        """Whether something has happened that was not told."""
        return bool(self._events)

    # ---- what the agent asks for

    def perform(self, command: WorkerCommand) -> Event | None:
        """Do it; returns what is to be told in the same turn."""
        if isinstance(command, StartWorker):
            return self._start(command)
        if isinstance(command, Measure):
            return self._measure()
        if isinstance(command, KeepCode | DropCode):
            self._keep_code(command)
            return None
        if isinstance(command, Hold | StorePiece | DropObject | ResultCommand):
            return self._on_shelf(command)
        handle = self._handles[command.worker]
        match command:
            case Give():
                handle.give(command, self._clock())
                self._note_look(handle)
                self._note_memory(handle)
            case TakeBack():
                return handle.take_back()
            case Look():
                return self._looked(handle, was_called=True)
            case Limit():
                handle.limit(command)
            case Interrupt():
                handle.interrupt(command)
            case Answer():
                handle.answer(command)
            case Tell():
                self._tell(handle, command)
            case CloseChild():
                self._close_child(handle, command.child)
            case Dump():
                handle.dump(command)
            case Define():
                handle.define(command)
            case Drop():
                handle.drop(command)
            case KillWorker():
                return self._kill(handle)
            case RetireWorker():
                handle.retire()
            case _:
                assert_never(command)
        return None

    def _on_shelf(self, command: Hold | StorePiece | DropObject | ResultCommand) -> Event | None:
        answer: Event | None
        if isinstance(command, ResultCommand):
            answer = self._shelf.perform_on_results(command)
        else:
            answer = self._shelf.perform(command)
        room = self._shelf.room_bytes
        if room != self._room:
            self._room = room
            for handle in self._handles.values():
                handle.tell_room(room)
        return answer

    def _keep_code(self, command: KeepCode | DropCode) -> None:
        """What goes wrong is told by the tasks that need the code."""
        try:
            if isinstance(command, KeepCode):
                self._code.keep(command.archive, command.frames)
            else:
                self._code.drop(command.archive)
        except OSError as error:
            log.error("code that came with functions cannot be kept: %s", error)  # noqa: TRY400  # no defect of ours

    def _start(self, command: StartWorker) -> StartFailed | None:
        worker = command.worker
        try:
            self.open()
            handle = WorkerHandle(worker, 1 if command.is_spare else self._facts.workers.threads)
        except OSError as error:
            return StartFailed(worker, f"the system does not allow it: {error}")
        self._handles[worker] = handle
        handle.tell_room(self._room)
        self._watch.watch(handle.poke, lambda: self._called(handle))
        self._output.begin(handle)
        assert self._zygote is not None
        self._zygote.fork(
            worker, command.name, command.devices, self.address, handle.to_fork, is_spare=command.is_spare
        )
        return None

    def _kill(self, handle: WorkerHandle) -> StartFailed | None:
        if self._zygote is not None and self._zygote.cancel(handle.worker):
            self._discard(handle)
            return StartFailed(handle.worker, "it was not wanted any more")
        handle.kill()
        return None

    def _measure(self) -> Measured:
        used = self._usage.of([os.getpid(), *self._by_pid])
        cpu_percent, rss_bytes = used.pop(os.getpid())
        return Measured(cpu_percent, rss_bytes, tuple((self._by_pid[pid].worker, pid, *used[pid]) for pid in used))

    # ---- clients inside their tasks

    def listen(self, *, listens: bool) -> None:
        """Take in what clients inside tasks say, or not, while there is no room where it goes."""
        if listens is self._listens:
            return
        self._listens = listens
        for handle in self._handles.values():
            for child, end in handle.children.items():
                if listens:
                    self._hear(handle, child)
                else:
                    self._watch.forget(end.fileno())

    def _hear(self, handle: WorkerHandle, child: Incarnation) -> None:
        self._watch.watch(handle.children[child].fileno(), lambda: self._heard(handle, child))

    def _heard(self, handle: WorkerHandle, child: Incarnation) -> None:
        end = handle.children[child]
        with contextlib.suppress(BlockingIOError):
            for _ in range(_CHILD_MESSAGES):
                frames = end.receive()
                if frames is None:
                    return self._lose_child(handle, child)
                try:
                    headers = self._decoder.decode(frames)
                except ProtocolError as error:
                    log.warning("a client inside a task of worker %d said what is no message: %s", handle.worker, error)
                    return self._lose_child(handle, child)
                for header in headers:
                    said = ChildSaid(handle.worker, child, header.ack, header.message, header.frames)
                    self._events.append(said)
        return None

    def _lose_child(self, handle: WorkerHandle, child: Incarnation) -> None:
        self._close_child(handle, child)
        self._events.append(ChildClosed(handle.worker, child))

    def _close_child(self, handle: WorkerHandle, child: Incarnation) -> None:
        end = handle.children.pop(child, None)
        if end is not None:
            self._watch.forget(end.fileno())
            end.close()

    def _tell(self, handle: WorkerHandle, command: Tell) -> None:
        end = handle.children.get(command.child)
        if end is None:
            return
        for frames in pack([Unlinked(command.message, command.frames)]):
            end.send(frames)
        if end.is_behind:
            handle.looks.given(self._clock())
            self._note_look(handle)

    # ---- what they do

    def _called(self, handle: WorkerHandle) -> None:
        handle.clear_poke()
        self._announce(handle)
        self._look(handle, was_called=True)

    def _announce(self, handle: WorkerHandle) -> None:
        """Tell once of a worker that can take tickets: it runs, and has done what comes before the first."""
        if handle.pid and not handle.is_announced and (handle.has_preloaded() or not self._facts.workers.preload):
            handle.is_announced = True
            self._events.append(WorkerStarted(handle.worker, handle.pid))

    def _look(self, handle: WorkerHandle, *, was_called: bool) -> None:
        harvested = self._looked(handle, was_called=was_called)
        if handle.has_printed():  # before its result, which may be the last that its client waits for
            self._output.forward(handle)
        handle.settle_output()
        if handle.is_news:
            self._events.append(harvested)

    def _looked(self, handle: WorkerHandle, *, was_called: bool) -> Harvested:
        harvested = handle.look(self._clock(), was_called=was_called)
        self._note_look(handle)
        for opened in handle.take_children():
            self._events.append(opened)
            if self._listens:
                self._hear(handle, opened.child)
        return harvested

    def _note_look(self, handle: WorkerHandle) -> None:
        due = handle.looks.due
        if due is not None and due < self._look_at:
            self._look_at = due

    def _note_memory(self, handle: WorkerHandle) -> None:
        if self._memory is not None:
            self._memory.given(handle)

    def next_look(self) -> float | None:
        """When `look_around` is due."""
        due = min(self._look_at, self._output.due(), math.inf if self._memory is None else self._memory.due)
        return None if due == math.inf else due

    def look_around(self) -> None:
        """Look at the workers whose time has come."""
        if self._memory is not None:
            self._events += self._memory.look(self._handles.values())
        now = self._clock()
        self._output.look(now)
        if now < self._look_at:
            return
        self._look_at = math.inf
        for handle in self._handles.values():
            due = handle.looks.due
            if due is not None and due <= now + TOGETHER_S:
                self._look(handle, was_called=False)
            else:
                self._note_look(handle)

    def _hear_zygote(self) -> None:
        if self._zygote is None:
            return
        for event in self._zygote.receive():
            match event:
                case Forked(worker, pid, descriptor):
                    handle = self._handles[worker]
                    handle.forked(pid, descriptor)
                    self._by_pid[pid] = handle
                    self._announce(handle)
                    self._note_memory(handle)
                case ForkFailed(worker, text):
                    self._fail(self._handles[worker], text)
                case Exited(pid, exit_code):
                    if pid in self._by_pid:  # else it could not be held
                        self._end(self._by_pid.pop(pid), exit_code)
                case ZygoteEnded(exit_code):
                    self._lose_zygote(exit_code)
                case _:
                    assert_never(event)

    def _fail(self, handle: WorkerHandle, text: str, *, in_preload: bool = False) -> None:
        self._discard(handle)
        self._events.append(StartFailed(handle.worker, text, in_preload))

    def _end(self, handle: WorkerHandle, exit_code: int) -> None:
        self._output.forward(handle, is_last=True)
        if not handle.is_announced:
            words = handle.why_not_begun() or f"it {ending(exit_code)}"
            if handle.excess_bytes:
                words = f"it passed the memory limit: it used {bytes_text(handle.excess_bytes)}"
            self._fail(handle, f"--preload {self._facts.workers.preload}: {words}", in_preload=True)
            return
        self._events += handle.ended(exit_code, self._clock())
        self._discard(handle)

    def _discard(self, handle: WorkerHandle) -> None:
        self._output.discard(handle)
        self._watch.forget(handle.poke)
        for end in handle.children.values():
            self._watch.forget(end.fileno())
        handle.close()
        del self._handles[handle.worker]

    def _lose_zygote(self, exit_code: int) -> None:
        """All workers go with it; the next one that is asked for has a new zygote."""
        log.error("the zygote ended with exit code %d, and all workers with it", exit_code)
        self._drop_zygote()
        kill_descendants(os.getpid())
        self._by_pid.clear()
        for handle in list(self._handles.values()):
            if handle.pid:
                self._end(handle, -signal.SIGKILL)
            else:
                self._fail(handle, f"the zygote ended with exit code {exit_code}")

    def _drop_zygote(self) -> None:
        if self._zygote is not None:
            self._watch.forget(self._zygote.fileno())
            self._zygote.close()
            self._zygote = None

    def close(self) -> None:
        """End every process below this one, and give everything back."""
        self._drop_zygote()
        kill_descendants(os.getpid())
        for handle in list(self._handles.values()):
            self._discard(handle)
        self._output.close()
        self._code.remove()
        self._shelf.close()
