"""How every ZeroMQ socket of ours is set up and drained; see `DESIGN.md`, "The wire"."""

import socket as sockets
from collections.abc import Sequence
from pathlib import Path

import zmq

from scaler.errors import AddressError
from scaler.net.addresses import Address, IpcAddress, TcpAddress

Frame = bytes | memoryview

MAX_FRAME_BYTES = 2 << 20
#: frames at least this large are handed to the kernel without a copy
ZERO_COPY_BYTES = 64 << 10
#: received frames up to this size become bytes: cheaper than keeping the message alive
SMALL_BYTES = 4 << 10

HANDSHAKE_FAILED: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the key is not authorised",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "the other side speaks another protocol, or uses another server key",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the handshake was broken off",
}


def set_common_options(socket: "zmq.Socket[bytes]") -> None:
    """What holds for both ends: nothing is dropped at a mark, nothing lingers, no frame is huge."""
    socket.sndhwm = 0
    socket.rcvhwm = 0
    socket.linger = 0
    socket.maxmsgsize = MAX_FRAME_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)


def send_frames(socket: "zmq.Socket[bytes]", frames: Sequence[Frame]) -> None:
    """Queue a multipart message without blocking; raises `zmq.ZMQError`."""
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        flags = zmq.NOBLOCK if number == last else zmq.NOBLOCK | zmq.SNDMORE
        socket.send(frame, flags, copy=len(frame) < ZERO_COPY_BYTES)


def frame_content(frame: zmq.Frame) -> Frame:
    """The content of a received frame: bytes if small, else a view that keeps it alive."""
    return frame.bytes if len(frame) <= SMALL_BYTES else memoryview(frame.buffer)


def readable(socket: "zmq.Socket[bytes]") -> bool:
    """Whether a message is waiting."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def descriptors(*watched: "zmq.Socket[bytes]") -> list[int]:
    """What to poll for news of these sockets; edge-triggered, so look at `readable` before sleeping."""
    return [int(socket.getsockopt(zmq.FD)) for socket in watched]


class Monitor:
    """The events of one socket, read without blocking."""

    def __init__(self, socket: "zmq.Socket[bytes]", events: int) -> None:
        self._watched = socket
        self.socket = socket.get_monitor_socket(events)
        self.socket.linger = 0

    def events(self) -> list[tuple[int, int, str]]:
        """(event, value, end point) of all that has happened."""
        found: list[tuple[int, int, str]] = []
        while readable(self.socket):
            head, endpoint = self.socket.recv_multipart(zmq.NOBLOCK)
            event = int.from_bytes(head[:2], "little")
            value = int.from_bytes(head[2:6], "little")
            found.append((event, value, endpoint.decode(errors="replace")))
        return found

    def close(self) -> None:
        """Stop watching."""
        self._watched.disable_monitor()


def bind(socket: "zmq.Socket[bytes]", address: Address) -> str:
    """Listen there; the address with a port of 0 filled in. What is taken or cannot be had is an `AddressError`."""
    if isinstance(address, IpcAddress):
        address.path.parent.mkdir(mode=0o700, exist_ok=True)
        _remove_stale(address.path)
    elif ":" in address.host:
        socket.ipv6 = True
    try:
        socket.bind(_endpoint(address))
    except zmq.ZMQError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from None
    if isinstance(address, TcpAddress):
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)
    address.path.chmod(0o600)
    return str(address)


def _endpoint(address: Address) -> str:
    if isinstance(address, TcpAddress) and address.port == 0:
        return str(address).rpartition(":")[0] + ":*"
    return str(address)


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a process that is gone; a living one is an `AddressError`."""
    if not path.is_socket():
        return
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise AddressError(f"cannot listen on ipc://{path}: another process does")
