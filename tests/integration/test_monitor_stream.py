"""The monitor stream as its readers see it: snapshots, changes and span events, and nothing while nobody listens."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from scaler import Client
from scaler.net.keys import read_key_file
from scaler.scheduler.stream import DELTA_EVERY_S
from tests.contract.zmtp import raw_peer
from tests.integration.processes import PATIENCE_S, ROOT, Command, Place, wait_until

Message = tuple[str, str, int, float, Any]  # Any: whatever a table holds


class Reader:
    """Somebody who listens to some topics."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket

    def next(self) -> Message:
        """Topic, kind, number, seconds and body of the next message."""
        assert self._socket.poll(PATIENCE_S * 1000), "nothing was published"
        return self._read()

    def until(self, kind: str) -> Message:
        """The next message of this kind."""
        while (message := self.next())[1] != kind:
            pass
        return message

    def is_silent(self, seconds: float) -> bool:
        return not self._socket.poll(seconds * 1000)

    def _read(self) -> Message:
        topic, body = self._socket.recv_multipart()
        kind, number, seconds, content = msgspec.msgpack.decode(body, strict=False)
        return topic.decode(), kind, number, seconds, content


@contextlib.contextmanager
def reading(address: str, *topics: str, key_file: Path | None = None) -> Iterator[Reader]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        if key_file is not None:
            key = read_key_file(key_file)
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = key.public, key.secret, key.server
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(address)
        yield Reader(socket)


def monitor_of(scheduler: Command) -> str:
    return scheduler.wait_for("monitor address is ").rpartition(" ")[2]


