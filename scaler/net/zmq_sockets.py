"""How every ZeroMQ socket of ours is set up and drained; see `DESIGN.md`, "The wire"."""

import contextlib
import fcntl
import itertools
import os
import select
import socket as sockets
from collections.abc import Iterator, Sequence
from pathlib import Path

import zmq

from scaler.errors import AddressError
from scaler.net.addresses import Address, TcpAddress, check_private
from scaler.net.transport import MAX_FRAME_BYTES, Frame

#: frames at least this large are handed to the kernel without a copy
ZERO_COPY_BYTES = 64 << 10
#: received frames up to this size become bytes: cheaper than keeping the message alive
SMALL_BYTES = 4 << 10

#: how long a peer has for the handshake
HANDSHAKE_MS = 3000
#: a living listener answers within this
_PROBE_S = 1.0

# as plain numbers: arithmetic on enumerations costs more than what it is for
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)

_monitor_numbers = itertools.count(1)


def set_common_options(socket: "zmq.Socket[bytes]") -> None:
    """What holds for both ends: nothing is dropped at a mark, nothing lingers, no frame is huge."""
    socket.sndhwm = 0
    socket.rcvhwm = 0
    socket.linger = 0
    socket.maxmsgsize = MAX_FRAME_BYTES
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def send_frames(socket: "zmq.Socket[bytes]", frames: Sequence[Frame]) -> None:
    """Queue a multipart message without blocking; raises `zmq.ZMQError`."""
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        socket.send(frame, _LAST if number == last else _MORE, copy=len(frame) < ZERO_COPY_BYTES)


def receive_frames(socket: "zmq.Socket[bytes]") -> list[zmq.Frame]:
    """The frames of the next message, which must be waiting."""
    frame = socket.recv(_LAST, copy=False)
    frames = [frame]
    while frame.more:
        frame = socket.recv(_LAST, copy=False)
        frames.append(frame)
    return frames


def contents(frames: Sequence[zmq.Frame]) -> list[Frame]:
    """What a message holds: the header as bytes, then small frames as bytes, large ones as views."""
    return [
        frame.bytes if number == 0 or len(frame) <= SMALL_BYTES else frame.buffer for number, frame in enumerate(frames)
    ]


def readable(socket: "zmq.Socket[bytes]") -> bool:
    """Whether a message is waiting."""
    return bool(socket.get(_EVENTS) & _POLLIN)  # type: ignore[operator]  # an integer, for this option


class Bell:
    """Whether anything has rung at sockets that are always read until they are empty: one system call for all of them.

    It is no help for a socket that is also written to, whose descriptor may have been quietened by that.
    """

    def __init__(self, *watched: "zmq.Socket[bytes]") -> None:
        self._poll = select.poll()
        for descriptor in descriptors(*watched):
            self._poll.register(descriptor, select.POLLIN)
        #: making and binding a socket reads from its mailbox too: until it was empty once, nothing need ring
        self._is_new = True

    def has_rung(self) -> bool:
        """Whether they have to be read."""
        return self._is_new or bool(self._poll.poll(0))

    def answer(self) -> bool:
        """The same, asked by who then reads them."""
        has_rung = self.has_rung()
        self._is_new = False
        return has_rung


def descriptors(*watched: "zmq.Socket[bytes]") -> list[int]:
    """What to poll for news of these sockets; edge-triggered, so look at `readable` before sleeping."""
    return [int(socket.getsockopt(zmq.FD)) for socket in watched]


class Monitor:
    """The events of one socket, read without blocking; never too many, since its writer would stop the I/O thread."""

    def __init__(self, socket: "zmq.Socket[bytes]", events: int) -> None:
        self._watched = socket
        endpoint = f"inproc://monitor-{next(_monitor_numbers)}"
        socket.monitor(endpoint, events)
        self.socket = socket.context.socket(zmq.PAIR)
        self.socket.rcvhwm = 0
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def events(self) -> list[tuple[int, int]]:
        """(event, value) of all that has happened since, in order."""
        found: list[tuple[int, int]] = []
        while readable(self.socket):
            head, _endpoint = self.socket.recv_multipart(zmq.NOBLOCK)
            found.append((int.from_bytes(head[:2], "little"), int.from_bytes(head[2:6], "little")))
        return found

    def close(self) -> None:
        """Stop watching; the watched socket must not be closed yet."""
        self._watched.disable_monitor()
        self.socket.close(0)


def bind(socket: "zmq.Socket[bytes]", address: Address) -> str:
    """Listen there; the address with a port of 0 filled in. What is taken or cannot be had is an `AddressError`."""
    if isinstance(address, TcpAddress):
        socket.ipv6 = ":" in address.host
        _bind(socket, address, _endpoint(address))
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)
    with _sole_starter(address.path.parent):
        _remove_stale(address.path)
        _bind(socket, address, str(address))
        address.path.chmod(0o600)
    return str(address)


def _bind(socket: "zmq.Socket[bytes]", address: Address, endpoint: str) -> None:
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from None


def _endpoint(address: TcpAddress) -> str:
    return str(address) if address.port else str(address).rpartition(":")[0] + ":*"


@contextlib.contextmanager
def _sole_starter(directory: Path) -> Iterator[None]:
    """Let nobody else take a socket's place in this private folder while we look whether it is free and take it."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise AddressError(f"cannot listen in {directory}: {error.strerror}") from None
    check_private(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a process that is gone; a living one is an `AddressError`."""
    if not path.exists():
        return
    if not path.is_socket():
        raise AddressError(f"cannot listen on ipc://{path}: there is a file that is no socket")
    with sockets.socket(sockets.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise AddressError(f"cannot listen on ipc://{path}: {error.strerror or error}") from None
        else:
            raise AddressError(f"cannot listen on ipc://{path}: another process does")
