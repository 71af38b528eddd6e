"""Who knocks at a scheduler in the tests of its door: a good client at work, and peers that are not to come in."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import zmq

from scaler import Client
from scaler.ids import Incarnation, incarnation_of
from scaler.net.addresses import parse_address
from scaler.net.keys import KeyFile, authorize, read_key_file
from scaler.net.transport import Arrived, Connected, Lost
from scaler.net.versions import our_versions
from scaler.net.zmq_dialer import Dialing, ZmqDialer
from scaler.protocol import Hello, Rejected
from scaler.protocol.codec import Decoder, bundle, encode
from tests.integration.processes import PATIENCE_S, POLL_S

ROUND = list(range(300))


class GoodClient:
    """A client that maps without a pause in a thread of its own, and remembers whatever is not as it should be."""

    def __init__(self, address: str) -> None:
        self._client = Client(address)
        self.identity = self._client.identity
        self.rounds = 0
        self.faults: list[object] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        expected = [number * number for number in ROUND]
        while not self._is_over.is_set() and not self.faults:
            try:
                found = self._client.map(_square, ROUND)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is what the test is about
                self.faults.append(error)
                return
            if found != expected:
                self.faults.append(found)
            self.rounds += 1

    def close(self) -> None:
        """Finish the round and leave."""
        self._is_over.set()
        self._thread.join(PATIENCE_S)
        self._client.disconnect()


@contextlib.contextmanager
def good_client(address: str) -> Iterator[GoodClient]:
    """A client at work meanwhile, whose every task has to come out right."""
    client = GoodClient(address)
    try:
        yield client
        before = client.rounds
        deadline = time.monotonic() + PATIENCE_S
        while client.rounds < before + 2 and not client.faults and time.monotonic() < deadline:
            time.sleep(POLL_S)
    finally:
        client.close()
    assert client.faults == []
    assert client.rounds >= before + 2


def _square(number: int) -> int:
    return number * number


# ---- keys


def stray_key(path: Path, role: str, server: bytes) -> KeyFile:
    """A key pair of this role that nobody has authorised."""
    public, secret = (part.decode() for part in zmq.curve_keypair())
    text = f"role: {role}\nname: {path.stem}\npublic: {public}\nsecret: {secret}\nserver: {server.decode()}\n"
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    return read_key_file(path)


def own_key(keys: Path, role: str, name: str) -> Path:
    """A key of one's own that may connect, in a file beside the key directory."""
    key = stray_key(keys.parent / f"{name}.key", role, read_key_file(keys / "server.key").public)
    authorize(keys, role, name, key.public)
    return key.path


# ---- peers without the client library


class Peer:
    """A connection with a key, on which anything can be said."""

    def __init__(self, address: str, key: KeyFile) -> None:
        self._dialing = Dialing(parse_address(address, {}), key)
        self._dialer: ZmqDialer = self._dialing.dial()
        self._decoder = Decoder("to-client")

    def say(self, *frames: bytes) -> None:
        """Send a message."""
        self._dialer.send(list(frames))

    def hear(self, until: Callable[[object], bool]) -> object:
        """What comes first of what is waited for: a message, or `Lost`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for event in self._dialer.receive(100):
                found: Sequence[object] = [event]
                if isinstance(event, Arrived):
                    found = [header.message for header in self._decoder.decode(event.frames)]
                for one in found:
                    if until(one):
                        return one
            time.sleep(POLL_S)
        raise AssertionError("nothing came")

    def close(self) -> None:
        """Hang up."""
        self._dialer.close()
        self._dialing.close()


def refusal_of(
    address: str, key: KeyFile, role: str, who: Incarnation | None = None, secret: bytes = b"a stranger's"
) -> Rejected:
    """How the scheduler answers somebody with this key who says to be of this role, and of this name."""
    peer = Peer(address, key)
    try:
        assert peer.hear(lambda one: isinstance(one, Connected | Lost)) == Connected()
        who = incarnation_of(secret) if who is None else who
        hello = Hello(role, who, Incarnation(0), 0, 0, our_versions(), "a stranger", secret=secret)
        peer.say(bundle([encode(0, 0, hello)]))
        answer = peer.hear(lambda one: isinstance(one, Rejected | Lost))
        assert isinstance(answer, Rejected)
        assert isinstance(peer.hear(lambda one: isinstance(one, Lost)), Lost)
        return answer
    finally:
        peer.close()


def bare_socket(address: str, set_up: Callable[["zmq.Socket[bytes]"], None], socket_type: int = zmq.DEALER) -> None:
    """A socket of plain ZeroMQ with another key or mechanism, which must not get through its handshake."""
    with zmq.Context() as context, context.socket(socket_type) as bare:
        bare.linger = 0
        bare.reconnect_ivl = 3_600_000
        set_up(bare)
        bare.monitor("inproc://fate", zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | 0x7000)
        with context.socket(zmq.PAIR) as monitor:
            monitor.linger = 0
            monitor.connect("inproc://fate")
            bare.connect(address)
            assert monitor.poll(PATIENCE_S * 1000)
            event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
            bare.disable_monitor()
    assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED


def no_key(_bare: "zmq.Socket[bytes]") -> None:
    """Set a socket up without any security."""


def use_password(bare: "zmq.Socket[bytes]") -> None:
    """Set a socket up with a name and a password."""
    bare.plain_username = b"root"
    bare.plain_password = b"secret"


def use_key(key: KeyFile, server: bytes | None = None) -> Callable[["zmq.Socket[bytes]"], None]:
    """How to set a socket up with a key, and the server's or another in its place."""

    def set_up(bare: "zmq.Socket[bytes]") -> None:
        bare.curve_publickey, bare.curve_secretkey = key.public, key.secret
        bare.curve_serverkey = server or key.server

    return set_up


def say_to_port(address: str, data: bytes) -> str:
    """Bare bytes over TCP; where they came from, once the other side has closed the connection."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as line:
        here = "{}:{}".format(*line.getsockname()[:2])
        with contextlib.suppress(ConnectionError):
            line.sendall(data)
            while line.recv(65536):
                pass
    return here
