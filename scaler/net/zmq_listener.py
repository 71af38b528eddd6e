"""The scheduler's socket: a ROUTER whose connections are told apart, proven by ZAP, and cut one by one.

libzmq names a connection twice: by a routing id on its messages, and by a descriptor in the monitor. A connection is
known from its first message on, which brings both. The kernel uses descriptors again, so `_Carrier` follows each from
its acceptance to its end; where a message could be of the one before, both are cut: peers dial again.
"""

import contextlib
import os
import socket as sockets
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zmq

from scaler.net.addresses import Address
from scaler.net.keys import ROLES
from scaler.net.transport import Arrived, Frame, Identity, ListenerEvent, Lost, Opened, TurnedAway
from scaler.net.zap import DOMAIN, Curve, ZapDoor
from scaler.net.zmq_sockets import (
    Bell,
    Monitor,
    bind,
    contents,
    descriptors,
    readable,
    receive_frames,
    send_frames,
    set_common_options,
)

ANYONE = Identity("anyone", "", "")
_BACKLOG = 1024
#: routing ids of connections that are over, kept for messages of theirs that are still on the way to us
_PAST = 4096
_CLOSED = "closed by the other side"
_REVOKED = "its key was revoked"
_SILENT = "it ended without a word, or speaks another protocol"

#: keys that are not authorised are told by ZAP, with the key
_FAILED: tuple[int, ...] = (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_FAILURES: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "it uses another security mechanism, or none",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "it uses another server key",
}


@dataclass(slots=True)
class _Connection:
    """One accepted connection; `carrier` is None once its descriptor is closed."""

    number: int
    routing: bytes
    identity: Identity
    carrier: "_Carrier | None"


@dataclass(slots=True)
class _Carrier:
    """One life of a descriptor, from the monitor's ACCEPTED to its DISCONNECTED."""

    descriptor: int
    address: str
    connection: _Connection | None = None
    #: it ended before a message was read that may be its own
    has_spoken: bool = False


class _Spare:
    """A descriptor in reserve, to stand for another one for a moment even when no more can be opened."""

    def __init__(self) -> None:
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._spare = os.dup(self._nothing)

    @contextlib.contextmanager
    def standing_for(self, descriptor: int) -> Iterator[sockets.socket]:
        """A duplicate of a socket's descriptor; `OSError` if that one is closed."""
        os.dup2(descriptor, self._spare, inheritable=False)
        duplicate = None
        try:
            duplicate = sockets.socket(fileno=self._spare)
            yield duplicate
        finally:
            if duplicate is not None:
                duplicate.detach()
            os.dup2(self._nothing, self._spare, inheritable=False)

    def close(self) -> None:
        os.close(self._nothing)
        os.close(self._spare)


