"""A client inside a task: it speaks through the line of the worker that runs the task, and lives as long as the task.

The scheduler knows it as a client of its own, a child, for each task. One object may serve many tasks, at a time or
one after another: a function brings it along, or a module keeps it. So what belongs to one task is kept by the task,
and the object is but a face of it.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scaler.client.batches import batches_of
from scaler.client.config import ClientConfig
from scaler.client.io_thread import IoThread
from scaler.client.way import Way
from scaler.errors import ClientQuitException, DisconnectedError, DurableError
from scaler.ids import Epoch, Incarnation
from scaler.link import events as link
from scaler.net.transport import Arrived, Dialer, DialerEvent, Frame, Lost
from scaler.payload import nested
from scaler.payload.custom import Carrier
from scaler.payload.nested import Line, Task
from scaler.protocol import ChildLinked, Goodbye

#: said in one turn at most; the line itself waits when it has no room
_ROOM_BYTES = 1 << 20
_OVER = "the task that this client was used in has ended, and what it had submitted with it"
_NO_TASK = (
    "a client inside a worker can be used while its task runs, in the task's own thread or, where the worker runs one "
    "task at a time, in others: in a worker with --threads use it in the task's own thread first"
)


@dataclass(slots=True)
class Heard:
    """The link of the cluster that clients of this process have heard of last; its number is 0 while they have not."""

    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a plain number
    link: int = 0


class FaceLink:
    """As `DialledLink`, where the cluster on the other side sees to it that nothing is lost. Pure.

    It speaks at once, on the link that was `heard` of last: the cluster drops what is said on one that is no more, and
    tells of the present one.
    """

    room_bytes = _ROOM_BYTES
    backlog_bytes = 0

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._has_dialled = False
        self._said = 0
        #: the number of the link that everything is said on
        self._link = 0

    def handle(self, events: Iterable[link.DialledEvent], now: float) -> list[link.DialledOutput]:
        """What happened since, in order; what to do about it, in order. Nothing is due at any time."""
        del now
        outputs: list[link.DialledOutput] = [] if self._has_dialled else self._dial()
        for event in events:
            match event:
                case link.Outgoing(message, frames):
                    self._said += 1
                    outputs.append(link.Transmit(self._said, self._link, message, frames))
                case link.PacketArrived(header, frames):
                    outputs += self._arrived(header.message, frames)
                case link.ConnectionLost(reason):
                    outputs.append(link.GaveUp(DisconnectedError(reason)))
                case link.Connected() | link.Slept():
                    continue
        return outputs

    def _dial(self) -> list[link.DialledOutput]:
        self._has_dialled = True
        self._link = self._heard.link
        return [link.Dial(), *([link.LinkUp(self._heard.epoch, resumed=False)] if self._link else [])]

    def _arrived(self, message: object, frames: tuple[Frame, ...]) -> list[link.DialledOutput]:
        match message:
            case ChildLinked(epoch, number):
                if number == self._link:
                    return []
                self._link = self._heard.link = number
                self._heard.epoch = epoch
                return [link.LinkUp(epoch, resumed=False)]
            case Goodbye(reason):
                return [link.GaveUp(ClientQuitException(reason))]
            case _:
                return [link.Deliver(message, frames)]  # type: ignore[arg-type]  # the decoder's direction says so

    @staticmethod
    def next_deadline() -> float | None:
        """Nothing is due by itself."""
        return None


class FaceDialer:
    """A `Dialer` on the line of a client inside a task."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._is_over = False

    def filenos(self) -> list[int]:
        return [self._line.fileno()]

    def receive(self, limit: int) -> list[DialerEvent]:
        events: list[DialerEvent] = []
        while not self._is_over and len(events) < limit:
            try:
                frames = self._line.receive()
            except BlockingIOError:
                break
            self._is_over = frames is None
            events.append(
                Lost(0, "the worker cluster has closed the line of this client")
                if frames is None
                else Arrived(0, frames)
            )
        return events

    @staticmethod
    def pending() -> bool:
        return False

    def send(self, frames: Sequence[Frame]) -> None:
        self._line.send(frames)

    def close(self) -> None:
        self._line.close()


class _Dialing:
    """Opens the line of one client inside a task, once."""

    def __init__(self, task: Task, child: Incarnation) -> None:
        self._task = task
        self._child = child

    def dial(self) -> Dialer:
        if self._task.is_over:
            raise ClientQuitException(_OVER)
        return FaceDialer(self._task.open_line(self._child))

    def close(self) -> None:
        """Nothing is shared."""


class Side:
    """What a client has in one task: a name, its batches, and the thread that speaks for it."""

    def __init__(self, config: ClientConfig, carrier: Carrier | None, task: Task) -> None:
        self.incarnation = Incarnation(int.from_bytes(os.urandom(8)) or 1)
        self.io = IoThread(config, Way(_Dialing(task, self.incarnation), FaceLink(_heard), "to-child"))
        # this client has no terminal: what its tasks print is shown by that of the outermost task
        self.batches = batches_of(config, self.io, self.incarnation, carrier, task)


_heard = Heard()
_making = threading.RLock()  # the handler of a signal may come back to it


class Face:
    """Finds the side of a client in the task that uses it."""

    def __init__(self, config: ClientConfig, carrier: Carrier | None = None) -> None:
        if config.durable:
            raise DurableError("a client inside a task ends with its task, and durable work does not: leave it away")
        self._config = config
        self._carrier = carrier
        #: the task it was made in: threads that cannot tell which task is theirs are this one's
        self._born_in = nested.here()

    def side(self) -> Side:
        """What this client has in the task of this thread; `ClientQuitException` if there is none, or it has ended."""
        task = self._task()
        side = task.belongings.get(self)
        if side is None:
            with _making:  # threads of one task may come at once
                side = task.belongings.get(self)
                if side is None:
                    side = task.belongings[self] = self._begin(task)
        assert isinstance(side, Side)
        return side

    def _begin(self, task: Task) -> Side:
        side = Side(self._config, self._carrier, task)
        task.at_end(lambda: side.io.leave(_OVER))
        side.io.start()
        return side

    def _task(self) -> Task:
        task = nested.current() or self._born_in
        if task is None:
            raise ClientQuitException(_NO_TASK)
        if task.is_over:
            raise ClientQuitException(_OVER)
        return task