def changed(tables: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What a reader that had these tables makes of the changes."""
    made = {name: dict(rows) for name, rows in tables.items()}
    for name, rows in changes.items():
        made.setdefault(name, {}).update(rows)
        made[name] = {key: row for key, row in made[name].items() if row is not None}
    return made


def without_readings(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables without what changes by itself."""
    clusters = {name: row | {"statistics": None} for name, row in tables["clusters"].items()}
    return tables | {"scheduler": {}, "clusters": clusters}


def test_a_reader_has_the_whole_state_first_and_then_what_changes_without_a_gap(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2, "--name", "here", "--tag", "gpu")
    with reading(monitor_of(scheduler), "state") as reader:
        topic, kind, number, _, tables = reader.next()
        assert (topic, kind) == ("state", "snapshot")
        assert tables["scheduler"]["self"]["pid"] == scheduler.pid
        assert tables["clients"] == {}
        with Client(address, name="me") as client:
            assert client.map(abs, range(-100, 0)) == list(range(100, 0, -1))
            name = client.identity.hex()
            idle = {"name": "me", "role": "client", "batches": 0, "tasks": 0}
            while tables["clients"].get(name) != idle:
                _, kind, following, _, body = reader.next()
                assert following == number + 1
                number = following
                tables = body if kind == "snapshot" else changed(tables, body)
        while name in tables["clients"]:
            _, kind, _, _, body = reader.next()
            tables = body if kind == "snapshot" else changed(tables, body)
        (cluster,) = tables["clusters"].values()
        assert (cluster["name"], cluster["slots"], cluster["free"], cluster["tags"]) == ("here", 2, 2, ["gpu"])
        assert tables["moves"]["assigned succeed"] + tables["moves"].get("running succeed", 0) == 100
        assert set(tables["tasks"].values()) == {0}
        # a reader that comes later has all of it at once, and so has everybody else
        with reading(monitor_of(scheduler), "state") as other:
            whole = other.until("snapshot")
            assert without_readings(whole[4]) == without_readings(tables)


def test_every_move_of_every_task_is_told_to_who_listens_to_spans(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    with reading(monitor_of(scheduler), "spans") as reader, Client(address) as client:
        _until_heard(reader, client)
        assert client.map(abs, range(50)) == list(range(50))
        owner = int.from_bytes(client.identity, "big")
        moves: Counter[tuple[str, str]] = Counter()
        batches: Counter[int] = Counter()
        numbers = []
        while moves["done", "gone"] < 50:
            topic, kind, number, _, events = reader.next()
            assert (topic, kind) == ("spans", "spans")
            numbers.append(number)
            for who, n, lo, hi, before, after, peer in events:
                assert who == owner
                assert (peer != 0) is (after not in ("queued", "gone"))
                batches[n] += 1
                if n == max(batches):
                    moves[before, after] += hi - lo
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert moves["", "queued"] == moves["queued", "assigned"] == 50
    assert moves["assigned", "done"] + moves["running", "done"] == 50


def _until_heard(reader: Reader, client: Client) -> None:
    """The subscription has arrived once there is something to hear; and all of that has been heard."""
    wait_until(lambda: client.submit(abs, 1).result() == 1 and not reader.is_silent(0.01), "spans are told")
    while not reader.is_silent(0.3):
        reader.next()


@pytest.mark.parametrize("role", ["client", "operator"])
def test_over_tcp_it_is_read_with_the_key_of_a_client_or_an_operator(place: Place, role: str):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--monitor-address", "tcp://127.0.0.1:0")
    place.cluster(address, 1)
    keys = place.folder / "c" / "scaler" / "keys"
    with reading(monitor_of(scheduler), "state", key_file=keys / f"{role}.key") as reader:
        assert reader.next()[1] == "snapshot"


def test_over_tcp_nothing_is_told_to_a_worker_or_to_who_has_no_key(place: Place):
    scheduler, _ = place.scheduler("tcp://127.0.0.1:0", "--monitor-address", "tcp://127.0.0.1:0")
    keys = place.folder / "c" / "scaler" / "keys"
    monitor = monitor_of(scheduler)
    with (
        reading(monitor, "", key_file=keys / "worker.key") as worker,
        reading(monitor, "") as stranger,
        reading(monitor, "", key_file=keys / "client.key") as client,
    ):
        assert client.next()[1] == "snapshot"
        line = scheduler.wait_for("reason='a worker key may not enter here' socket=monitor")
        assert ": refused address=127.0.0.1:" in line
        assert worker.is_silent(0.0)
        assert stranger.is_silent(0.0)


def test_a_reader_whose_key_is_taken_back_reads_no_more_and_the_others_read_on(place: Place):
    scheduler, address = place.scheduler("ipc://here", "--monitor-address", "tcp://127.0.0.1:0")
    place.cluster(address, 1)
    keys = place.folder / "c" / "scaler" / "keys"
    monitor = monitor_of(scheduler)
    with (
        reading(monitor, "state", key_file=keys / "operator.key") as operator,
        reading(monitor, "state", key_file=keys / "client.key") as client,
        Client(address),
    ):
        operator.until("snapshot")
        client.until("snapshot")
        (keys / "authorized" / "operator.pub").unlink()
        line = scheduler.wait_for("reason='its key is not authorised' socket=monitor")
        assert ": refused address=127.0.0.1:" in line
        client.until("snapshot")
        while not operator.is_silent(0.0):
            operator.next()
        client.next()
        client.next()
        assert operator.is_silent(0.0)


#: a scheduler that writes down whenever it looks at its tables, and whenever it publishes
NOTED = """
import sys
sys.path.insert(0, sys.argv.pop(1))
path = sys.argv.pop(1)
from scaler.net.publisher import ZmqPublisher
from scaler.scheduler import shell

def noted(what, call):
    def noting(*arguments):
        with open(path, "a") as file:
            file.write(what + "\\n")
        return call(*arguments)
    return noting

shell.core_tables = noted("computed", shell.core_tables)
ZmqPublisher.publish = noted("published", ZmqPublisher.publish)
from scaler.cli.main import main
main()
"""


def test_nothing_is_computed_or_published_while_nobody_listens(place: Place):
    scheduler = place.script(NOTED, str(ROOT), place.path("noted"), "scheduler", "tcp://127.0.0.1:0")
    address = scheduler.wait_for("listening on ").rpartition(" ")[2]
    place.cluster(address, 1)
    with Client(address) as client:
        client.map(abs, range(1000))
        wait_until_later(1.5 * DELTA_EVERY_S)
        assert place.lines("noted") == []
        with reading(monitor_of(scheduler), "") as reader:
            reader.until("snapshot")
            client.map(abs, range(1000))
            reader.until("spans")
        assert set(place.lines("noted")) == {"computed", "published"}
        settled = _settled(place)
        client.map(abs, range(1000))
        wait_until_later(1.5 * DELTA_EVERY_S)
        assert len(place.lines("noted")) == settled


def test_who_unsubscribes_from_what_it_never_read_ends_it_for_nobody_else(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 1)
    monitor = monitor_of(scheduler)
    with reading(monitor, "state") as reader, raw_peer(monitor, "SUB") as stray, Client(address):
        reader.until("snapshot")
        for _ in range(3):
            stray.say(b"\x00state")
            for _ in range(2):  # the numbers of tasks and messages change with every second
                assert reader.next()[0] == "state"


def test_nothing_is_computed_for_readers_that_stay_and_have_unsubscribed(place: Place):
    scheduler = place.script(NOTED, str(ROOT), place.path("noted"), "scheduler", "tcp://127.0.0.1:0")
    scheduler.wait_for("listening on ")
    monitor = monitor_of(scheduler)
    with raw_peer(monitor, "SUB") as one, raw_peer(monitor, "SUB") as other:
        for peer in (one, other):
            peer.say(b"\x01state")
        wait_until(lambda: place.lines("noted"), "somebody is heard")
        for peer in (one, other, one):
            peer.say(b"\x00state")
        settled = _settled(place)
        wait_until_later(1.5 * DELTA_EVERY_S)
        assert len(place.lines("noted")) == settled


def _settled(place: Place) -> int:
    """How many lines there are once the scheduler has heard that the reader left."""
    seen = [-1]

    def is_settled() -> bool:
        before, seen[0] = seen[0], len(place.lines("noted"))
        wait_until_later(1.5 * DELTA_EVERY_S)
        return before == seen[0]

    wait_until(is_settled, "the scheduler has heard that nobody listens any more")
    return seen[0]


def wait_until_later(seconds: float) -> None:
    """Give something that must not happen the time to happen."""
    with contextlib.suppress(zmq.Again), zmq.Context() as context, context.socket(zmq.PULL) as nothing:
        nothing.poll(seconds * 1000)
