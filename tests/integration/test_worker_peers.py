"""The connections between clusters: real sockets, real keys, and whoever else may come to a door."""

import logging
import os
import time
from collections.abc import Callable, Iterator

import pytest

from scaler.ids import Incarnation, ObjectId
from scaler.net.addresses import TcpAddress
from scaler.net.background import NICENESS
from scaler.net.keys import new_key_pair
from scaler.net.transport import Lost
from scaler.net.zmq_dialer import PeerDialing
from scaler.net.zmq_listener import ZmqListener
from scaler.protocol import Door, FetchChunks, ObjectChunk, ObjectsDropped, PeerPass
from scaler.protocol.codec import bundle, encode
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.worker import peers as module
from scaler.worker.agent_peer_events import (
    AnswerPeer,
    AskPeer,
    PeerAsked,
    PeerEvent,
    PeerGone,
    PeerLeft,
    PeerSaid,
    UsePass,
)
from scaler.worker.peers import Peers
from scaler.worker.poller import Poller

OBJECT = ObjectId(Incarnation(5), 1)
WANTED = FetchChunks(OBJECT, 0, 8)
SIZE = 10 * MAX_FRAME_BYTES
CHUNK = ObjectChunk(OBJECT, 3, SIZE)
PIECE = bytes(range(256)) * (MAX_FRAME_BYTES // 256)
PASS, OTHER_PASS = PeerPass(*new_key_pair()), PeerPass(*new_key_pair())
PATIENCE_S = 15.0


class End:
    """One cluster's end, and a loop of its own."""

    def __init__(self, shown: PeerPass = PASS) -> None:
        self.poller = Poller()
        self.now: Callable[[], float] = time.monotonic
        self.peers = Peers(self.poller, self._clock)
        self.heard: list[PeerEvent] = []
        self.do(UsePass(shown))

    def _clock(self) -> float:
        return self.now()

    def opened(self, port: int = 0) -> Door:
        self.peers.open(port)
        return self.door

    @property
    def door(self) -> Door:
        return Door(f"tcp://127.0.0.1:{self.peers.port}", self.peers.key)

    def do(self, *commands: AskPeer | AnswerPeer | UsePass) -> list[PeerEvent]:
        return [event for command in commands if (event := self.peers.perform(command)) is not None]

    def turn(self) -> None:
        self.heard += self.peers.take_events()
        self.poller.wait(0.0 if self.peers.has_news else 0.002)

    def close(self) -> None:
        self.peers.close()
        self.poller.close()


@pytest.fixture
def owner() -> Iterator[End]:
    end = End()
    end.opened()
    yield end
    end.close()


@pytest.fixture
def asker() -> Iterator[End]:
    end = End()
    yield end
    end.close()


def until(found: Callable[[], object], *ends: End) -> None:
    """Let them go on until something is so."""
    stop_at = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < stop_at, [end.heard for end in ends]
        for end in ends:
            end.turn()


def asked(owner: End, *others: End) -> int:
    """The connection of who asked last."""
    until(lambda: any(isinstance(event, PeerAsked) for event in owner.heard), owner, *others)
    return [event.connection for event in owner.heard if isinstance(event, PeerAsked)][-1]


def test_what_is_asked_at_a_door_is_answered_there(owner: End, asker: End):
    assert asker.do(AskPeer(owner.door, WANTED), AskPeer(owner.door, FetchChunks(OBJECT, 8, 1))) == []
    until(lambda: len(owner.heard) == 2, owner, asker)
    connection = asked(owner)
    assert owner.heard == [PeerAsked(connection, WANTED), PeerAsked(connection, FetchChunks(OBJECT, 8, 1))]
    owner.do(AnswerPeer(connection, CHUNK, (PIECE,)), AnswerPeer(connection, ObjectsDropped((OBJECT,))))
    until(lambda: len(asker.heard) == 2, owner, asker)
    said, dropped = asker.heard
    assert isinstance(said, PeerSaid)
    assert (said.door, said.message, [bytes(frame) for frame in said.frames]) == (owner.door, CHUNK, [PIECE])
    assert dropped == PeerSaid(owner.door, ObjectsDropped((OBJECT,)))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_door_is_open_to_both_kinds_of_addresses(owner: End, asker: End, host: str, caplog: pytest.LogCaptureFixture):
    door = Door(f"tcp://{host}:{owner.peers.port}", owner.peers.key)
    asker.do(AskPeer(door, WANTED))
    owner.do(AnswerPeer(asked(owner, asker), ObjectsDropped((OBJECT,))))
    until(lambda: asker.heard, owner, asker)
    assert asker.heard == [PeerSaid(door, ObjectsDropped((OBJECT,)))]
    stranger = End(OTHER_PASS)
    stranger.do(AskPeer(door, WANTED))
    until(lambda: stranger.heard and "socket=door" in caplog.text, owner, stranger)
    assert host.strip("[]") in caplog.text
    stranger.close()


def test_what_moves_values_gives_way_to_everything_else(owner: End):
    before = set(os.listdir("/proc/self/task"))
    asker = End()
    asker.opened()
    asker.do(AskPeer(owner.door, WANTED))
    asked(owner, asker)
    begun = set(os.listdir("/proc/self/task")) - before
    assert len(begun) >= 2
    assert {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in begun} == {NICENESS}
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0
    asker.close()


def test_each_hears_when_the_other_is_gone(owner: End, asker: End):
    asker.do(AskPeer(owner.door, WANTED))
    connection = asked(owner, asker)
    second = End()
    second.do(AskPeer(owner.door, WANTED))
    until(lambda: len(owner.heard) == 2, owner, asker, second)
    second.close()
    until(lambda: any(isinstance(event, PeerLeft) for event in owner.heard), owner, asker)
    assert PeerLeft(connection) not in owner.heard
    door = owner.door
    owner.peers.close()
    until(lambda: asker.heard, asker)
    assert asker.heard == [PeerGone(door)]


def test_where_nobody_answers_is_told_soon_and_then_at_once_for_a_while(asker: End):
    door = Door(f"tcp://127.0.0.1:{_free_port()}", PASS.public)
    begun = time.monotonic()
    assert asker.do(AskPeer(door, WANTED)) == []
    until(lambda: asker.heard, asker)
    assert asker.heard == [PeerGone(door)]
    assert time.monotonic() - begun < 3
    assert asker.do(AskPeer(door, WANTED)) == [PeerGone(door)]
    now = time.monotonic()
    asker.now = lambda: now + module.SHUT_S + 1
    assert asker.do(AskPeer(door, WANTED)) == []


@pytest.mark.parametrize("address", ["ipc:///tmp/s", "tcp://", "nonsense", "tcp://127.0.0.1:99999"])
def test_what_is_no_door_is_told_so(asker: End, address: str):
    door = Door(address, PASS.public)
    asker.do(AskPeer(door, WANTED), AskPeer(Door("tcp://127.0.0.1:1", "no key"), WANTED))
    until(lambda: len(asker.heard) == 2, asker)
    assert sorted(event.door.address for event in asker.heard if isinstance(event, PeerGone)) == sorted(
        [address, "tcp://127.0.0.1:1"]
    )


def test_without_the_pass_nobody_enters(owner: End, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    stranger = End(OTHER_PASS)
    stranger.do(AskPeer(owner.door, WANTED))
    until(lambda: stranger.heard, owner, stranger)
    assert stranger.heard == [PeerGone(owner.door)]
    stranger.close()
    until(lambda: "socket=door" in caplog.text, owner)
    assert owner.heard == []
    refused = [record.getMessage() for record in caplog.records if "socket=door" in record.getMessage()]
    assert len(refused) == 1
    assert "its key is not authorised" in refused[0]


def test_before_there_is_a_pass_nobody_enters_and_nobody_is_asked(asker: End):
    closed = End.__new__(End)
    closed.poller = Poller()
    closed.now = time.monotonic
    closed.peers = Peers(closed.poller, time.monotonic)
    closed.heard = []
    door = closed.opened()
    asker.do(AskPeer(door, WANTED))
    until(lambda: asker.heard, closed, asker)
    assert (asker.heard, closed.heard) == ([PeerGone(door)], [])
    assert closed.do(AskPeer(asker.opened(), WANTED)) == [PeerGone(asker.door)]
    closed.close()


def test_a_new_pass_cuts_off_who_shows_the_old_one(owner: End, asker: End):
    asker.do(AskPeer(owner.door, WANTED))
    connection = asked(owner, asker)
    owner.do(UsePass(OTHER_PASS))
    until(lambda: asker.heard and PeerLeft(connection) in owner.heard, owner, asker)
    assert asker.heard == [PeerGone(owner.door)]
    owner.heard.clear()
    assert asker.do(UsePass(OTHER_PASS), AskPeer(owner.door, WANTED)) == []
    assert asked(owner, asker) != connection


def test_garbage_ends_the_connection_it_comes_by_and_no_other(owner: End, asker: End, caplog: pytest.LogCaptureFixture):
    asker.do(AskPeer(owner.door, WANTED))
    connection = asked(owner, asker)
    dialing = PeerDialing()
    dialer = dialing.dial(owner.door.address, PASS.public, PASS.secret, owner.door.key)
    dialer.send([b"garbage", b"frames"])
    lost: list[object] = []
    until(lambda: lost.extend(e for e in dialer.receive(9) if isinstance(e, Lost)) or lost, owner, asker)
    assert "socket=door" in caplog.text
    owner.do(AnswerPeer(connection, ObjectsDropped((OBJECT,))))
    until(lambda: asker.heard, owner, asker)
    assert asker.heard == [PeerSaid(owner.door, ObjectsDropped((OBJECT,)))]
    dialer.close()
    dialing.close()


def test_what_is_no_answer_ends_the_connection(asker: End):
    keys = End()
    listener = ZmqListener(TcpAddress("127.0.0.1", 0), keys.peers._keys)
    door = Door(listener.address, keys.peers.key)
    asker.do(AskPeer(door, WANTED))

    def answer() -> bool:
        for event in listener.receive(9):
            connection = getattr(event, "connection", 0)
            if connection:
                listener.send(connection, [b"\xc1"])
        return bool(asker.heard)

    until(answer, asker)
    assert asker.heard == [PeerGone(door)]
    listener.close()
    keys.close()


def test_who_does_not_read_is_cut_off_and_nobody_else(owner: End, asker: End):
    asker.do(AskPeer(owner.door, WANTED))
    patient = asked(owner, asker)
    owner.heard.clear()
    lazy = End()
    lazy.do(AskPeer(owner.door, WANTED))
    connection = asked(owner, asker, lazy)
    # it takes in what the kernel and libzmq hold, and reads none of it
    until(
        lambda: owner.do(AnswerPeer(connection, CHUNK, (PIECE,))) or PeerLeft(connection) in owner.heard,
        owner,
    )
    owner.do(AnswerPeer(patient, ObjectsDropped((OBJECT,))))
    until(lambda: asker.heard, owner, asker)
    lazy.close()


def test_who_says_nothing_is_left_and_nobody_waits_for_ever(owner: End, asker: End):
    asker.do(AskPeer(owner.door, WANTED))
    connection = asked(owner, asker)
    now = time.monotonic()
    asker.now = lambda: now + module.SILENT_S - 1
    owner.do(AnswerPeer(connection, ObjectChunk(OBJECT, 0, SIZE), (PIECE,)))
    until(lambda: asker.heard, owner, asker)
    asker.now = lambda: now + module.SILENT_S + 5
    asker.turn()
    assert [type(event) for event in asker.heard] == [PeerSaid]
    asker.now = lambda: now + 2 * module.SILENT_S
    until(lambda: PeerGone(owner.door) in asker.heard, owner, asker)


def test_who_has_sent_all_it_owes_may_be_silent(owner: End, asker: End):
    for answer in (ObjectsDropped((OBJECT,)), ObjectChunk(OBJECT, 0, SIZE)):
        asker.do(AskPeer(owner.door, FetchChunks(OBJECT, 0, 1)))
        owner.do(AnswerPeer(asked(owner, asker), answer, (PIECE,)))
        until(lambda: asker.heard, owner, asker)
        owner.heard.clear()
        now = time.monotonic()
        asker.now = lambda now=now: now + module.SILENT_S + 1
        asker.turn()
        assert [type(event) for event in asker.heard] == [PeerSaid]
        asker.heard.clear()
        asker.now = time.monotonic


@pytest.mark.parametrize("wanted", [[FetchChunks(OBJECT, 0, 1 << 60)], [WANTED] * 9], ids=["one", "many"])
def test_who_asks_for_too_much_at_a_time_is_cut_off(owner: End, wanted: list[FetchChunks]):
    dialing = PeerDialing()
    dialer = dialing.dial(owner.door.address, PASS.public, PASS.secret, owner.door.key)
    dialer.send([bundle([encode(1, 0, one) for one in wanted])])
    lost: list[object] = []
    until(lambda: lost.extend(e for e in dialer.receive(9) if isinstance(e, Lost)) or lost, owner)
    assert [event for event in owner.heard if isinstance(event, PeerAsked)] == []
    dialer.close()
    dialing.close()


def test_only_so_many_doors_are_called_at_a_time_and_idle_ones_are_left(
    owner: End, asker: End, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_DOORS", 1)
    other = End()
    asker.do(AskPeer(owner.door, WANTED))
    assert asker.do(AskPeer(other.opened(), WANTED)) == [PeerGone(other.door)]
    asked(owner, asker)
    now = time.monotonic()
    asker.now = lambda: now + module.IDLE_S + 1
    asker.turn()
    assert asker.do(AskPeer(other.door, WANTED)) == []
    asked(other, asker)
    other.close()


def test_a_port_that_is_taken_is_told_and_everything_goes_through_the_scheduler(
    owner: End, caplog: pytest.LogCaptureFixture
):
    second = End()
    second.opened(owner.peers.port)
    assert second.peers.port == 0
    assert "fetch what is here through the scheduler" in caplog.text
    assert second.peers.next_deadline() is None
    second.close()


def _free_port() -> int:
    listener = ZmqListener(TcpAddress("127.0.0.1", 0), None)
    port = int(listener.address.rpartition(":")[2])
    listener.close()
    return port
