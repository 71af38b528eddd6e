"""How other threads wake the I/O thread: one descriptor to poll, written only when the thread sleeps."""

import os


class Waker:
    """A descriptor that becomes readable when `wake` is called, until `clear`; an eventfd, or a pipe elsewhere."""

    def __init__(self) -> None:
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
        try:
            os.write(self._write, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        except BlockingIOError:
            return

    def clear(self) -> None:
        """Forget all calls of `wake` so far."""
        try:
            while os.read(self._read, 4096):
                if self._read == self._write:
                    return
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        if self._write != self._read:
            os.close(self._write)
