"""The scheduler's socket: a ROUTER whose connections are told apart, proven by ZAP, and cut one by one.

libzmq names a connection twice: by a routing id on its messages, and by a descriptor in the monitor. A connection is
known from its first message on, which brings both. The kernel uses descriptors again, so `Carriers` follow each from
its acceptance to its end; where a message could be of the one before, both are cut: peers dial again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import zmq

from scaler.net.addresses import Address
from scaler.net.carriers import PATIENCE, UNKNOWN, Carrier, Carriers, bytes_received
from scaler.net.descriptors import NONE_LEFT, require_descriptors
from scaler.net.keys import ROLES
from scaler.net.transport import MAX_FRAME_BYTES, Arrived, Frame, Identity, ListenerEvent, Lost, Opened, TurnedAway
from scaler.net.zap import Keys
from scaler.net.zmq_sockets import (
    bind,
    contents,
    descriptors,
    readable,
    receive_frames,
    send_frames,
    set_common_options,
)
from scaler.protocol import columns
from scaler.protocol.codec import MAX_FRAMES

ANYONE = Identity("anyone", "", "")
_BACKLOG = 1024
#: routing ids of connections that are over, kept for messages of theirs that are still on the way to us
_PAST = 4096
_CLOSED = "closed by the other side"
_REVOKED = "its key was revoked"
_SPEECHLESS = f"it said nothing for {PATIENCE} s"
_ENDLESS = "it sends a message that does not end"
#: how often the house is kept until it is asked of a silent connection what it sends; those who live say something
_QUIET = 3
#: a first message is a greeting, nothing is larger until it is answered
_LARGEST_FIRST_BYTES = MAX_FRAME_BYTES
#: all frames of the largest message, and more than what encryption adds to them
_LARGEST_BYTES = (MAX_FRAMES + 2) * columns.MAX_FRAME_BYTES


@dataclass(slots=True)
class _Connection:
    """One accepted connection; `carrier` is None once its descriptor is closed."""

    number: int
    routing: bytes
    identity: Identity
    carrier: Carrier | None
    #: how often the house had been kept when a message was read last
    heard: int
    #: what it had sent when it was found to be silent; -1 while it is not
    sent_bytes: int = -1


class ZmqListener:
    """A `Listener` over tcp with CURVE, or without (`curve` None) where the address itself keeps others out.

    Somebody else refreshes `curve`. A connection may bring no more than `largest_bytes` of a message without its end,
    and is cut off when more than `most_queued` messages wait for it; 0 is for those who keep count themselves.
    """

    def __init__(
        self, address: Address, curve: Keys | None, *, largest_bytes: int = _LARGEST_BYTES, most_queued: int = 0
    ) -> None:
        self._curve = curve
        self._authorized = curve.authorized if curve is not None else {}
        self._largest_bytes = largest_bytes
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._socket = self._context.socket(zmq.ROUTER)
        set_common_options(self._socket)
        self._socket.sndhwm = most_queued
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.backlog = _BACKLOG
        self._carriers = Carriers(self._socket, curve, ROLES)
        self._next_number = 1
        self._connections: dict[int, _Connection] = {}
        self._by_routing: dict[bytes, _Connection] = {}
        self._past: OrderedDict[bytes, None] = OrderedDict()
        #: what ended before a message of it was read, since the socket was last empty
        self._unheard: list[Carrier] = []
        #: connections that have ended, and why; told as `Lost` once what they sent has been read
        self._ending: dict[int, str] = {}
        self._events: list[ListenerEvent] = []
        self._looks = 0
        #: nobody can be let in for want of descriptors, which has been told
        self._is_short = False
        try:
            self.address = bind(self._socket, address)
        except BaseException:
            self.close()
            raise

    def filenos(self) -> list[int]:
        return [*descriptors(self._socket), *self._carriers.filenos()]

    def pending(self) -> bool:
        is_left = bool(self._events or self._ending or self._unheard)
        return is_left or readable(self._socket) or self._carriers.has_news()

    def receive(self, limit: int) -> list[ListenerEvent]:
        self._follow()
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
        connection.heard = self._looks
        if len(frames) > 1:
            self._events.append(Arrived(connection.number, contents(frames[1:])))

    # ---- connections

    def _accept(self, routing: bytes, frame: zmq.Frame) -> _Connection | None:
        self._follow()
        carrier = self._carrier(int(frame.get(zmq.SRCFD)))
        identity = self._identity(frame)
        connection = _Connection(self._next_number, routing, identity or ANYONE, carrier, self._looks)
        self._next_number += 1
        if carrier is not None:
            carrier.connection = connection.number
            self._carriers.let_in(carrier)
        address = carrier.address if carrier else UNKNOWN
        if identity is None:
            self._events.append(TurnedAway(address, _REVOKED))
            self._carriers.shut(carrier)
            self._remember_past(routing)
            return None
        self._connections[connection.number] = self._by_routing[routing] = connection
        self._events.append(Opened(connection.number, identity, address))
        if carrier is None:
            self._ending[connection.number] = _CLOSED
        return connection

    def _carrier(self, descriptor: int) -> Carrier | None:
        """What brought a first message, or None if it has ended, or may have."""
        before = [ended for ended in self._unheard if ended.descriptor == descriptor]
        for ended in before:
            ended.is_let_in = True
        carrier = self._carriers.at(descriptor)
        if carrier is None or carrier.is_let_in:
            return None
        if before:
            self._carriers.let_in(carrier)
            self._carriers.shut(carrier)
            return None
        return carrier

    def _identity(self, frame: zmq.Frame) -> Identity | None:
        if self._curve is None:
            return ANYONE
        key = str(frame.get("User-Id"))
        known = self._curve.authorized.get(key.encode())
        return None if known is None else Identity(known.role, known.name, key)

    def _follow(self) -> None:
        for carrier in self._carriers.read():
            connection = self._connections.get(carrier.connection)
            if connection is not None:
                connection.carrier = None
                self._end(connection)
            elif carrier.failure:
                self._events += self._carriers.farewell(carrier)
            elif not carrier.connection:
                self._unheard.append(carrier)

    def _end(self, connection: _Connection) -> None:
        if connection.number in self._connections:
            self._ending.setdefault(connection.number, _CLOSED)

    def _settle(self) -> None:
        """Tell of what has ended, now that all it sent has been read."""
        for carrier in self._unheard:
            self._events += self._carriers.farewell(carrier)
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
            if error.errno == zmq.EAGAIN:
                self._carriers.shut(known.carrier)
            elif error.errno != zmq.EHOSTUNREACH:
                raise
            self._end(known)
            return False
        return True

    def cut_off(self, connection: int) -> None:
        known = self._connections.get(connection)
        if known is None:
            return
        self._carriers.shut(known.carrier)
        self._ending.pop(connection, None)
        self._forget(known)

    def keep_house(self) -> None:
        self._looks += 1
        self._look_at_descriptors()
        self._carriers.keep_house()
        self._look_at_keys()
        for carrier in self._carriers.newcomers(1):
            if bytes_received(carrier) > _LARGEST_FIRST_BYTES:
                self._turn_away(carrier, _ENDLESS)
        for carrier in self._carriers.newcomers(PATIENCE):
            self._turn_away(carrier, _SPEECHLESS)
        for connection in list(self._connections.values()):
            if self._is_endless(connection):
                self._refuse(connection, _ENDLESS)

    def _look_at_descriptors(self) -> None:
        """Libzmq leaves those waiting who cannot be let in, and tells nobody that anybody would want to hear."""
        try:
            require_descriptors()
        except OSError:
            if not self._is_short:
                self._events.append(TurnedAway(UNKNOWN, f"nobody can be let in: {NONE_LEFT}"))
            self._is_short = True
        else:
            self._is_short = False

    def _look_at_keys(self) -> None:
        if self._curve is None or self._curve.authorized == self._authorized:
            return
        self._authorized = self._curve.authorized
        for connection in list(self._connections.values()):
            known = self._curve.authorized.get(connection.identity.key.encode())
            if known is None or known.role != connection.identity.role:
                self._refuse(connection, _REVOKED)

    def _refuse(self, connection: _Connection, reason: str) -> None:
        self.cut_off(connection.number)
        self._events.append(Lost(connection.number, reason, refused=True))

    def _turn_away(self, carrier: Carrier, reason: str) -> None:
        if self._carriers.shut(carrier):
            self._carriers.let_in(carrier)
            self._events.append(TurnedAway(carrier.address, reason))

    def _is_endless(self, connection: _Connection) -> bool:
        """Whether more has come since a message was read than the largest holds; libzmq keeps it until the last frame.

        A connection that is silent though it lives is the exception, so this costs nothing for most of them.
        """
        if connection.carrier is None or self._looks - connection.heard < _QUIET:
            connection.sent_bytes = -1
            return False
        sent_bytes = bytes_received(connection.carrier)
        if connection.sent_bytes < 0:
            connection.sent_bytes = sent_bytes
        return sent_bytes - connection.sent_bytes > self._largest_bytes

    def close(self) -> None:
        if not self._socket.closed:
            self._carriers.close()
            self._context.destroy(0)
