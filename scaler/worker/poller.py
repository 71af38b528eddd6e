"""Waiting for descriptors and signals, in one place and without an event loop."""

import contextlib
import os
import select
import signal
from collections.abc import Callable
from types import FrameType

#: epoll takes no more than some weeks
LONGEST_WAIT_S = 3600.0
_ENDING = (signal.SIGTERM, signal.SIGINT)
#: batch systems send them before a walltime ends
REMINDERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Poller:
    """Calls what belongs to a descriptor when there is something to read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[], object]] = {}

    def watch(self, descriptor: int, action: Callable[[], object]) -> None:
        """Call `action` whenever there is something to read, or its end."""
        self._actions[descriptor] = action
        self._epoll.register(descriptor, select.EPOLLIN)

    def forget(self, descriptor: int) -> None:
        """Watch it no more; one that is not watched is left alone."""
        if self._actions.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wait(self, seconds: float | None) -> None:
        """Sleep until something can be read, at most so long or an hour, and call what belongs to it."""
        for descriptor, _ in self._epoll.poll(-1 if seconds is None else min(seconds, LONGEST_WAIT_S)):
            action = self._actions.get(descriptor)
            if action is not None:
                action()

    def close(self) -> None:
        """Give it back."""
        self._epoll.close()


class Signals:
    """Signals as something to read: those that end a cluster, and `REMINDERS`; `nohup` keeps its SIGHUP.

    What they did before is restored by `close`.
    """

    def __init__(self) -> None:
        self._received: list[signal.Signals] = []
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        is_deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heard = (*_ENDING, *REMINDERS) if is_deaf else (*_ENDING, *REMINDERS, signal.SIGHUP)
        self._before = [(number, signal.signal(number, self._note)) for number in heard]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(signal.Signals(number))

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._read_end

    def take(self) -> list[signal.Signals]:
        """Those that came since."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)
        received, self._received = self._received, []
        return received

    def close(self) -> None:
        """Restore what was before."""
        for number, handler in self._before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read_end)
        os.close(self._write_end)
