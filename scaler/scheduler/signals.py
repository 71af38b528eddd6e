"""SIGINT and SIGTERM as something to read: one that comes before the loop runs is kept, which uvloop would not do."""

import contextlib
import os
import signal
from types import FrameType

_READ_BYTES = 4096


class Signals:
    """Takes both signals over until `close`, which restores what was before."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._before = [(number, signal.signal(number, self._note)) for number in (signal.SIGINT, signal.SIGTERM)]

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
