"""Where what tasks print goes: to the cluster's own output, and nowhere if that cannot be written."""

import contextlib
import errno
import io
import os
from typing import Any

_STDERR = 2


def lossy_writer(descriptor: int, encoding: str, errors: str) -> io.TextIOWrapper:
    """A text stream like `sys.stdout`; what its descriptor does not take is lost, and no task fails for it.

    That is told once on stderr, until something can be written again; but not of a reader that has gone, who knows.
    """
    buffer = io.BufferedWriter(_Lossy(descriptor))
    return io.TextIOWrapper(buffer, encoding=encoding, errors=errors, line_buffering=True)


class _Lossy(io.RawIOBase):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_failing = False

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # Any: a buffer, for which 3.11 has no type
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._tell_once(error)
            return memoryview(data).nbytes
        self._is_failing = False
        return written

    def _tell_once(self, error: OSError) -> None:
        if error.errno == errno.EPIPE or self._is_failing:
            return
        self._is_failing = True
        text = f"scaler: what tasks print cannot be written, and is lost until it can: {error.strerror}\n"
        with contextlib.suppress(OSError):
            os.write(_STDERR, text.encode())