class ZmqListener:
    """A `Listener` over tcp with CURVE, or without (`curve` None) where the address itself keeps others out.

    It has one I/O thread: several would mix up the order of the monitor's events.
    """

    def __init__(self, address: Address, curve: Curve | None) -> None:
        self._curve = curve
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
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
        self._monitor = Monitor(self._socket, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | sum(_FAILED))
        self._bell = Bell(self._monitor.socket, *([self._door.socket] if self._door else []))
        self._spare = _Spare()
        self._next_number = 1
        self._connections: dict[int, _Connection] = {}
        self._by_routing: dict[bytes, _Connection] = {}
        self._past: OrderedDict[bytes, None] = OrderedDict()
        #: all and only the descriptors that are open, as far as the monitor was read
        self._carriers: dict[int, _Carrier] = {}
        #: what ended before a message of it was read, since the socket was last empty
        self._unheard: list[_Carrier] = []
        #: of each host, how many had a key that was not accepted and have not ended
        self._strangers: Counter[str] = Counter()
        #: connections that have ended, and why; told as `Lost` once what they sent has been read
        self._ending: dict[int, str] = {}
        #: why the handshake failed whose DISCONNECTED comes next
        self._failure = ""
        self._events: list[ListenerEvent] = []
        try:
            self.address = bind(self._socket, address)
        except BaseException:
            self.close()
            raise

    def filenos(self) -> list[int]:
        return descriptors(self._socket, self._monitor.socket, *([self._door.socket] if self._door else []))

    def pending(self) -> bool:
        return bool(self._events or self._ending) or readable(self._socket) or self._bell.has_rung()

    def receive(self, limit: int) -> list[ListenerEvent]:
        if self._bell.answer():
            self._read_monitor()
            if self._door is not None and self._curve is not None:
                self._turn_away(self._door.answer(self._curve.authorized))
        socket = self._socket
        while len(self._events) < limit:
            if not readable(socket):
                self._settle()
                break
            self._take(receive_frames(socket))
        events, self._events = self._events, []
        return events

    def _take(self, frames: list[zmq.Frame]) -> None:
        routing = frames[0].bytes
        connection = self._by_routing.get(routing)
        if connection is None:
            if routing in self._past:
                return
            connection = self._accept(routing, frames[-1])
            if connection is None:
                return
        if len(frames) > 1:
            self._events.append(Arrived(connection.number, contents(frames[1:])))

    # ---- connections

    def _turn_away(self, strangers: list[TurnedAway]) -> None:
        self._events += strangers
        self._strangers.update(stranger.address for stranger in strangers)
        if len(self._strangers) > _PAST:
            self._strangers.clear()

    def _was_told_of(self, carrier: _Carrier) -> bool:
        """Whether what ended without a word is one of those whose key was not accepted."""
        host = carrier.address.rpartition(":")[0]
        if not self._strangers[host]:
            return False
        self._strangers[host] -= 1
        if not self._strangers[host]:
            del self._strangers[host]
        return True

    def _accept(self, routing: bytes, frame: zmq.Frame) -> _Connection | None:
        self._read_monitor()
        carrier = self._carrier(int(frame.get(zmq.SRCFD)))
        identity = self._identity(frame)
        connection = _Connection(self._next_number, routing, identity or ANYONE, carrier)
        self._next_number += 1
        if carrier is not None:
            carrier.connection = connection
        if identity is None:
            self._events.append(TurnedAway(carrier.address if carrier else "", _REVOKED))
            self._shut(connection.carrier)
            self._remember_past(routing)
            return None
        self._connections[connection.number] = self._by_routing[routing] = connection
        self._events.append(Opened(connection.number, identity, carrier.address if carrier else ""))
        if carrier is None:
            self._ending[connection.number] = _CLOSED
        return connection

    def _carrier(self, descriptor: int) -> _Carrier | None:
        """What brought a first message, or None if it has ended, or may have."""
        before = [ended for ended in self._unheard if ended.descriptor == descriptor]
        for ended in before:
            ended.has_spoken = True
        carrier = self._carriers.get(descriptor)
        if carrier is None or carrier.connection is not None:
            return None
        if before:
            self._shut(carrier)
            return None
        return carrier

    def _identity(self, frame: zmq.Frame) -> Identity | None:
        if self._curve is None:
            return ANYONE
        key = str(frame.get("User-Id"))
        known = self._curve.authorized.get(key.encode())
        return None if known is None else Identity(known.role, known.name, key)

    def _read_monitor(self) -> None:
        for event, value in self._monitor.events():
            if event == zmq.EVENT_ACCEPTED:
                self._disconnected(value)
                self._carriers[value] = _Carrier(value, _peer_address(value))
            elif event == zmq.EVENT_DISCONNECTED:
                self._disconnected(value)
            else:
                self._failure = self._failure or _FAILURES.get(
                    value, "it broke off the handshake, or speaks another protocol"
                )

    def _disconnected(self, descriptor: int) -> None:
        carrier = self._carriers.pop(descriptor, None)
        failure, self._failure = self._failure, ""
        if carrier is None:
            return
        if failure:
            self._events.append(TurnedAway(carrier.address, failure))
        elif carrier.connection is None:
            self._unheard.append(carrier)
        else:
            carrier.connection.carrier = None
            self._end(carrier.connection)

    def _end(self, connection: _Connection) -> None:
        if connection.number in self._connections:
            self._ending.setdefault(connection.number, _CLOSED)

    def _settle(self) -> None:
        """Tell of what has ended, now that all it sent has been read."""
        for carrier in self._unheard:
            if not carrier.has_spoken and not self._was_told_of(carrier):
                self._events.append(TurnedAway(carrier.address, _SILENT))
        self._unheard.clear()
        for number, reason in self._ending.items():
            self._forget(self._connections[number])
            self._events.append(Lost(number, reason))
        self._ending.clear()

    def _forget(self, connection: _Connection) -> None:
        del self._connections[connection.number]
        del self._by_routing[connection.routing]
        self._remember_past(connection.routing)

    def _remember_past(self, routing: bytes) -> None:
        self._past[routing] = None
        if len(self._past) > _PAST:
            self._past.popitem(last=False)

    # ---- what the shell asks for

    def send(self, connection: int, frames: Sequence[Frame]) -> bool:
        known = self._connections.get(connection)
        if known is None or connection in self._ending:
            return False
        try:
            send_frames(self._socket, [known.routing, *frames])
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._end(known)
            return False
        return True

    def cut_off(self, connection: int) -> None:
        known = self._connections.get(connection)
        if known is None:
            return
        self._shut(known.carrier)
        self._ending.pop(connection, None)
        self._forget(known)

    def _shut(self, carrier: _Carrier | None) -> None:
        """End a connection that libzmq owns; it closes the descriptor itself when it sees the end.

        libzmq tells of the end before it closes. So what a duplicate stands for is still ours if no end was told after
        the duplicate was made. One descriptor is kept in reserve for it, since it is when there are too many peers that
        some have to go.
        """
        if carrier is None:
            return
        with contextlib.suppress(OSError), self._spare.standing_for(carrier.descriptor) as duplicate:
            self._read_monitor()
            if self._carriers.get(carrier.descriptor) is carrier:
                duplicate.shutdown(sockets.SHUT_RDWR)

    def refresh_keys(self) -> None:
        if self._curve is None or not self._curve.refresh():
            return
        for number, connection in list(self._connections.items()):
            known = self._curve.authorized.get(connection.identity.key.encode())
            if known is None or known.role != connection.identity.role:
                self.cut_off(number)
                self._events.append(Lost(number, _REVOKED, refused=True))

    def close(self) -> None:
        if not self._socket.closed:
            self._monitor.close()
            self._context.destroy(0)
            self._spare.close()


def _peer_address(descriptor: int) -> str:
    """Where a connection comes from, for people to read; it may have ended already."""
    with contextlib.suppress(OSError), sockets.socket(fileno=os.dup(descriptor)) as duplicate:
        peer = duplicate.getpeername()
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "a process of this machine"
    return "unknown"
