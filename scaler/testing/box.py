"""Messages for one client of an in-process cluster, and the descriptor that tells of them."""

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence

from scaler.protocol.codec import Unlinked, pack
from scaler.protocol.columns import Frame


class Box:
    """Any thread puts messages in, the client's own takes them out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: deque[list[Frame]] = deque()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        #: nothing more comes
        self.has_ended = False

    def __len__(self) -> int:
        return len(self._messages) + self.has_ended

    def fileno(self) -> int:
        """What to poll."""
        return self._descriptor

    def put(self, messages: Iterable[Unlinked]) -> None:
        """These are said to the client; what is put into a box that is closed is dropped."""
        packed = pack(messages)
        with self._lock:
            if self._descriptor >= 0 and not self.has_ended:
                self._messages.extend(packed)
                os.eventfd_write(self._descriptor, 1)

    def wake(self) -> None:
        """Have the client look, though nothing may have come."""
        with self._lock:
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def end(self) -> None:
        """Nothing more comes."""
        self.has_ended = True
        self.wake()

    def take(self) -> Sequence[Frame] | None:
        """The next message; None if there is none now."""
        with self._lock:
            if self._messages:
                return self._messages.popleft()
            if self._descriptor >= 0:
                try:
                    os.eventfd_read(self._descriptor)
                except BlockingIOError:
                    return None
            return None

    def close(self) -> None:
        """Give the descriptor back; closing again is nothing."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            self._messages.clear()
            if descriptor >= 0:
                os.close(descriptor)
