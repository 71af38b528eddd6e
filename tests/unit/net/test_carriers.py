"""Who is not let in is told of once, at the listener's door and at the monitor stream's, whatever it tries."""

import re
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from scaler.net.addresses import TcpAddress
from scaler.net.keys import KeyFile, make_key_directory, read_key_file
from scaler.net.publisher import ZmqPublisher
from scaler.net.transport import TurnedAway
from scaler.net.zap import Curve
from scaler.net.zmq_listener import ZmqListener
from tests.contract.zmtp import PATIENCE_S, bare_line
from tests.integration.security_peers import bare_socket, no_key, say_to_port, stray_key, use_key, use_password

BROKEN = "it broke off the handshake, or speaks another protocol"
SILENT = "it ended without a word, or speaks another protocol"
MECHANISM = "it uses another security mechanism, or none"
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00"


class Door:
    """A socket that only good keys may enter, and who was turned away from it."""

    def __init__(self, end: ZmqListener | ZmqPublisher, peers: int, keys: Path) -> None:
        self.end = end
        self.address = end.address
        self.peers = peers
        self.keys = {role: read_key_file(keys / f"{role}.key") for role in ("client", "worker")}
        self.stray = stray_key(keys.parent / "stray.key", "client", self.keys["client"].server)
        self.told: list[TurnedAway] = []

    def drain(self) -> None:
        if isinstance(self.end, ZmqPublisher):
            self.told += self.end.subscriptions()[1]
        else:
            self.told += [event for event in self.end.receive(100) if isinstance(event, TurnedAway)]

    def wait(self, is_so: Callable[[], object]) -> None:
        by = time.monotonic() + PATIENCE_S
        poll = select.poll()
        for descriptor in self.end.filenos():
            poll.register(descriptor, select.POLLIN)
        self.drain()
        while not is_so():
            assert time.monotonic() < by, self.told
            poll.poll(10)
            self.drain()

    def settled(self) -> list[TurnedAway]:
        """All who were turned away, once another has been, and so everything before is told."""
        here = say_to_port_meanwhile(self)
        *before, last = self.told
        assert last.address in (here, "unknown")
        return before


def say_to_port_meanwhile(door: Door, data: bytes = b"GET / HTTP/1.1\r\n\r\n") -> str:
    """Say this to the door's port and wait until the other side hangs up; where it came from."""
    before = len(door.told)
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(say_to_port, door.address, data)
        door.wait(lambda: said.done() and len(door.told) > before)
        return said.result()


