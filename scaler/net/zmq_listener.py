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

from scaler.net.addresses import Address, IpcAddress
from scaler.net.keys import ROLES, Authorized, read_authorized
from scaler.net.transport import (
    Arrived,
    Frame,
    Identity,
    ListenerEvent,
    Lost,
    Opened,
    TurnedAway,
)
from scaler.net.zap import DOMAIN, ZapDoor
from scaler.net.zmq_sockets import (
    HANDSHAKE_FAILED,
    Monitor,
    bind,
    descriptors,
    frame_content,
    readable,
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

    def __init__(self, address: Address, curve: Curve | None, io_threads: int = 1) -> None:
        self._curve = curve
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._context.max_sockets = 64
        self._door: ZapDoor | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        set_common_options(self._socket)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.backlog = _BACKLOG
        if curve is not None:
            self._door = ZapDoor(self._context, ROLES)
            self._socket.curve_server = True
            self._socket.curve_secretkey = curve.secret
            self._socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        self._monitor = Monitor(self._socket, zmq.EVENT_DISCONNECTED | sum(HANDSHAKE_FAILED))
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
            self.address = bind(self._socket, address)
        except BaseException:
            self.close()
            raise
        if isinstance(address, IpcAddress):
            self._ipc_path = address.path

    def filenos(self) -> list[int]:
        return descriptors(self._socket, self._monitor.socket, *([self._door.socket] if self._door else []))

    def pending(self) -> bool:
        if self._events or readable(self._socket) or readable(self._monitor.socket):
            return True
        return self._door is not None and readable(self._door.socket)

    def receive(self, limit: int) -> list[ListenerEvent]:
        if self._door is not None and self._curve is not None:
            self._events += self._door.answer(self._curve.authorized)
        self._read_monitor()
        socket = self._socket
        count = 0
        while count < limit and readable(socket):
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
        key = str(frame.get("User-Id")).encode()
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
        self._context.destroy(0)
        if self._ipc_path is not None:
            self._ipc_path.unlink(missing_ok=True)


def _shut(descriptor: int) -> None:
    """End a TCP or local connection that libzmq owns; it closes the descriptor itself when it sees the end."""
    with contextlib.suppress(OSError):
        connection = sockets.socket(fileno=os.dup(descriptor))
        with connection:
            connection.shutdown(sockets.SHUT_RDWR)


def _peer_address(frame: zmq.Frame) -> str:
    return str(frame.get("Peer-Address"))
