"""Signals that end a scheduler, as something to read: one that comes before the loop runs is kept.

uvloop would not do that. Those that batch systems send as reminders are ignored.
"""

import contextlib
import os
import signal
from types import FrameType

_READ_BYTES = 4096
_ENDING = (signal.SIGINT, signal.SIGTERM)
_REMINDERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Signals:
    """Takes them over until `close`, which restores what was before; `nohup` keeps its SIGHUP."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        is_deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        ending = _ENDING if is_deaf else (*_ENDING, signal.SIGHUP)
        self._before = [(number, signal.signal(number, self._note)) for number in ending]
        self._before += [(number, signal.signal(number, _pass_over)) for number in _REMINDERS]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_end, bytes([number]))

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._read_end

    def take(self) -> list[signal.Signals]:
        """Those that came since, in order."""
        try:
            return [signal.Signals(number) for number in os.read(self._read_end, _READ_BYTES)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Give everything back."""
        for number, handler in self._before:
            signal.signal(number, handler)
        os.close(self._read_end)
        os.close(self._write_end)


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike `SIG_IGN` it is not handed on to programs that are started here."""
