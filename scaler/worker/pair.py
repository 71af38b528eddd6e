"""A pair of sockets between a client inside a task and its cluster: messages of several frames, both ways."""

import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence

from scaler.protocol.columns import Frame
from scaler.worker.line import (
    INLINE_BYTES,
    SHORTAGE_NAP_S,
    SHORTAGES,
    read_file,
    receive_with_descriptors,
    send_in_file,
)

#: whether the content is in a file, and how many frames it is
_HEADER = struct.Struct("<BxH")
_LENGTH_BYTES = 4
_MOST_FRAMES = 4097
#: the system takes no more parts in one packet
_MOST_PARTS = 1000
_READ_BYTES = _HEADER.size + _MOST_FRAMES * _LENGTH_BYTES + INLINE_BYTES


class PairEnd:
    """One end. What the socket has no room for waits here and wants a `flush`; if it `is_patient`, `send` waits too."""

    def __init__(self, end: socket.socket, *, is_patient: bool = False) -> None:
        end.setblocking(is_patient)
        self._socket = end
        self._is_patient = is_patient
        self._outbox: deque[Sequence[Frame]] = deque()

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._socket.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether messages wait here."""
        return bool(self._outbox)

    def send(self, frames: Sequence[Frame]) -> None:
        """Send a message, now or when there is room; nothing if the other end is gone."""
        self._outbox.append(frames)
        self.flush()
        while self._outbox and self._is_patient:
            time.sleep(SHORTAGE_NAP_S)
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while self._outbox and self._send(self._outbox[0]):
                self._outbox.popleft()
            return
        self._outbox.clear()  # its end is read from the same socket

    def _send(self, frames: Sequence[Frame]) -> bool:
        sizes = [len(frame) for frame in frames]
        is_large = sum(sizes) > INLINE_BYTES
        header = _HEADER.pack(is_large, len(sizes)) + struct.pack(f"<{len(sizes)}I", *sizes)
        try:
            if is_large:
                send_in_file(self._socket, [header], frames)
            else:
                self._socket.sendmsg([header, *frames] if len(frames) < _MOST_PARTS else [header, b"".join(frames)])
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            return False
        return True

    def receive(self) -> list[Frame] | None:
        """The next message; None at the end. Raises `BlockingIOError` if there is none now."""
        data, descriptors = receive_with_descriptors(self._socket, _READ_BYTES, 1, socket.MSG_DONTWAIT)
        if not data:
            return None
        is_large, count = _HEADER.unpack_from(data)
        sizes = struct.unpack_from(f"<{count}I", data, _HEADER.size)
        at = _HEADER.size + _LENGTH_BYTES * count
        content = memoryview(data)[at:]
        if is_large:
            if not descriptors:  # none are left in this process
                return None
            content = memoryview(read_file(descriptors[0]))
        frames: list[Frame] = []
        start = 0
        for size in sizes:
            frames.append(bytes(content[start : start + size]))
            start += size
        return frames

    def close(self) -> None:
        """Give it back; the other end is told."""
        self._socket.close()
