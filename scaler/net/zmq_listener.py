"""The scheduler's socket: a ROUTER whose connections are told apart, proven by ZAP, and cut one by one.

A connection is known from its first message on, by libzmq's routing id and the descriptor that brought it. The
monitor is read before a new routing id is taken in, so that a descriptor used again is never mistaken for the old one.
"""

import contextlib
import os
import socket as sockets
from collections.abc import Mapping, Sequence
from pathlib import Path

import zmq
from zmq.utils import z85

from scaler.errors import AddressError
from scaler.net.addresses import Address, IpcAddress, TcpAddress
from scaler.net.keys import Authorized, read_authorized
from scaler.net.transport import (
    Arrived,
    Frame,
    Identity,
    ListenerEvent,
    Lost,
    Opened,
    TurnedAway,
)
from scaler.net.zmq_sockets import (
    HANDSHAKE_FAILED,
    Monitor,
    frame_content,
    send_frames,
    set_common_options,
)

ANYONE = Identity("anyone", "", "")
_BACKLOG = 1024


class Curve:
    """The server's secret and who may connect: read from a key directory, and again on `refresh`."""

    def __init__(self, directory: Path, public: bytes, secret: bytes) -> None:
        self._directory = directory
        self.public = public
        self.secret = secret
        self.authorized: Mapping[bytes, Authorized] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at the directory again."""
        self.authorized = read_authorized(self._directory)


class ZmqListener:
    """A `Listener` over tcp with CURVE, or without (`curve` None) where the address itself keeps others out."""

    def __init__(
        self, address: Address, curve: Curve | None, io_threads: int = 1
    ) -> None:
        self._curve = curve
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._context.max_sockets = 64
        self._zap: zmq.Socket[bytes] | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        set_common_options(self._socket)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.backlog = _BACKLOG
        if curve is not None:
            self._zap = self._context.socket(zmq.REP)
            self._zap.linger = 0
            self._zap.bind("inproc://zeromq.zap.01")
            self._socket.curve_server = True
            self._socket.curve_secretkey = curve.secret
            self._socket.setsockopt(zmq.ZAP_DOMAIN, b"scaler")
        self._monitor = Monitor(
            self._socket, zmq.EVENT_DISCONNECTED | sum(HANDSHAKE_FAILED)
        )
        self._next_connection = 1
        self._by_routing: dict[bytes, int] = {}
        self._routing: dict[int, bytes] = {}
        self._identities: dict[int, Identity] = {}
        self._descriptors: dict[int, int] = {}
        #: descriptor to the connection that it carries now
        self._by_descriptor: dict[int, int] = {}
        self._events: list[ListenerEvent] = []
        self._ipc_path: Path | None = None
        try:
            self._bind(address)
        except BaseException:
            self.close()
            raise

    def _bind(self, address: Address) -> None:
        if isinstance(address, IpcAddress):
            address.path.parent.mkdir(mode=0o700, exist_ok=True)
            _remove_stale(address.path)
        elif ":" in address.host:
            self._socket.ipv6 = True
        try:
            self._socket.bind(_endpoint(address))
        except zmq.ZMQError as error:
            raise AddressError(
                f"cannot listen on {address}: {error.strerror}"
            ) from None
        bound = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.address = bound if isinstance(address, TcpAddress) else str(address)
        if isinstance(address, IpcAddress):
            self._ipc_path = address.path
            address.path.chmod(0o600)

    def filenos(self) -> list[int]:
        watched = [
            self._socket,
            self._monitor.socket,
            *([self._zap] if self._zap else []),
        ]
        return [int(socket.getsockopt(zmq.FD)) for socket in watched]  # type: ignore[call-overload]  # an int

    def pending(self) -> bool:
        if self._events or _readable(self._socket) or _readable(self._monitor.socket):
            return True
        return self._zap is not None and _readable(self._zap)

    def receive(self, limit: int) -> list[ListenerEvent]:
        self._answer_zap()
        self._read_monitor()
        socket = self._socket
        count = 0
        while count < limit and _readable(socket):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._take(frames)
            count += 1
        events, self._events = self._events, []
        return events

    def _take(self, frames: list[zmq.Frame]) -> None:
        routing = frames[0].bytes
        connection = self._by_routing.get(routing)
        if connection is None:
            connection = self._accept(routing, frames[-1])
            if connection is None:
                return
        if len(frames) > 1:
            content: list[Frame] = [frames[1].bytes]
            content.extend(frame_content(frame) for frame in frames[2:])
            self._events.append(Arrived(connection, content))

    def _accept(self, routing: bytes, frame: zmq.Frame) -> int | None:
        self._read_monitor()
        identity = self._identity(frame)
        descriptor = int(frame.get(zmq.SRCFD))
        if identity is None:
            self._events.append(TurnedAway(_peer_address(frame), "its key was revoked"))
            _shut(descriptor)
            return None
        connection = self._next_connection
        self._next_connection += 1
        self._by_routing[routing] = connection
        self._routing[connection] = routing
        self._identities[connection] = identity
        self._descriptors[connection] = descriptor
        self._by_descriptor[descriptor] = connection
        self._events.append(Opened(connection, identity))
        return connection

    def _identity(self, frame: zmq.Frame) -> Identity | None:
        if self._curve is None:
            return ANYONE
        key = frame.get("User-Id").encode()
        known = self._curve.authorized.get(key)
        return None if known is None else Identity(known.role, known.name, key.decode())

    def _read_monitor(self) -> None:
        for event, value, endpoint in self._monitor.events():
            if event == zmq.EVENT_DISCONNECTED:
                connection = self._by_descriptor.get(value)
                if connection is not None:
                    self._forget(connection)
                    self._events.append(Lost(connection, "closed by the other side"))
            elif event in HANDSHAKE_FAILED:
                self._events.append(TurnedAway(endpoint, HANDSHAKE_FAILED[event]))

    def _forget(self, connection: int) -> None:
        self._by_routing.pop(self._routing.pop(connection, b""), None)
        self._identities.pop(connection, None)
        descriptor = self._descriptors.pop(connection, -1)
        if self._by_descriptor.get(descriptor) == connection:
            del self._by_descriptor[descriptor]

    def _answer_zap(self) -> None:
        while self._zap is not None and _readable(self._zap):
            request = self._zap.recv_multipart(zmq.NOBLOCK)
            self._zap.send_multipart(self._zap_reply(request))

    def _zap_reply(self, request: list[bytes]) -> list[bytes]:
        version, sequence, _domain, address, _identity, mechanism, *credentials = (
            request
        )
        key = (
            z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        )
        if self._curve is not None and key in self._curve.authorized:
            return [version, sequence, b"200", b"OK", key, b""]
        self._events.append(
            TurnedAway(address.decode(errors="replace"), "its key is not authorised")
        )
        return [version, sequence, b"400", b"not authorised", b"", b""]

    def send(self, connection: int, frames: Sequence[Frame]) -> bool:
        routing = self._routing.get(connection)
        if routing is None:
            return False
        try:
            send_frames(self._socket, [routing, *frames])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._forget(connection)
            self._events.append(Lost(connection, "closed by the other side"))
            return False
        return True

    def cut_off(self, connection: int) -> None:
        self._read_monitor()
        descriptor = self._descriptors.get(connection, -1)
        if self._by_descriptor.get(descriptor) == connection:
            _shut(descriptor)
        self._forget(connection)

    def refresh_keys(self) -> None:
        if self._curve is None:
            return
        self._curve.refresh()
        for connection, identity in list(self._identities.items()):
            if identity.key.encode() not in self._curve.authorized:
                self.cut_off(connection)
                self._events.append(Lost(connection, "its key was revoked"))

    def close(self) -> None:
        self._socket.close(0)
        if self._zap is not None:
            self._zap.close(0)
        self._context.destroy(0)
        if self._ipc_path is not None:
            self._ipc_path.unlink(missing_ok=True)


def _endpoint(address: Address) -> str:
    if isinstance(address, TcpAddress) and address.port == 0:
        return str(address).rpartition(":")[0] + ":*"
    return str(address)


def _readable(socket: "zmq.Socket[bytes]") -> bool:
    return bool(socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)  # type: ignore[operator]  # an int for this option


def _shut(descriptor: int) -> None:
    """End a TCP or local connection that libzmq owns; it closes the descriptor itself when it sees the end."""
    with contextlib.suppress(OSError):
        connection = sockets.socket(fileno=os.dup(descriptor))
        with connection:
            connection.shutdown(sockets.SHUT_RDWR)


def _peer_address(frame: zmq.Frame) -> str:
    return str(frame.get("Peer-Address"))


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a scheduler that is gone; a living one is an `AddressError`."""
    if not path.is_socket():
        return
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise AddressError(f"cannot listen on ipc://{path}: another process does")
