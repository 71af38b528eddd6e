"""A scheduler of a few lines at the other end of a client's I/O thread: no network, and answers as a test has them."""

from collections import deque
from collections.abc import Callable, Iterable

from scaler.client.io_thread import IoThread
from scaler.ids import Epoch
from scaler.link import events as link
from scaler.net.transport import DialerEvent, Frame
from scaler.protocol import FromClient, KnownTags, ToClient

Answer = ToClient | tuple[ToClient, tuple[Frame, ...]]
Script = Callable[[FromClient], Iterable[Answer]]


class _Dialer:
    def filenos(self) -> list[int]:
        return []

    def receive(self, limit: int) -> list[DialerEvent]:
        del limit
        return []

    def pending(self) -> bool:
        return False

    def send(self, frames: object) -> None: ...

    def close(self) -> None: ...


class Scripted:
    """Both halves of a `Way`: a link that stands at once, to a scheduler that answers by a script."""

    room_bytes = 1 << 20
    backlog_bytes = 0

    def __init__(self, script: Script) -> None:
        self._script = script
        self._answers: deque[Answer] = deque()
        self._is_up = False
        #: all that the client has said, in order
        self.said: list[FromClient] = []

    def dial(self) -> _Dialer:
        return _Dialer()

    def close(self) -> None: ...

    def tell(self, io: IoThread, *answers: Answer) -> None:
        """Say something unasked."""
        self._answers.extend(answers)
        io._waker.wake()

    def handle(self, events: Iterable[link.DialledEvent], now: float) -> list[link.DialledOutput]:
        del now
        if not self._is_up:
            self._is_up = True
            return [link.Dial(), link.LinkUp(Epoch(1), resumed=False), link.Deliver(KnownTags(None), ())]
        for event in events:
            assert isinstance(event, link.Outgoing)
            self.said.append(event.message)
            self._answers.extend(self._script(event.message))
        return [] if events else list(self._delivered())

    def _delivered(self) -> Iterable[link.DialledOutput]:
        while self._answers:
            answer = self._answers.popleft()
            yield link.Deliver(*(answer if isinstance(answer, tuple) else (answer, ())))

    def next_deadline(self) -> float | None:
        return None if self._is_up and not self._answers else 0.0
