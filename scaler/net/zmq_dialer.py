"""A client's or worker cluster's socket: a DEALER that is exactly one connection and never connects again by itself."""

from collections.abc import Sequence

import zmq

from scaler.net.addresses import Address, TcpAddress
from scaler.net.keys import KeyFile
from scaler.net.transport import Arrived, Connected, DialerEvent, Frame, Lost
from scaler.net.zmq_sockets import (
    HANDSHAKE_FAILED,
    Monitor,
    descriptors,
    frame_content,
    readable,
    send_frames,
    set_common_options,
)

_ENDED: dict[int, str] = {
    zmq.EVENT_DISCONNECTED: "the connection was closed",
    zmq.EVENT_CLOSED: "nobody listens there",
}
#: libzmq tells only these apart; a server that does not know our key shows as one of them
_REFUSALS = frozenset((zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL))


class ZmqDialer:
    """A `Dialer`; `key` None connects without encryption."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: Address,
        key: KeyFile | None,
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        set_common_options(self._socket)
        socket = self._socket
        socket.reconnect_ivl = -1
        socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 4000)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, 1000)
        if isinstance(address, TcpAddress) and ":" in address.host:
            socket.ipv6 = True
        if key is not None:
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = (
                key.public,
                key.secret,
                key.server,
            )
        self._monitor = Monitor(socket, zmq.EVENT_HANDSHAKE_SUCCEEDED | sum(_ENDED) | sum(HANDSHAKE_FAILED))
        self._events: list[DialerEvent] = []
        self._over = False
        socket.connect(str(address))

    def filenos(self) -> list[int]:
        return descriptors(self._socket, self._monitor.socket)

    def pending(self) -> bool:
        return bool(self._events) or readable(self._socket) or readable(self._monitor.socket)

    def receive(self, limit: int) -> list[DialerEvent]:
        lost = self._read_monitor()
        socket = self._socket
        while len(self._events) < limit and readable(socket):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            content: list[Frame] = [frames[0].bytes]
            content.extend(frame_content(frame) for frame in frames[1:])
            self._events.append(Arrived(0, content))
        if lost is not None and not self._over:
            self._over = True
            self._events.append(lost)
        events, self._events = self._events, []
        return events

    def _read_monitor(self) -> Lost | None:
        lost: Lost | None = None
        for event, _, _ in self._monitor.events():
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._events.append(Connected())
            elif lost is None or lost.reason in _ENDED.values():
                reason = _ENDED.get(event) or HANDSHAKE_FAILED[event]
                lost = Lost(0, reason, refused=event in _REFUSALS)
        return lost

    def send(self, frames: Sequence[Frame]) -> None:
        send_frames(self._socket, frames)

    def close(self) -> None:
        self._monitor.close()
        self._socket.close(0)


class Dialing:
    """Makes a dialler for each attempt, with the key read anew, so that one that was replaced is noticed."""

    def __init__(self, address: Address, key: KeyFile | None, io_threads: int = 1) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads)
        self._address = address
        self._key = key

    def dial(self) -> ZmqDialer:
        """A new connection, not established yet."""
        return ZmqDialer(self._context, self._address, self._key)

    def close(self) -> None:
        """Give the I/O thread back; every dialler is closed before."""
        self._context.destroy(0)
