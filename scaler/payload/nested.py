"""Where a client finds the task it is inside of: the worker says so here, and the client asks. Neither knows the other.

A task's own thread is a slot's. Any other thread belongs to the task it was first found in, which is the only one that
runs in its process; a thread that is found in none, or where several run, has no task.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from scaler.ids import Epoch, Incarnation, TaskId
from scaler.protocol.columns import Frame

#: waits at most so many seconds, None for as long as it takes, for what it waits for; whether that has come
Attempt = Callable[[float | None], bool]


class Line(Protocol):
    """What a client inside a task talks through."""

    def fileno(self) -> int:
        """The descriptor to watch for reading; it tells of all that is there to be read."""
        ...

    def receive(self) -> list[Frame] | None:
        """The next message; None at the end. Raises `BlockingIOError` if there is none now."""
        ...

    def send(self, frames: Sequence[Frame]) -> None:
        """Send a message; waits while there is no room. Nothing if the line has ended."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Standing(NamedTuple):
    """Where a task stands among others: in how many it is nested, and what its own are to inherit."""

    depth: int
    priority: int
    root: Incarnation
    #: the scheduler that had it run
    epoch: Epoch
    #: nobody wants to see what it prints, nor what its own print
    is_quiet: bool = False
    #: what it returns is not to lie in the store of its cluster: it belongs to a durable work
    by_value: bool = False

    @property
    def viewer(self) -> Incarnation | None:
        """The client that is to see what it prints, if one is: that of the outermost task."""
        return None if self.is_quiet else self.root


class Task(Protocol):
    """A task that runs here."""

    @property
    def name(self) -> TaskId:
        """Its full name."""
        ...

    @property
    def standing(self) -> Standing:
        """Where it stands among others."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def belongings(self) -> dict[object, object]:
        """What clients keep for this task alone."""
        ...

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done when it ends, in its own thread."""
        ...

    def open_line(self, child: Incarnation) -> Line:
        """A new line to the cluster, for a client of this name."""
        ...

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait, in its own thread, while others use the slot; whether that has come which was waited for.

        Raises `ParkingError` where too many tasks wait already.
        """
        ...


class Place(Protocol):
    """A slot of this process."""

    def task(self) -> Task | None:
        """The task in it."""
        ...


class _Thread(threading.local):
    place: Place | None = None
    task: Task | None = None
    #: where its own scheduler is, if this thread alone runs tasks of that
    address: str = ""


_thread = _Thread()
_places: list[Place] = []
_address = ""
_epochs: set[int] = set()


def settle(address: str) -> None:
    """This process is a worker of a cluster of the scheduler at this address."""
    global _address  # noqa: PLW0603  # a process has one
    _address = address


def occupy(place: Place) -> None:
    """This thread is the one that runs the tasks of a slot."""
    _thread.place = place
    _places.append(place)


@contextmanager
def occupied(place: Place, address: str) -> Iterator[None]:
    """This thread alone, within it, runs the task of a slot, for the scheduler at this address."""
    before = _thread.place, _thread.address
    _thread.place, _thread.address = place, address
    try:
        yield
    finally:
        _thread.place, _thread.address = before


def has_served(epoch: Epoch) -> None:
    """Tasks of the scheduler of this name have come here."""
    _epochs.add(epoch)


def leave() -> None:
    """This process is no worker: it was forked off by a task."""
    settle("")
    _places.clear()
    _epochs.clear()
    _thread.place = _thread.task = None


def address() -> str | None:
    """Where the scheduler of this worker is; None elsewhere."""
    return _thread.address or _address or None


def is_home(address: str, epoch: int) -> bool:
    """Whether the scheduler with this address or name is the one whose worker this is."""
    home = _thread.address or _address
    return bool(home) and (epoch in _epochs or address == home)


def here() -> Task | None:
    """The task whose own thread this is."""
    place = _thread.place
    return None if place is None else place.task()


def current() -> Task | None:
    """The task that this thread belongs to; it may be over."""
    if _thread.place is not None:
        return _thread.place.task()
    if _thread.task is None:
        running = [task for place in _places if (task := place.task()) is not None]
        if len(running) == 1:
            _thread.task = running[0]
    return _thread.task
