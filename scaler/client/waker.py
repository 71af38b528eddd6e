"""How other threads wake the I/O thread: one descriptor to poll, written only when the thread sleeps."""

import contextlib
import os
import threading

#: so many descriptors it takes at most
DESCRIPTORS = 2


class Waker:
    """A descriptor that becomes readable when `wake` is called, until `clear`; an eventfd, or a pipe elsewhere.

    Whoever wakes may do so while it is closed, or after: then nothing is done. The lock is one that can be taken again,
    since a finalizer may wake in the midst of `wake`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_open = True
        if hasattr(os, "eventfd"):
            self._read = self._write = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read, self._write = os.pipe()
            os.set_blocking(self._read, False)
            os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """What to poll."""
        return self._read

    def wake(self) -> None:
        """Make the descriptor readable; a full pipe is readable already."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._is_open:
                os.write(self._write, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    def clear(self) -> None:
        """Forget all calls of `wake` so far."""
        try:
            while os.read(self._read, 4096):
                if self._read == self._write:
                    return
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptors back; closing again is nothing."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                for descriptor in {self._read, self._write}:
                    os.close(descriptor)
