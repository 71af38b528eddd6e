"""The socket of the monitor stream: who still listens, whatever one of its readers says."""

import contextlib
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from scaler.net.addresses import Address, IpcAddress, TcpAddress
from scaler.net.carriers import PATIENCE
from scaler.net.publisher import ZmqPublisher
from scaler.net.transport import TurnedAway
from tests.contract.zmtp import PATIENCE_S, raw_peer

Change = tuple[bytes, bool]


class Stream:
    """A publisher, and all it has told of its readers' subscriptions."""

    def __init__(self, publisher: ZmqPublisher) -> None:
        self.publisher = publisher
        self.address = publisher.address
        self.changes: list[Change] = []

    def until(self, change: Change) -> list[Change]:
        """What came before this, as far as it was not returned yet."""
        by = time.monotonic() + PATIENCE_S
        poll = select.poll()
        for descriptor in self.publisher.filenos():
            poll.register(descriptor, select.POLLIN)
        while change not in self.changes:
            assert time.monotonic() < by, self.changes
            self.changes += self.publisher.subscriptions()[0]
            if change not in self.changes:
                poll.poll(100)
        found = self.changes.index(change)
        before, self.changes = self.changes[:found], self.changes[found + 1 :]
        return before


@pytest.fixture
def over_tcp() -> Iterator[Stream]:
    publisher = ZmqPublisher(TcpAddress("127.0.0.1", 0), None)
    yield Stream(publisher)
    publisher.close()


@pytest.fixture(params=["tcp", "ipc"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stream]:
    address: Address = TcpAddress("127.0.0.1", 0)
    if request.param == "ipc":
        (tmp_path / "run").mkdir(mode=0o700)
        address = IpcAddress(tmp_path / "run" / "s")
    publisher = ZmqPublisher(address, None)
    yield Stream(publisher)
    publisher.close()


@contextlib.contextmanager
def reading(stream: Stream, *topics: bytes) -> Iterator["zmq.Socket[bytes]"]:
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.linger = 0
        for topic in topics:
            reader.subscribe(topic)
        reader.connect(stream.address)
        told: list[Change] = []
        for topic in sorted(topics):  # a socket names them in the order of its trie
            told += stream.until((topic, True))
        assert told == []
        yield reader


def test_a_topic_ends_with_its_last_reader_and_not_before(stream: Stream):
    with reading(stream, b"state", b"spans") as one, reading(stream, b"state"):
        one.unsubscribe(b"state")
        one.unsubscribe(b"spans")
        assert stream.until((b"spans", False)) == []
    assert stream.until((b"state", False)) == []


def test_who_ends_what_it_never_began_ends_it_for_nobody(stream: Stream):
    with reading(stream, b"state") as reader, raw_peer(stream.address, "SUB") as stray:
        for _ in range(3):
            stray.say(b"\x00state")
        stray.say(b"\x01spans")
        assert stream.until((b"spans", True)) == []
        stream.publisher.publish([b"state", b"goes on"])
        assert reader.poll(PATIENCE_S * 1000)
        assert reader.recv_multipart() == [b"state", b"goes on"]
        stray.say(b"\x00spans")
        assert stream.until((b"spans", False)) == []
    assert stream.until((b"state", False)) == []


def test_who_begins_twice_and_ends_more_often_ends_it_for_itself(stream: Stream):
    with raw_peer(stream.address, "SUB") as stray:
        with reading(stream, b"state"):
            for word in (b"\x01state", b"\x01state", b"\x00state", b"\x00state", b"\x00state", b"\x01spans"):
                stray.say(word)
            assert stream.until((b"spans", True)) == [(b"state", True)] * 2
        assert stream.until((b"state", False)) == []


def test_who_reads_alone_may_end_it_and_begin_again(stream: Stream):
    with raw_peer(stream.address, "SUB") as reader:
        for _ in range(3):
            reader.say(b"\x01state")
            assert stream.until((b"state", True)) == []
            reader.say(b"\x00state")
            assert stream.until((b"state", False)) == []


def test_strays_of_what_nobody_reads_change_nothing(stream: Stream):
    with raw_peer(stream.address, "SUB") as stray:
        stray.say(b"\x00state")
        stray.say(b"\x00")
        stray.say(b"\x01spans")
        assert [change for change in stream.until((b"spans", True)) if change[1]] == []


def test_of_many_words_some_are_left_for_the_next_turn_and_none_is_lost(stream: Stream):
    with reading(stream, b"state"), raw_peer(stream.address, "SUB") as stray:
        for _ in range(5000):
            stray.say(b"\x01spans")
            stray.say(b"\x00state")
        stray.say(b"\x01end")
        assert set(stream.until((b"end", True))) == {(b"spans", True)}
        stray.say(b"\x00spans")
        assert stream.until((b"spans", False)) == []


def test_who_talks_more_than_a_reader_has_to_is_cut_off_and_told_of_once(over_tcp: Stream):
    publisher = over_tcp.publisher
    told: list[TurnedAway] = []

    def keep_house() -> None:
        publisher.keep_house()
        told.extend(publisher.subscriptions()[1])

    with reading(over_tcp, b"state") as reader, raw_peer(over_tcp.address, "SUB") as talker:
        for _ in range(15):
            talker.say_part(bytes((7,)) * (1 << 20))
        for _ in range(2 * PATIENCE):
            keep_house()
        assert told == []
        with contextlib.suppress(OSError):
            for _ in range(2):
                talker.say_part(bytes((7,)) * (1 << 20))
        by = time.monotonic() + PATIENCE_S
        while not told:
            assert time.monotonic() < by
            keep_house()
        assert talker.is_cut_off()
        for _ in range(2 * PATIENCE):
            keep_house()
        (one,) = told
        assert one.reason == "it sent more than 16 MiB, and readers have to read"
        assert one.address.startswith("127.0.0.1:")
        publisher.publish([b"state", b"goes on"])
        assert reader.poll(PATIENCE_S * 1000)


def test_nobody_is_turned_away_where_no_key_is_needed(stream: Stream):
    with reading(stream, b"state"), raw_peer(stream.address, "SUB"):
        for _ in range(2 * PATIENCE):
            stream.publisher.keep_house()
    assert stream.until((b"state", False)) == []
    assert stream.publisher.subscriptions()[1] == []