@pytest.fixture(params=["listener", "publisher"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    keys = tmp_path / "keys"
    make_key_directory(keys)
    server = read_key_file(keys / "server.key")
    curve = Curve(keys, server.public, server.secret)
    made, peers = (ZmqListener, zmq.DEALER) if request.param == "listener" else (ZmqPublisher, zmq.SUB)
    end = made(TcpAddress("127.0.0.1", 0), curve)
    yield Door(end, peers, keys)
    end.close()


Knock = Callable[[Door], str | None]


def with_socket(set_up: Callable[[Door], Callable[["zmq.Socket[bytes]"], None]]) -> Knock:
    return lambda door: bare_socket(door.address, set_up(door), door.peers)


def with_words(data: bytes) -> Knock:
    return lambda door: say_to_port(door.address, data)


def and_hang_up(data: bytes) -> Knock:
    def knock(door: Door) -> str:
        with bare_line(door.address) as line:
            line.sendall(data)
            return "{}:{}".format(*line.getsockname())

    return knock


def other_server(key: KeyFile) -> Callable[["zmq.Socket[bytes]"], None]:
    return use_key(key, zmq.curve_keypair()[0])


KNOCKS: dict[str, tuple[Knock, set[str]]] = {
    "a key nobody knows": (with_socket(lambda door: use_key(door.stray)), {"its key is not authorised"}),
    "another server key": (
        with_socket(lambda door: other_server(door.keys["client"])),
        {"it uses another server key"},
    ),
    "no key": (with_socket(lambda _: no_key), {MECHANISM, BROKEN}),
    "a password": (with_socket(lambda _: use_password), {MECHANISM, BROKEN}),
    "noise": (with_words(b"GET / HTTP/1.1\r\n\r\n" * 3), {SILENT, BROKEN}),
    "noise like a greeting": (with_words(GREETING + bytes(200)), {MECHANISM, SILENT, BROKEN}),
    "noise and hanging up": (and_hang_up(b"\0" * 100), {SILENT, BROKEN}),
    "half a greeting": (and_hang_up(GREETING), {SILENT, BROKEN}),
    "no word": (and_hang_up(b""), {SILENT, BROKEN}),
    "no word for as long as it may": (with_words(b""), {SILENT, BROKEN}),
}


@pytest.mark.parametrize("name", KNOCKS)
def test_who_is_turned_away_is_told_of_once_and_whence(door: Door, name: str):
    knock, reasons = KNOCKS[name]
    with ThreadPoolExecutor(1) as pool:
        knocking = pool.submit(knock, door)
        door.wait(lambda: knocking.done() and door.told)
    here = knocking.result()
    (one,) = door.settled()
    assert one.reason in reasons
    # what libzmq has closed before anybody could look has no address any more; but it waits for the answer to a key
    assert one.address == "unknown" or re.fullmatch(r"127\.0\.0\.1:\d+", one.address)
    assert one.address != "unknown" or one.reason != "its key is not authorised"
    assert here is None or one.address in (here, "unknown")


def test_a_worker_does_not_enter_where_only_readers_may(door: Door):
    if isinstance(door.end, ZmqListener):  # whose links look at roles
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bare_socket, door.address, use_key(door.keys["worker"]), door.peers)
        door.wait(lambda: door.told)
    (one,) = door.settled()
    assert one.reason == "a worker key may not enter here"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", one.address)


def test_of_a_crowd_each_is_told_of_once(door: Door):
    names = [name for name in KNOCKS if name != "no word for as long as it may"] * 6
    with ThreadPoolExecutor(12) as pool, ExitStack() as opened:
        for _ in range(5):
            opened.enter_context(good_peer(door))
        knocks = [pool.submit(KNOCKS[name][0], door) for name in names]
        door.wait(lambda: all(knock.done() for knock in knocks) and len(door.told) >= len(names))
        assert len(door.settled()) == len(names)
    reasons = Counter(one.reason for one in door.told)
    assert reasons["its key is not authorised"] == reasons["it uses another server key"] == 6
    # addresses are those of connections, each with its own
    known = [one.address for one in door.told if one.address != "unknown"]
    assert len(set(known)) == len(known) >= 6


@pytest.mark.parametrize("turns", range(10))
def test_who_asks_and_does_not_wait_for_the_answer_is_told_of_once(door: Door, turns: int):
    with zmq.Context() as context, context.socket(door.peers) as bare:
        bare.linger = 0
        use_key(door.stray)(bare)
        bare.connect(door.address)
        for _ in range(turns):  # the last turns are later than the question
            select.select([], [], [], 0.001)
    door.wait(lambda: door.told)
    (one,) = door.settled()
    assert one.reason in {"its key is not authorised", BROKEN}


@contextmanager
def good_peer(door: Door) -> Iterator[None]:
    """Somebody who is let in, and says so."""
    with zmq.Context() as context, context.socket(door.peers) as peer, context.socket(zmq.PAIR) as monitor:
        peer.linger = 0
        use_key(door.keys["client"])(peer)
        peer.monitor("inproc://fate", zmq.EVENT_HANDSHAKE_SUCCEEDED)
        monitor.connect("inproc://fate")
        peer.connect(door.address)
        if door.peers == zmq.DEALER:
            peer.send(b"here")
        door.wait(lambda: monitor.poll(0))
        peer.disable_monitor()
        yield


def test_who_is_let_in_and_leaves_is_not_told_of(door: Door):
    for _ in range(3):
        with good_peer(door), good_peer(door):
            pass
    assert door.settled() == []
