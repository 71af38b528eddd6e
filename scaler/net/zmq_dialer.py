"""A client's or worker cluster's socket: a DEALER that is exactly one connection and never connects again by itself.

`RECONNECT_IVL` is a day rather than -1 (never): with -1 libzmq throws away what had arrived but was not read when the
connection ends, a refusal for instance, and tells nobody of a name that cannot be resolved.
"""

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path

import zmq

from scaler.errors import AddressError
from scaler.net.addresses import Address, IpcAddress, check_private, parse_address
from scaler.net.background import in_background
from scaler.net.descriptors import require_descriptors
from scaler.net.keys import KeyFile, is_key
from scaler.net.transport import Arrived, Connected, Dialer, DialerEvent, Frame, Lost
from scaler.net.zmq_sockets import (
    HANDSHAKE_MS,
    Bell,
    Monitor,
    contents,
    descriptors,
    readable,
    receive_frames,
    send_frames,
    set_common_options,
)

_NEVER_MS = 24 * 3600 * 1000
#: shorter than the listener's, so that a listener too busy to answer is told from one that hangs up
_OWN_HANDSHAKE_MS = HANDSHAKE_MS - 500
#: a connection that is silent for so long, or takes nothing, is made anew: after a cut TCP tries again at 3 s, 6 s,
#: 12 s …, which is too late for work that is to go on 2 s after the cut is mended
_SILENCE_MS = 2500
_HANGUPS = (errno.EPIPE, errno.ECONNRESET)

_ENDED: dict[int, str] = {
    zmq.EVENT_DISCONNECTED: "the connection was closed",
    zmq.EVENT_CLOSED: "nobody listens there",
    # where nobody listens, the event above comes first
    zmq.EVENT_CONNECT_RETRIED: "its name cannot be resolved",
}
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
)


class ZmqDialer:
    """A `Dialer`; `key` None connects without encryption."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: Address,
        key: KeyFile | None,
        *,
        ipv6: bool = False,
    ) -> None:
        self._socket = socket = context.socket(zmq.DEALER)
        set_common_options(socket)
        socket.reconnect_ivl = _NEVER_MS
        socket.setsockopt(zmq.HANDSHAKE_IVL, _OWN_HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
        socket.setsockopt(zmq.TCP_MAXRT, _SILENCE_MS)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, 1000)
        socket.ipv6 = ipv6
        if key is not None:
            socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
            socket.curve_serverkey = key.server
        self._monitor = Monitor(socket, zmq.EVENT_HANDSHAKE_SUCCEEDED | sum(_ENDED) | sum(_FAILED))
        self._bell = Bell(self._monitor.socket)
        #: how the connection ended, until what arrived before has been read
        self._lost: Lost | None = None
        self._over = False
        socket.connect(str(address))

    def filenos(self) -> list[int]:
        return descriptors(self._socket, self._monitor.socket)

    def pending(self) -> bool:
        return self._lost is not None or readable(self._socket) or self._bell.has_rung()

    def receive(self, limit: int) -> list[DialerEvent]:
        events: list[DialerEvent] = list(self._read_monitor()) if self._bell.answer() else []
        socket = self._socket
        while len(events) < limit:
            if not readable(socket):
                if self._lost is not None:
                    events.append(self._lost)
                    self._lost = None
                break
            events.append(Arrived(0, contents(receive_frames(socket))))
        return events

    def _read_monitor(self) -> list[Connected]:
        connected: list[Connected] = []
        for event, value in self._monitor.events():
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                connected.append(Connected())
            elif not self._over:
                self._over = True
                reason, refused = _failure(event, value)
                self._lost = Lost(0, reason, refused=refused)
        return connected

    def send(self, frames: Sequence[Frame]) -> None:
        send_frames(self._socket, frames)

    def close(self) -> None:
        if not self._socket.closed:
            self._monitor.close()
            self._socket.close(0)


def _failure(event: int, value: int) -> tuple[str, bool]:
    """Why there is no connection, and whether the other side refused our key."""
    if event in _ENDED:
        return _ENDED[event], False
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return "our key is not authorised there", True
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return "the other side has another key, or none", True
    # what a server with another key does: it cannot read our greeting, so it has no way to answer
    if value in _HANGUPS:
        return "the other side hung up during the handshake: it has another key, or none", True
    return "the other side did not answer the handshake", False


class NoDialer:
    """A `Dialer` that could not even be made."""

    def __init__(self, reason: str) -> None:
        self._events: list[DialerEvent] = [Lost(0, reason)]

    def filenos(self) -> list[int]:
        return []

    def pending(self) -> bool:
        return bool(self._events)

    def receive(self, limit: int) -> list[DialerEvent]:
        events, self._events = self._events[:limit], self._events[limit:]
        return events

    def send(self, frames: Sequence[Frame]) -> None:
        """Nobody is there."""

    def close(self) -> None:
        """Nothing is open."""


class PeerDialing:
    """Makes diallers to any address of tcp, all with the same I/O thread, which is one of the background."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)

    def dial(self, address: str, public: str, secret: str, server: str) -> Dialer:
        """A new connection, not established yet, to whoever has this public key there; ours is the first pair."""
        keys = [key.encode() for key in (public, secret, server)]
        try:
            parsed = parse_address(address, {})
            require_descriptors()
        except (AddressError, OSError) as error:
            return NoDialer(str(error))
        if isinstance(parsed, IpcAddress) or not all(map(is_key, keys)):
            return NoDialer("that is no address of tcp with a key")
        key = KeyFile(Path(), "worker", "peer", *keys)
        with in_background():  # the first begins it
            return ZmqDialer(self._context, parsed, key, ipv6=":" in parsed.host)

    def close(self) -> None:
        """Give the I/O thread back; diallers that are still open end too."""
        self._context.destroy(0)


class Dialing:
    """Makes a dialler for each attempt, all with the same key and I/O thread."""

    def __init__(self, address: Address, key: KeyFile | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._address = address
        self._key = key
        self._ipv6 = not isinstance(address, IpcAddress) and ":" in address.host

    def dial(self) -> Dialer:
        """A new connection, not established yet; a name is tried in IPv4 and IPv6 by turns."""
        address, ipv6 = self._address, self._ipv6
        if isinstance(address, IpcAddress):
            with contextlib.suppress(FileNotFoundError):
                check_private(address.path.parent)
        elif not address.is_numeric:
            self._ipv6 = not ipv6
        try:
            require_descriptors()
        except OSError as error:
            return NoDialer(str(error.strerror))
        return ZmqDialer(self._context, address, self._key, ipv6=ipv6)

    def close(self) -> None:
        """Give the I/O thread back; diallers that are still open end too."""
        self._context.destroy(0)
