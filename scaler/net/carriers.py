"""The connections that a socket has accepted: where they come from, whether they were let in, and why they ended.

libzmq tells of a connection in pieces. The monitor names a descriptor, from the acceptance to the end; ZAP names a key
and a host, but no port, while that connection waits for the answer; messages bring a descriptor. A `Carrier` is one
life of a descriptor, and each that ends without having been let in is one line for the log, no more and no less.

The kernel uses descriptors again, so nothing is done with one before the monitor has been read to its end.
"""

import contextlib
import os
import socket as sockets
import struct
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import zmq

from scaler.net.transport import TurnedAway
from scaler.net.zap import DOMAIN, Keys, ZapDoor
from scaler.net.zmq_sockets import Bell, Monitor, descriptors

#: how often the house is kept until a connection has to have been let in; a handshake may take 3 s
PATIENCE = 5

#: the address of what has ended before it was looked at
UNKNOWN = "unknown"
#: who has come this far in the handshake has shown its key: 64 bytes of greeting, 202 of HELLO, and an INITIATE
_KEY_BYTES = 500
#: of those who may have shown the key that ZAP asks about, the latest that are looked at
_LATEST = 32
#: where Linux, since 4.1, has the bytes received in its `struct tcp_info`
_BYTES_RECEIVED = struct.Struct("=128xQ")

_BROKEN = "it broke off the handshake, or speaks another protocol"
_SILENT = "it ended without a word, or speaks another protocol"
_FAILED: tuple[int, ...] = (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
#: failures of which libzmq knows the reason
_FAILURES: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "it uses another security mechanism, or none",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "it uses another server key",
}


@dataclass(slots=True, eq=False)
class Carrier:
    """One life of a descriptor, from the monitor's ACCEPTED to its DISCONNECTED."""

    descriptor: int
    #: how often the house had been kept when it was accepted
    since: int
    #: the host as ZAP writes it, and host and port for people
    host: str = ""
    address: str = UNKNOWN
    #: what the owner of the socket calls it, once it has a name for it
    connection: int = 0
    #: no line is due when it ends
    is_let_in: bool = False
    #: it came so far in the handshake that ZAP has to ask about its key
    has_shown_key: bool = False
    #: why its handshake failed, as far as the monitor tells
    failure: str = ""
    #: we have ended it; libzmq reads first what has arrived
    is_shut: bool = False


