"""The clients' ends of an in-process cluster: what their I/O threads take for a connection, or a line of a task."""

from collections.abc import Callable, Iterable, Sequence

from scaler.client.face import FaceLink, Heard
from scaler.ids import Epoch
from scaler.link import events as link
from scaler.net.transport import Arrived, Dialer, DialerEvent, Frame, Lost
from scaler.protocol import FromClient
from scaler.protocol.codec import Decoder
from scaler.testing.box import Box

#: what a client says, with the frames behind it
Hears = Callable[[FromClient, tuple[Frame, ...]], None]
ENDED = "the in-process cluster has been shut down"


class NearLink:
    """A link on which nothing is lost: as that of a client inside a task, but that the cluster has deadlines."""

    def __init__(self, epoch: Epoch, number: int, next_deadline: Callable[[], float | None]) -> None:
        self._link = FaceLink(Heard(epoch, number))
        self.next_deadline = next_deadline
        self.room_bytes = self._link.room_bytes
        self.backlog_bytes = 0

    def handle(self, events: Iterable[link.DialledEvent], now: float) -> list[link.DialledOutput]:
        """What happened since, in order; what to do about it, in order."""
        return self._link.handle(events, now)


class NearDialer:
    """A `Dialer` to a scheduler of this process, which looks at its deadlines when it is asked what has come."""

    def __init__(self, box: Box, hears: Hears, look: Callable[[], None], leave: Callable[[], None]) -> None:
        self._box = box
        self._decoder = Decoder("client")
        self._hears = hears
        self._look = look
        self._leave = leave
        self._has_told = False

    def filenos(self) -> list[int]:
        return [self._box.fileno()]

    def receive(self, limit: int) -> list[DialerEvent]:
        self._look()
        events: list[DialerEvent] = []
        while len(events) < limit:
            message = self._box.take()
            if message is None:
                break
            events.append(Arrived(0, list(message)))
        if self._box.has_ended and not self._has_told and len(events) < limit:
            self._has_told = True
            events.append(Lost(0, ENDED))
        return events

    def pending(self) -> bool:
        return len(self._box) > self._has_told

    def send(self, frames: Sequence[Frame]) -> None:
        for header in self._decoder.decode(frames):
            self._hears(header.message, header.frames)

    def close(self) -> None:
        self._leave()
        self._box.close()


class NearDialing:
    """Opens the connection of one client."""

    def __init__(self, dial: Callable[[], Dialer]) -> None:
        self._dial = dial

    def dial(self) -> Dialer:
        """A new connection."""
        return self._dial()

    def close(self) -> None:
        """Nothing is shared."""


class NearLine:
    """The line of a client inside a task that runs in this process."""

    def __init__(self, box: Box, hears: Hears) -> None:
        self._box = box
        self._decoder = Decoder("child")
        self._hears = hears

    def fileno(self) -> int:
        """The descriptor to watch for reading."""
        return self._box.fileno()

    def receive(self) -> list[Frame] | None:
        """The next message; None at the end. Raises `BlockingIOError` if there is none now."""
        message = self._box.take()
        if message is not None:
            return list(message)
        if self._box.has_ended:
            return None
        raise BlockingIOError

    def send(self, frames: Sequence[Frame]) -> None:
        """What the client says; nothing if its task is over."""
        for header in self._decoder.decode(frames):
            self._hears(header.message, header.frames)

    def close(self) -> None:
        """Give it back."""
        self._box.close()
