"""Who may wait: every thread but a client's I/O thread, on which all that could be waited for depends.

Whoever waits here for a task does so by `wait_by`: in a task that gives the slot to others meanwhile.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures._base import _Waiter
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from scaler.payload import nested
from scaler.payload.nested import Attempt

T = TypeVar("T")
_thread = threading.local()


class Helper(Protocol):
    """Runs tasks in the threads that wait for them."""

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait as `wait_by` does, and run tasks meanwhile."""
        ...

    def step(self) -> bool:
        """Run one task that this thread may run, if there is one; whether there was."""
        ...


#: there is one where tasks run in this process, see `scaler.testing`
_helper: Helper | None = None


def have_help(helper: Helper) -> None:
    """From now on whoever waits in this process runs tasks meanwhile."""
    global _helper  # noqa: PLW0603  # a process has one
    _helper = helper


def helper() -> Helper | None:
    """Whoever runs tasks in this thread while it waits, if somebody does."""
    return _helper


def become_io_thread() -> None:
    """From now on this thread brings outcomes, and runs the callbacks of futures."""
    _thread.brings_outcomes = True


def is_io_thread() -> bool:
    """Whether this thread is a client's I/O thread."""
    return getattr(_thread, "brings_outcomes", False)


def require_may_wait(caller: str) -> None:
    """Raise `RuntimeError` where a call that waits would do so for ever: in a done callback."""
    if is_io_thread():
        raise RuntimeError(
            f"{caller} would wait for itself: it was called from a done callback, which runs in the thread that brings "
            "the outcomes; call it in a thread of your own"
        )


def wait_by(attempt: Attempt, timeout: float | None) -> bool:
    """Wait at most `timeout` seconds, by as many calls of `attempt` as it takes; whether it came."""
    task = nested.here()
    if task is not None:
        return task.wait(attempt, timeout)
    return attempt(timeout) if _helper is None else _helper.wait(attempt, timeout)


@contextmanager
def within(timeout: float | None) -> Iterator[None]:
    """What this thread waits for within it may take so many seconds in all; without a number as long as it takes."""
    before, _thread.until = time_left_at(), None if timeout is None else time.monotonic() + timeout
    try:
        yield
    finally:
        _thread.until = before


def time_left_at() -> float | None:
    """Until when this thread may wait."""
    return getattr(_thread, "until", None)


def time_left() -> float | None:
    """How many seconds this thread may wait still."""
    until = time_left_at()
    return None if until is None else max(0.0, until - time.monotonic())


def taken_from(queue: "SimpleQueue[T]", timeout: float | None) -> T:
    """What comes out of a queue next, as `wait_by` waits; raises `Empty` if nothing comes in time."""
    found: list[T] = []

    def attempt(seconds: float | None) -> bool:
        with suppress(Empty):
            found.append(queue.get(timeout=seconds))
        return bool(found)

    if not wait_by(attempt, timeout):
        raise Empty
    return found[0]


class _Event:
    """What a waiter of the standard library's waits for, as `wait_by` waits."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event
        self.set = event.set
        self.clear = event.clear
        self.is_set = event.is_set

    def wait(self, timeout: float | None = None) -> bool:
        return wait_by(self._event.wait, timeout)


class Waiters(list[_Waiter]):
    """Who waits for a future by the standard library's `wait` or `as_completed`."""

    def append(self, waiter: _Waiter) -> None:
        event: Any = waiter.event  # Any: one of the library's, or ours in its place
        if (nested.here() is not None or _helper is not None) and not isinstance(event, _Event):
            waiter.event = _Event(event)  # type: ignore[assignment]  # it does all that such a one has to
        super().append(waiter)
