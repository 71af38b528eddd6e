"""The worker's end of its line, as its slots share it: tickets come out, functions are kept until they are called."""

import gc
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from scaler.errors import DeserializeObjectError
from scaler.ids import FunctionId
from scaler.payload.functions import Retried, load_function
from scaler.worker.line import DropPacket, FunctionPacket, TicketPacket, receive_packet

Function = Callable[..., Any] | Retried  # Any: whatever users' functions take and return

#: once so much of functions was forgotten garbage is collected: what refer to one another are not freed before
_GARBAGE_BYTES = 32 << 20


class Inbox:
    """Reads packets in order. One slot reads at a time, so a function is kept before another slot is asked for it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._reading = threading.Lock()
        self._loading = threading.Lock()
        #: read and not begun: the first waits for its function, which the cluster took back as it lay before it in the
        #: line, and sends again
        self._waiting: deque[TicketPacket] = deque()
        #: as they came, until they are called for the first time
        self._pickled: dict[FunctionId, bytes] = {}
        self._loaded: dict[FunctionId, Function] = {}
        #: what each took as it came, and what those took that were forgotten lately
        self._sizes: dict[FunctionId, int] = {}
        self._forgotten_bytes = 0

    def next_now(self) -> TicketPacket | None:
        """The next ticket; raises `BlockingIOError` if it is not there, None at the end of the line."""
        if not self._reading.acquire(blocking=False):
            raise BlockingIOError
        try:
            return self._read(socket.MSG_DONTWAIT)
        finally:
            self._reading.release()

    def comes_within(self, seconds: float) -> bool:
        """Wait at most so long for something to come, or the end of the line."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def next(self) -> TicketPacket | None:
        """The next ticket, once it comes; None at the end of the line."""
        with self._reading:
            return self._read(0)

    def _read(self, flags: int) -> TicketPacket | None:
        waiting = self._waiting
        while not waiting or not self._has(waiting[0].function):
            match receive_packet(self._line, flags):
                case TicketPacket() as packet:
                    waiting.append(packet)
                case FunctionPacket(function, content):
                    self._pickled[function] = bytes(content)
                    self._sizes[function] = len(content)
                case DropPacket(function):
                    if all(ticket.function != function for ticket in waiting):
                        self._forget(function)
                case None:
                    return None
        return waiting.popleft()

    def _forget(self, function: FunctionId) -> None:
        self._pickled.pop(function, None)
        self._loaded.pop(function, None)
        self._forgotten_bytes += self._sizes.pop(function, 0)
        if self._forgotten_bytes >= _GARBAGE_BYTES:
            self._forgotten_bytes = 0
            gc.collect()

    def _has(self, function: FunctionId) -> bool:
        return function in self._loaded or function in self._pickled

    def load(self, function: FunctionId) -> Function:
        """The function itself; one that cannot be loaded raises why whenever it is called."""
        known = self._loaded.get(function)
        if known is not None:
            return known
        with self._loading:
            known = self._loaded.get(function)
            if known is None:
                try:
                    known = load_function([self._pickled[function]])
                except DeserializeObjectError as error:
                    return _raising(error)
                self._loaded[function] = known
                self._pickled.pop(function)
        return known


def _raising(error: DeserializeObjectError) -> Function:
    text, cause = str(error), error.__cause__

    def not_loaded(*_: object, **__: object) -> None:
        raise DeserializeObjectError(text) from cause

    return not_loaded
