"""A task that runs in this process: opened, called and described as a worker does, in the thread that runs it.

It is to the clients inside of it what a slot's task is in a worker.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, NamedTuple, Protocol

from scaler.errors import ObjectLostError
from scaler.ids import Incarnation, TaskId
from scaler.payload import nested
from scaler.payload.bare import load
from scaler.payload.diagnosis import not_loadable
from scaler.payload.functions import Retried
from scaler.payload.inputs import Opener
from scaler.payload.nested import Attempt, Line, Standing
from scaler.payload.values import dump_value
from scaler.protocol.columns import VALUE
from scaler.testing.bench import Bench, Work
from scaler.testing.box import Box
from scaler.worker.describing import describe, describe_loss
from scaler.worker.objects import Objects

#: of the frames of what a task raised, those that are ours
_OWN_FRAMES = 2


class Result(NamedTuple):
    """What a call came to: status, bytes, and how long it took."""

    status: int
    data: bytes
    run_us: int
    cpu_us: int


class Around(Protocol):
    """What a call needs of its cluster."""

    address: str
    place: str

    def function_of(self, work: Work) -> Callable[..., Any] | Retried:  # Any: users' functions
        """The function of a run; `DeserializeObjectError` if it cannot be loaded."""
        ...

    def open_line(self, call: "Call", child: Incarnation) -> Line:
        """A new line for a client inside a task."""
        ...

    def step_inside(self, call: "Call") -> bool:
        """Run one task that a task has submitted, if there is one; whether there was."""
        ...

    def wait_inside(self, call: "Call", attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait as a task does, and run what it has submitted meanwhile."""
        ...


class Call:
    """One task, from its begin to its end; it is its own slot."""

    def __init__(self, around: Around, bench: Bench, work: Work, index: int) -> None:
        self._around = around
        self.bench = bench
        self.work = work
        self.index = index
        message = work.message
        self.name = TaskId(message.batch, index)
        options = message.options
        root = options.root or message.batch.owner
        self.standing = Standing(options.depth, options.priority, root, work.id.epoch, options.quiet)
        self.is_over = False
        #: what clients keep for this task
        self.belongings: dict[object, object] = {}
        self._ends: list[Callable[[], None]] = []
        #: what it has submitted, and the lines of the clients that did
        self.inside = Bench()
        self.children: dict[Incarnation, Box] = {}
        #: what stops the program though it was raised in a task
        self.interrupt: KeyboardInterrupt | None = None

    # ---- as clients inside of it see it

    def task(self) -> "Call":
        """Itself."""
        return self

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done when it ends, in its own thread."""
        self._ends.append(action)

    def open_line(self, child: Incarnation) -> Line:
        """A new line to the cluster, for a client of this name."""
        return self._around.open_line(self, child)

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait, and run meanwhile what it has submitted."""
        return self._around.wait_inside(self, attempt, timeout_s)

    def step(self) -> bool:
        """Run one task that it has submitted, if there is one; whether there was."""
        return self._around.step_inside(self)

    # ---- running

    def run(self) -> Result:
        """Run it here and now, whatever it raises is its result."""
        begun, cpu = time.monotonic_ns(), time.thread_time_ns()
        with nested.occupied(self, self._around.address), _without_loop():
            status, data = self._outcome()
            run_us = (time.monotonic_ns() - begun) // 1000
            cpu_us = (time.thread_time_ns() - cpu) // 1000
            ends, self._ends = self._ends, []
            for action in ends:
                action()
        self.is_over = True
        return Result(status, data, run_us, cpu_us)

    def _outcome(self) -> tuple[int, bytes]:
        """Status and bytes; in a context of its own, as in another process."""
        opening = _Opening()
        try:
            return VALUE, dump_value(Context().run(self._call, opening))
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is its result
            if isinstance(error, KeyboardInterrupt):
                self.interrupt = error
            if opening.is_open or not opening.is_loaded:
                found: BaseException = error
            elif isinstance(error, ObjectLostError):
                return describe_loss(error, self._around.place)
            else:
                found = not_loadable("the arguments", error).with_traceback(error.__traceback__)
            name = self.work.message.options.name
            note = f"in task {self.name} ({name}) on {self._around.place}"
            return describe(found, opening.retry_on, note, _OWN_FRAMES)

    def _call(self, opening: "_Opening") -> Any:  # Any: whatever the task returns
        function = self._around.function_of(self.work)
        if isinstance(function, Retried):
            opening.retry_on, function = function.retry_on, function.function
        opening.is_loaded = True
        work, data = self.work, self.work.call(self.index)
        if work.inputs is None:
            call = load(data)
        else:
            call = Opener(work.inputs, Objects()).open(self.index - work.message.lo, data)
        opening.is_open = True
        return function(*call) if type(call) is tuple else function(*call[0], **call[1])


class _Opening:
    """How far a call has come."""

    is_loaded = False
    is_open = False
    retry_on: tuple[type[BaseException], ...] = ()


@contextlib.contextmanager
def _without_loop() -> Iterator[None]:
    """In a worker no event loop runs where a task does: it may run one of its own."""
    events = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()  # noqa: SLF001  # asyncio says that it is for this
    if events is None or loop is None:
        yield
        return
    events._set_running_loop(None)  # noqa: SLF001  # as above
    try:
        yield
    finally:
        events._set_running_loop(loop)  # noqa: SLF001  # as above
