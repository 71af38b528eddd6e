"""The worker's end of its line, as its slots share it: tickets come out, functions are kept until they are called."""

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

    def next_now(self) -> TicketPacket | None:
        """The next ticket; raises `BlockingIOError` if it is not there, None at the end of the line."""
        if not self._reading.acquire(blocking=False):
            raise BlockingIOError
        try:
            return self._read(socket.MSG_DONTWAIT)
        finally:
            self._reading.release()

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
                case DropPacket(function):
                    if not waiting:
                        self._pickled.pop(function, None)
                        self._loaded.pop(function, None)
                case None:
                    return None
        return waiting.popleft()

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
