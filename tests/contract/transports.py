"""What the tests of transports share: ends that remember their events, and networks of each kind to put them in."""

import select
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from scaler.net.addresses import Address, IpcAddress, TcpAddress, parse_address
from scaler.net.keys import authorize, make_key_directory, read_key_file
from scaler.net.memory import MemoryListener
from scaler.net.transport import Arrived, Dialer, Identity, Listener, Lost, Opened, TurnedAway
from scaler.net.zap import Curve
from scaler.net.zmq_dialer import Dialing
from scaler.net.zmq_listener import ZmqListener

PATIENCE_S = 10.0


class Near:
    """A dialler and what it told; refuses to be quiet about an event that came twice."""

    def __init__(self, dialer: Dialer) -> None:
        self.end = dialer
        self.events: list[object] = []

    def drain(self, limit: int = 500) -> None:
        self.events += self.end.receive(limit)

    @property
    def messages(self) -> list[list[bytes]]:
        return [plain(event) for event in self.events if isinstance(event, Arrived)]

    @property
    def lost(self) -> list[Lost]:
        return [event for event in self.events if isinstance(event, Lost)]


class Far:
    """A listener and what it told."""

    def __init__(self, listener: Listener) -> None:
        self.end = listener
        self.events: list[object] = []

    def drain(self, limit: int = 500) -> None:
        self.events += self.end.receive(limit)

    @property
    def opened(self) -> list[Opened]:
        return [event for event in self.events if isinstance(event, Opened)]

    @property
    def lost(self) -> list[int]:
        return [event.connection for event in self.events if isinstance(event, Lost)]

    @property
    def turned_away(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, TurnedAway)]

    def messages(self, connection: int) -> list[list[bytes]]:
        arrived = (event for event in self.events if isinstance(event, Arrived))
        return [plain(event) for event in arrived if event.connection == connection]

    def connection_of(self, first: bytes) -> int:
        """The connection whose first message is this one frame."""
        return next(e.connection for e in self.events if isinstance(e, Arrived) and plain(e) == [first])


def plain(event: Arrived) -> list[bytes]:
    return [bytes(frame) for frame in event.frames]


def until(condition: Callable[[], object], *ends: Near | Far, patience_s: float = PATIENCE_S) -> None:
    """Drain these ends and sleep on their descriptors, for as long as they tell of nothing, until it is so."""
    by = time.monotonic() + patience_s
    while True:
        for end in ends:
            end.drain()
        if condition():
            return
        left_s = by - time.monotonic()
        assert left_s > 0, [end.events[-5:] for end in ends]
        if not any(end.end.pending() for end in ends):
            sleep_on(ends, left_s)


def sleep_on(ends: tuple[Near | Far, ...], seconds: float) -> None:
    poll = select.poll()
    for end in ends:
        for descriptor in end.end.filenos():
            poll.register(descriptor, select.POLLIN)
    poll.poll(seconds * 1000)


def until_pending(end: Near | Far) -> None:
    """Sleep until the end has something to tell, without asking what."""
    by = time.monotonic() + PATIENCE_S
    while not end.end.pending():
        assert time.monotonic() < by
        sleep_on((end,), by - time.monotonic())


def quiet(*ends: Near | Far, seconds: float = 0.2) -> None:
    """Drain for a while, to see that nothing comes."""
    by = time.monotonic() + seconds
    while (left_s := by - time.monotonic()) > 0:
        for end in ends:
            end.drain()
        sleep_on(ends, left_s)


class Network(Protocol):
    """One listener, and ways to reach it."""

    far: Far

    def dial(self) -> Near: ...


class MemoryNetwork:
    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._listener = MemoryListener()
        opened.callback(self._listener.close)
        self.far = Far(self._listener)

    def dial(self) -> Near:
        dialer = self._listener.dial(Identity("client", "client", "key"))
        self._opened.callback(dialer.close)
        return Near(dialer)


class ZmqNetwork:
    """A listener over tcp with keys, tcp without, or ipc; each dialler has its own I/O thread, as processes have."""

    def __init__(self, opened: ExitStack, address: Address, keys: Path | None) -> None:
        self._opened = opened
        self.keys = keys
        self.curve = None
        if keys is not None:
            make_key_directory(keys)
            server = read_key_file(keys / "server.key")
            self.curve = Curve(keys, server.public, server.secret)
        self.listener = ZmqListener(address, self.curve)
        opened.callback(self.listener.close)
        self.address = parse_address(self.listener.address, {})
        self.far = Far(self.listener)

    def dial(self, role: str = "client", *, key_file: Path | None = None) -> Near:
        key = None
        if self.keys is not None:
            key = read_key_file(key_file or self.keys / f"{role}.key")
        return self.dial_with(Dialing(self.address, key))

    def dial_bare(self) -> Near:
        """Without a key, where one is needed."""
        return self.dial_with(Dialing(self.address, None))

    def dial_with(self, dialing: Dialing) -> Near:
        self._opened.callback(dialing.close)
        dialer = dialing.dial()
        self._opened.callback(dialer.close)
        return Near(dialer)

    def revoke(self, name: str) -> None:
        assert self.keys is not None
        (self.keys / "authorized" / f"{name}.pub").unlink()

    def allow_again(self, name: str) -> None:
        assert self.keys is not None
        authorize(self.keys, name, name, read_key_file(self.keys / f"{name}.key").public)


def tcp_with_keys(opened: ExitStack, folder: Path) -> ZmqNetwork:
    return ZmqNetwork(opened, TcpAddress("127.0.0.1", 0), folder / "keys")


def tcp_without_keys(opened: ExitStack, _folder: Path) -> ZmqNetwork:
    return ZmqNetwork(opened, TcpAddress("127.0.0.1", 0), None)


def ipc(opened: ExitStack, folder: Path) -> ZmqNetwork:
    (folder / "run").mkdir(mode=0o700)
    return ZmqNetwork(opened, IpcAddress(folder / "run" / "s"), None)


def in_memory(opened: ExitStack, _folder: Path) -> MemoryNetwork:
    return MemoryNetwork(opened)
