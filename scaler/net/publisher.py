"""The socket of the monitor stream: an XPUB that knows whether anybody listens, and drops rather than waits.

libzmq tells that a topic has lost its last reader, but also of readers that end what they never began. So the word of a
reader is looked into by a reader of our own.
"""

from collections.abc import Sequence

import zmq

from scaler.net.addresses import Address
from scaler.net.carriers import PATIENCE, Carriers, bytes_received
from scaler.net.transport import Frame, TurnedAway
from scaler.net.zap import Curve
from scaler.net.zmq_sockets import Bell, bind, descriptors, readable, set_common_options

#: messages kept for a reader that is slow, before the newest are dropped for it
_KEPT_MESSAGES = 1000
_READERS = frozenset(("client", "operator"))
#: what a reader may say on one connection: some topics, and a sign of life now and then for days
_MOST_BYTES = 16 << 20
_TALKATIVE = f"it sent more than {_MOST_BYTES >> 20} MiB, and readers have to read"
#: words of readers that are heard in one turn
_MOST_WORDS = 1000
_ENDS, _BEGINS = b"\x00", b"\x01"
_PROBE = "inproc://probe"


class ZmqPublisher:
    """Publishes at one address: over tcp with CURVE to clients and operators, over ipc to whoever may open it."""

    def __init__(self, address: Address, curve: Curve | None) -> None:
        self._curve = curve
        self._authorized = curve.authorized if curve is not None else {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._socket = self._context.socket(zmq.XPUB)
        set_common_options(self._socket)
        self._socket.sndhwm = _KEPT_MESSAGES
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._carriers = Carriers(self._socket, curve, _READERS, is_open=True)
        self._socket.bind(_PROBE)
        self._prober = self._context.socket(zmq.XSUB)
        set_common_options(self._prober)
        self._prober.connect(_PROBE)
        #: who was cut off, and not told of yet
        self._turned_away: list[TurnedAway] = []
        self._bell = Bell(self._socket)
        #: the socket was written to, which may have quietened its descriptor
        self._is_touched = False
        try:
            self.address = bind(self._socket, address)
        except BaseException:
            self.close()
            raise

    def filenos(self) -> list[int]:
        """The descriptors to watch for reading."""
        return [*descriptors(self._socket), *self._carriers.filenos()]

    def subscriptions(self) -> tuple[list[tuple[bytes, bool]], list[TurnedAway]]:
        """Topics, in order, and whether somebody subscribes to each or nobody any more; who was turned away."""
        turned_away, self._turned_away = self._turned_away, []
        for carrier in self._carriers.read():
            turned_away += self._carriers.farewell(carrier)
        if not self._is_touched and not self._bell.answer():
            return [], turned_away
        self._is_touched = False
        return self._changes(), turned_away

    def _changes(self) -> list[tuple[bytes, bool]]:
        changes: list[tuple[bytes, bool]] = []
        doubtful: dict[bytes, None] = {}
        for _ in range(_MOST_WORDS):
            if not readable(self._socket):
                if not doubtful:
                    return changes
                self._probe(doubtful)
                continue
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            word, topic = frame.bytes[:1], frame.bytes[1:]
            if not _is_of_a_reader(frame):
                if word == _ENDS:
                    changes.append((topic, False))
            elif word == _BEGINS:
                changes.append((topic, True))
            elif word == _ENDS:
                doubtful[topic] = None
        self._probe(doubtful)
        self._is_touched = True
        return changes

    def _probe(self, topics: dict[bytes, None]) -> None:
        """Subscribe and end it: libzmq tells of the end if, and only if, nobody else subscribes to that topic."""
        for topic in topics:
            self._prober.send(_BEGINS + topic, zmq.NOBLOCK)
            self._prober.send(_ENDS + topic, zmq.NOBLOCK)
        topics.clear()

    def publish(self, frames: Sequence[Frame]) -> None:
        """Send to all whose subscription is a prefix of the first frame; a reader that is too slow misses it."""
        self._is_touched = True
        self._socket.send_multipart(frames, zmq.NOBLOCK)

    def keep_house(self) -> None:
        """To be called once a second: cut off who says more than a reader has to say, and whose key was revoked."""
        carriers = self._carriers
        carriers.keep_house()
        self._look_at_keys()
        for carrier in carriers.newcomers(PATIENCE):  # libzmq has ended those who did not finish the handshake
            carriers.let_in(carrier)
        for carrier in carriers.everybody():
            if bytes_received(carrier) > _MOST_BYTES and carriers.shut(carrier):
                carriers.let_in(carrier)
                self._turned_away.append(TurnedAway(carrier.address, _TALKATIVE))

    def _look_at_keys(self) -> None:
        """Let all readers connect again when a key is revoked: whose connections were made with it is not known."""
        if self._curve is None or self._curve.authorized == self._authorized:
            return
        before, self._authorized = self._authorized, self._curve.authorized
        if self._curve.has_revoked(before):
            for carrier in self._carriers.everybody():
                self._carriers.let_in(carrier)
                self._carriers.shut(carrier)

    def close(self) -> None:
        """Give everything back."""
        self._carriers.close()
        self._context.destroy(0)


def _is_of_a_reader(frame: zmq.Frame) -> bool:
    """Whether somebody beyond a connection said it; libzmq's own word, and our prober's, come from nowhere."""
    try:
        return bool(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return False
