"""A peer that speaks ZMTP 3.0 by hand and without encryption, and so may say what libzmq would never let it say."""

import contextlib
import socket
from collections.abc import Iterator

from scaler.net.addresses import IpcAddress, parse_address

PATIENCE_S = 10.0

_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_MORE, _LONG, _COMMAND = 1, 2, 4


class RawPeer:
    """A connection whose handshake is done, as a socket of this type, `SUB` or `DEALER`."""

    def __init__(self, line: socket.socket, socket_type: str) -> None:
        self.line = line
        line.sendall(_GREETING)
        self._read(len(_GREETING))
        kind = socket_type.encode()
        self._send(_COMMAND, b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind)
        _, size = self._read(2)
        self._read(size)

    def say(self, *frames: bytes) -> None:
        """Send a message."""
        for frame in frames[:-1]:
            self.say_part(frame)
        self._send(0, frames[-1])

    def say_part(self, frame: bytes) -> None:
        """Send a frame of a message that goes on."""
        self._send(_MORE, frame)

    def is_cut_off(self) -> bool:
        """Whether the other side ends the connection before patience does."""
        with contextlib.suppress(ConnectionError):
            while self.line.recv(65536):
                pass
        return True

    def _send(self, flags: int, body: bytes) -> None:
        size = len(body)
        head = bytes((flags | _LONG,)) + size.to_bytes(8, "big") if size > 255 else bytes((flags, size))
        self.line.sendall(head + body)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.line.recv(size - len(data))
            assert more, "the other side hung up"
            data += more
        return data


@contextlib.contextmanager
def raw_peer(address: str, socket_type: str) -> Iterator[RawPeer]:
    """Connect to a tcp or an ipc address; whatever takes longer than patience is a `TimeoutError`."""
    with bare_line(address) as line:
        yield RawPeer(line, socket_type)


@contextlib.contextmanager
def bare_line(address: str) -> Iterator[socket.socket]:
    """The same before any handshake."""
    place = parse_address(address, {})
    family = socket.AF_UNIX if isinstance(place, IpcAddress) else socket.AF_INET
    with socket.socket(family) as line:
        line.settimeout(PATIENCE_S)
        line.connect(str(place.path) if isinstance(place, IpcAddress) else (place.host, place.port))
        yield line
