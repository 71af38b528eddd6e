"""A transport without sockets: both ends in one process, for tests and for parts that live together.

Each end has an inbox and an eventfd that is readable while something may be in it; the ends may be in two threads.
"""

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from scaler.net.transport import (
    MAX_FRAME_BYTES,
    Arrived,
    Connected,
    DialerEvent,
    Frame,
    Identity,
    ListenerEvent,
    Lost,
    Opened,
)

_Event = TypeVar("_Event")
_addresses = itertools.count(1)


class _Inbox(Generic[_Event]):
    """Events for one end, and the descriptor that tells of them."""

    def __init__(self) -> None:
        self._events: deque[_Event] = deque()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: _Event) -> None:
        self._events.append(event)
        if self.descriptor >= 0:
            os.eventfd_write(self.descriptor, 1)

    def take(self, limit: int) -> list[_Event]:
        # nothing may have been put since the last look, which left something for this one
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
        return [self._events.popleft() for _ in range(min(limit, len(self._events)))]

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class MemoryListener:
    """A `Listener` that is reached by `dial`, with the identity that a handshake would have proved."""

    def __init__(self) -> None:
        self.address = f"memory://{next(_addresses)}"
        self._inbox: _Inbox[ListenerEvent] = _Inbox()
        self._numbers = itertools.count(1)
        self._dialers: dict[int, MemoryDialer] = {}
        #: keys that may not connect any more
        self._revoked: set[str] = set()
        self._open = True

    def dial(self, identity: Identity) -> "MemoryDialer":
        """A new connection; where its key was revoked, or nobody listens any more, it is refused like any other."""
        dialer = MemoryDialer(self, next(self._numbers), identity)
        if not self._open:
            dialer.end("nobody listens there")
        elif identity.key in self._revoked:
            dialer.end("our key is not authorised there", refused=True)
        else:
            dialer.inbox.put(Connected())
        return dialer

    def revoke(self, key: str) -> None:
        """Let `keep_house` cut off who connected with this key, and nobody connect with it any more."""
        self._revoked.add(key)

    def filenos(self) -> list[int]:
        return [self._inbox.descriptor]

    def receive(self, limit: int) -> list[ListenerEvent]:
        return [event for event in self._inbox.take(limit) if not self._is_stale(event)]

    def _is_stale(self, event: ListenerEvent) -> bool:
        """Whether a connection was cut off before its event was read."""
        if isinstance(event, Lost):
            return self._dialers.pop(event.connection, None) is None
        return isinstance(event, Opened | Arrived) and event.connection not in self._dialers

    def pending(self) -> bool:
        return len(self._inbox) > 0

    def send(self, connection: int, frames: Sequence[Frame]) -> bool:
        dialer = self._dialers.get(connection)
        if dialer is None or dialer.is_over:
            return False
        dialer.inbox.put(Arrived(0, list(frames)))
        return True

    def cut_off(self, connection: int) -> None:
        dialer = self._dialers.pop(connection, None)
        if dialer is not None:
            dialer.end("the connection was closed")

    def keep_house(self) -> None:
        for number, dialer in self._dialers.items():
            if dialer.identity.key in self._revoked and not dialer.is_over:
                dialer.end("the connection was closed")
                self._inbox.put(Lost(number, "its key was revoked", refused=True))

    def close(self) -> None:
        self._open = False
        for number in list(self._dialers):
            self.cut_off(number)
        self._inbox.close()

    # ---- for its diallers

    def opened(self, dialer: "MemoryDialer") -> None:
        """Its first message comes."""
        self._dialers[dialer.number] = dialer
        self._inbox.put(Opened(dialer.number, dialer.identity))

    def put(self, event: ListenerEvent) -> None:
        """Something of a connection came."""
        self._inbox.put(event)


class MemoryDialer:
    """A `Dialer` to a `MemoryListener`."""

    def __init__(self, listener: MemoryListener, number: int, identity: Identity) -> None:
        self._listener = listener
        self.number = number
        self.identity = identity
        self.inbox: _Inbox[DialerEvent] = _Inbox()
        self.is_over = False
        self._has_spoken = False

    def filenos(self) -> list[int]:
        return [self.inbox.descriptor]

    def receive(self, limit: int) -> list[DialerEvent]:
        return self.inbox.take(limit)

    def pending(self) -> bool:
        return len(self.inbox) > 0

    def send(self, frames: Sequence[Frame]) -> None:
        if self.is_over:
            return
        if not self._has_spoken:
            self._has_spoken = True
            self._listener.opened(self)
        if any(len(frame) > MAX_FRAME_BYTES for frame in frames):
            self.end("the connection was closed")
            self._listener.put(Lost(self.number, "closed by the other side"))
        else:
            self._listener.put(Arrived(self.number, list(frames)))

    def end(self, reason: str, *, refused: bool = False) -> None:
        """The other side closed the connection."""
        self.is_over = True
        self.inbox.put(Lost(0, reason, refused))

    def close(self) -> None:
        if not self.is_over and self._has_spoken:
            self._listener.put(Lost(self.number, "closed by the other side"))
        self.is_over = True
        self.inbox.close()