class Carriers:
    """All connections of one socket, which must not be bound yet; with `curve`, only keys of these `roles` get in.

    The socket's context has one I/O thread: several would mix up the order of the monitor's events. Its owner says who
    is let in, unless it `is_open`: to everybody who has a good key or needs none.
    """

    def __init__(
        self, socket: "zmq.Socket[bytes]", curve: Keys | None, roles: Collection[str], *, is_open: bool = False
    ) -> None:
        self._curve = curve
        self._is_open = is_open
        self._door: ZapDoor | None = None
        if curve is not None:
            self._door = ZapDoor(socket.context, roles)
            socket.curve_server = True
            socket.curve_secretkey = curve.secret
            socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        self._monitor = Monitor(socket, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | sum(_FAILED))
        self._watched = [self._monitor.socket, *([self._door.socket] if self._door else [])]
        self._bell = Bell(*self._watched)
        self._spare = Spare()
        #: all and only the descriptors that are open, as far as the monitor was read
        self._open: dict[int, Carrier] = {}
        #: those of them that were not let in yet, oldest first
        self._newcomers: OrderedDict[int, Carrier] = OrderedDict()
        self._ended: list[Carrier] = []
        #: of each host, how many have shown a key that ZAP has not asked about
        self._unasked: Counter[str] = Counter()
        #: of each host, why keys of it were refused whose connections have not ended
        self._refused: dict[str, list[str]] = {}
        #: why the handshake failed whose DISCONNECTED comes next
        self._failure = ""
        self._looks = 0

    def filenos(self) -> list[int]:
        """The descriptors to watch for reading."""
        return descriptors(*self._watched)

    def has_news(self) -> bool:
        """Whether `read` has something to do."""
        return bool(self._ended) or self._bell.has_rung()

    def read(self) -> list[Carrier]:
        """Follow what has happened, and answer who knocks; those that have ended since, in order."""
        if self._bell.answer():
            if self._door is not None and self._curve is not None:
                self._door.answer(self._curve.authorized, self._asked)
            self._follow()
        ended, self._ended = self._ended, []
        return ended

    def at(self, descriptor: int) -> Carrier | None:
        """The open connection that has this descriptor, as far as was read."""
        return self._open.get(descriptor)

    def everybody(self) -> list[Carrier]:
        """All that are open, as far as was read."""
        return list(self._open.values())

    def let_in(self, carrier: Carrier) -> None:
        """Its end needs no line in the log."""
        carrier.is_let_in = True
        if self._newcomers.get(carrier.descriptor) is carrier:
            del self._newcomers[carrier.descriptor]

    def farewell(self, carrier: Carrier) -> list[TurnedAway]:
        """What to tell of one that has ended: something once if it was not let in, else nothing."""
        if carrier.is_let_in:
            return []
        carrier.is_let_in = True
        reasons = self._refused.get(carrier.host, []) if carrier.has_shown_key else []
        if reasons:
            return [TurnedAway(carrier.address, reasons.pop(0))]
        if self._is_open and (carrier.has_shown_key or not (self._curve or carrier.failure)):
            return []
        return [TurnedAway(carrier.address, carrier.failure or _SILENT)]

    # ---- now and then

    def keep_house(self) -> None:
        """To be called once a second."""
        self._looks += 1
        if not self._newcomers:
            self._refused.clear()
            self._unasked.clear()

    def newcomers(self, looks: int) -> list[Carrier]:
        """Those that were not let in though the house was kept so often since they came."""
        found = []
        for carrier in self._newcomers.values():
            if self._looks - carrier.since < looks:
                break
            found.append(carrier)
        return found

    def shut(self, carrier: Carrier | None) -> bool:
        """End a connection that libzmq owns; it closes the descriptor itself when it sees the end. Whether we ended it.

        libzmq tells of the end before it closes. So what a duplicate stands for is still ours if no end was told after
        the duplicate was made. One descriptor is kept in reserve for it, since it is when there are too many peers that
        some have to go.
        """
        if carrier is None or carrier.is_shut:
            return False
        with contextlib.suppress(OSError), self._spare.standing_for(carrier.descriptor) as duplicate:
            self._follow()
            if self._open.get(carrier.descriptor) is carrier:
                duplicate.shutdown(sockets.SHUT_RDWR)
                carrier.is_shut = True
        return carrier.is_shut

    def close(self) -> None:
        """Stop watching; the socket must not be closed yet."""
        self._monitor.close()
        self._spare.close()

    # ---- what libzmq tells

    def _asked(self, host: str, refusal: str) -> None:
        """ZAP asks about a key that somebody there has shown, and is about to refuse it, or not if `refusal` is "".

        Its connection waits meanwhile, so it is there to be looked at; if not, its end tells enough. Which one it is of
        several that wait is not known: the first to end is told of with the first reason.
        """
        if not refusal and not self._is_open:  # it will speak, or end without a word
            return
        self._follow()
        latest = [carrier for carrier, _ in zip(reversed(self._newcomers.values()), range(_LATEST), strict=False)]
        waiting = [one for one in latest if one.host == host and not one.has_shown_key and _has_sent_a_key(one)]
        self._follow()
        for carrier in waiting:
            if self._open.get(carrier.descriptor) is carrier:
                carrier.has_shown_key = True
                self._unasked[host] += 1
        if self._unasked[host] > 0:
            self._unasked[host] -= 1
            if refusal:
                self._refused.setdefault(host, []).append(refusal)

    def _follow(self) -> None:
        """Read the monitor to its end."""
        fresh: dict[int, Carrier] = {}
        while news := self._monitor.events():
            for event, value in news:
                if event == zmq.EVENT_ACCEPTED:
                    self._disconnected(value, fresh)
                    fresh[value] = self._open[value] = self._newcomers[value] = Carrier(value, self._looks)
                elif event == zmq.EVENT_DISCONNECTED:
                    self._disconnected(value, fresh)
                else:
                    self._failure = self._failure or _FAILURES.get(value, _BROKEN)
            for carrier in fresh.values():
                if not carrier.host:
                    _note_peer(carrier)

    def _disconnected(self, descriptor: int, fresh: dict[int, Carrier]) -> None:
        failure, self._failure = self._failure, ""
        carrier = self._open.pop(descriptor, None)
        if carrier is None:
            return
        if fresh.pop(descriptor, None) is not None:  # the descriptor was another's perhaps when we asked for its peer
            carrier.host, carrier.address = "", UNKNOWN
        carrier.failure = failure
        self._newcomers.pop(descriptor, None)
        self._ended.append(carrier)


class Spare:
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
        """Give both descriptors back."""
        os.close(self._nothing)
        os.close(self._spare)


def bytes_received(carrier: Carrier) -> int:
    """What the kernel has received of a TCP connection; 0 of any other, and of one that has ended."""
    with contextlib.suppress(OSError), _duplicate(carrier.descriptor) as duplicate:
        facts = duplicate.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _BYTES_RECEIVED.size)
        if len(facts) == _BYTES_RECEIVED.size:
            return int(_BYTES_RECEIVED.unpack(facts)[0])
    return 0


def _has_sent_a_key(carrier: Carrier) -> bool:
    return bytes_received(carrier) >= _KEY_BYTES


@contextlib.contextmanager
def _duplicate(descriptor: int) -> Iterator[sockets.socket]:
    """Another descriptor of the same socket; `OSError` if it is closed, is none, or no more can be opened."""
    number = os.dup(descriptor)
    try:
        duplicate = sockets.socket(fileno=number)
    except OSError:
        os.close(number)
        raise
    with duplicate:
        yield duplicate


def _note_peer(carrier: Carrier) -> None:
    """Where a connection comes from, for people to read; it may have ended already."""
    with contextlib.suppress(OSError), _duplicate(carrier.descriptor) as duplicate:
        peer = duplicate.getpeername()
        if isinstance(peer, tuple):
            carrier.host = peer[0]
            carrier.address = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
        else:
            carrier.host = carrier.address = "a process of this machine"
