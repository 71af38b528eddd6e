"""Durable work on real processes: clients and schedulers that are killed, and what of it is found again."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from scaler import Client
from scaler.cli.endings import ExitCode
from scaler.errors import ClientQuitException, DurableError
from scaler.net.keys import make_key_directory
from tests.integration.processes import PATIENCE_S, Command, Place, wait_until
from tests.integration.security_peers import own_key
from tests.integration.workloads import timed, work

NAME = "nightly"
#: submits, waits for the disk, says so, and stays
PROGRAM = """
import sys, time
from scaler import Client
from tests.integration.workloads import timed

address, name, runs, seconds = sys.argv[1:]
client = Client(address, durable=name)
of_map = client.map_async(timed, [(runs, number, float(seconds)) for number in range(20)])
alone = [client.submit(timed, runs, number, float(seconds)) for number in range(20, 25)]
client.flush()
print("on disk", flush=True)
time.sleep(1000)
"""


def scheduler_of(place: Place, address: str = "tcp://127.0.0.1:0") -> tuple[Command, str]:
    """A scheduler with a disk."""
    return place.scheduler(address, "--state-dir", place.path("state"))


def runs(place: Place) -> Counter[int]:
    return Counter(int(line.split()[0]) for line in place.lines("runs"))


def submit_and_die(place: Place, address: str, seconds: float = 0.05) -> None:
    """A program has submitted 25 tasks, and is killed."""
    root = str(Path(__file__).parents[2])
    text = f"import sys; sys.path.insert(0, {root!r})\n{PROGRAM}"
    program = place.script(text, address, NAME, place.path("runs"), str(seconds))
    program.wait_for("on disk")
    program.kill()


def test_a_client_that_was_killed_finds_its_tasks_in_order(place: Place):
    _, address = scheduler_of(place)
    submit_and_die(place, address)
    place.cluster(address, 2)
    with Client(address, durable=NAME) as client:
        futures = client.futures()
        assert client.gather(futures) == list(range(25))
        assert client.futures() == futures
    assert runs(place) == Counter(range(25))
    with Client(address, durable=NAME) as client:
        assert [future.result(PATIENCE_S) for future in client.futures()] == list(range(25))
    assert runs(place) == Counter(range(25))


def test_nothing_is_lost_or_run_again_when_the_scheduler_is_killed_too(place: Place):
    scheduler, address = scheduler_of(place)
    place.cluster(address, 2)
    submit_and_die(place, address)
    wait_until(lambda: len(runs(place)) > 5, "all are at work")
    scheduler.kill()
    scheduler_of(place, address)
    with Client(address, durable=NAME) as client:
        assert client.gather(client.futures()) == list(range(25))
    assert runs(place) == Counter(range(25))


def test_what_is_on_disk_needs_neither_a_cluster_nor_the_client(place: Place):
    scheduler, address = scheduler_of(place)
    submit_and_die(place, address)
    scheduler.kill()
    scheduler, _ = scheduler_of(place, address)
    scheduler.kill()
    scheduler_of(place, address)
    place.cluster(address, 2)
    with Client(address, durable=NAME) as client:
        assert client.gather(client.futures()) == list(range(25))


def test_a_client_outlives_its_scheduler(place: Place):
    scheduler, address = scheduler_of(place)
    place.cluster(address, 2)
    with Client(address, durable=NAME) as client:
        early = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(50)]
        assert early[0].acknowledged(PATIENCE_S)
        client.flush(PATIENCE_S)
        scheduler.kill()
        late = client.map_async(timed, [(place.path("runs"), number, 0.0) for number in range(50, 60)])
        with pytest.raises(TimeoutError, match="is not on disk after"):
            late.acknowledged(0.2)
        scheduler_of(place, address)
        assert late.acknowledged(PATIENCE_S)
        assert client.gather(early) + late.get(PATIENCE_S) == list(range(60))
    assert runs(place) == Counter(range(60))


def test_leaving_gives_nothing_up(place: Place):
    _, address = scheduler_of(place)
    with Client(address, durable=NAME) as client:
        left = client.submit(abs, -1)
    with pytest.raises(ClientQuitException):
        left.result(0)
    client = Client(address, durable=NAME)
    client.submit(abs, -2)
    del client
    place.cluster(address, 1)
    with Client(address, durable=NAME) as client:
        wait_until(lambda: len(client.futures()) == 2 or client.disconnect(), "both are there")
        assert client.gather(client.futures()) == [1, 2]


def test_two_clients_at_once_have_the_same_work(place: Place):
    _, address = scheduler_of(place)
    place.cluster(address, 2)
    with Client(address, durable=NAME) as one, Client(address, durable=NAME) as other:
        assert one.map(abs, [-1, -2]) == [1, 2]
        assert other.map(abs, [-3]) == [3]
        with Client(address, durable=NAME) as third:
            assert third.gather(third.futures()) == [1, 2, 3]


def test_all_ways_to_submit_are_durable(place: Place):
    _, address = scheduler_of(place)
    place.cluster(address, 2)
    with Client(address, durable=NAME) as client:
        first = client.submit(abs, -3)
        assert client.submit(pow, first, client.submit(abs, -2)).result(PATIENCE_S) == 9
        assert client.map(abs, range(-3, 0)) == [3, 2, 1]
        assert sorted(client.imap_unordered(abs, range(-100, 0))) == list(range(1, 101))
        assert client.map_async(sum, [[first, first]]).get(PATIENCE_S) == [6]
        assert client.get({"a": 2, "b": (pow, "a", "a")}, ["b"]) == {"b": 4}
        with pytest.raises(ZeroDivisionError):
            client.submit(divmod, 1, 0).result(PATIENCE_S)
    with Client(address, durable=NAME) as client:
        futures = client.futures()
        assert Counter(str(future.exception(PATIENCE_S)) for future in futures)["None"] == len(futures) - 1
        last = client.submit(pow, futures[0], 2)
        assert last.result(PATIENCE_S) == futures[0].result() ** 2


def test_large_values_come_back_by_value(place: Place):
    _, address = scheduler_of(place)
    place.cluster(address, 1)
    large = os.urandom(3 << 20)
    with Client(address, durable=NAME) as client:
        assert client.submit(bytes.upper, large).result(PATIENCE_S) == large.upper()
        again = client.submit(bytes.lower, client.submit(bytes.upper, large))
        assert again.result(PATIENCE_S) == large.lower().upper().lower()
        with pytest.raises(DurableError, match="pass the value itself"):
            client.send_object(large)
    with Client(address, durable=NAME) as client:
        assert large.upper() in client.gather(client.futures())


def test_what_is_cancelled_or_cleared_is_not_found_as_if_it_were_to_run(place: Place):
    _, address = scheduler_of(place)
    with Client(address, durable=NAME) as client:
        futures = [client.submit(timed, place.path("runs"), number, 0.0) for number in range(4)]
        client.flush(PATIENCE_S)
        client.cancel(futures[:2])
        client.flush(PATIENCE_S)
    place.cluster(address, 1)
    with Client(address, durable=NAME) as client:
        found = client.futures()
        assert [future.result(PATIENCE_S) for future in found[2:]] == [2, 3]
        wait_until(lambda: all(future.cancelled() for future in found[:2]), "they are cancelled")
        client.clear()
    wait_until(lambda: _is_empty(address), "nothing is left")
    assert runs(place) == Counter([2, 3])


def _is_empty(address: str) -> bool:
    with Client(address, durable=NAME) as client:
        return not client.futures()


def test_what_one_client_clears_is_cancelled_for_the_others(place: Place):
    _, address = scheduler_of(place)
    with Client(address, durable=NAME) as one, Client(address, durable=NAME) as other:
        waiting, of_map = one.submit(abs, -1), one.map_async(abs, [-1, -2])
        one.flush(PATIENCE_S)
        other.clear()
        wait_until(lambda: waiting.cancelled() and of_map.ready(), "both are cancelled")
        place.cluster(address, 1)
        assert one.submit(abs, -3).result(PATIENCE_S) == 3


def test_running_tasks_are_cancelled_by_who_has_found_them(place: Place):
    _, address = scheduler_of(place)
    place.cluster(address, 1)
    with Client(address, durable=NAME) as client:
        client.submit(work, place.path("runs"), 1, 1)
        wait_until(lambda: place.lines("runs"), "it runs")
    with Client(address, durable=NAME) as client:
        client.cancel(client.futures())
        assert client.submit(abs, -1).result(PATIENCE_S) == 1


def test_works_are_listed_and_dropped_and_whoever_has_one_open_is_told(place: Place):
    _, address = scheduler_of(place)
    with Client(address, durable=NAME) as client:
        future = client.submit(abs, -1)
        client.flush(PATIENCE_S)
        listing = place.start("scaler", "durable", "list", address)
        assert listing.wait() == 0
        assert [line.split()[:3] for line in listing.out.splitlines()] == [
            ["name", "unfinished", "ended"],
            [NAME, "1", "0"],
        ]
        [facts] = json.loads(_out(place.start("scaler", "durable", "list", "--json")))
        assert (facts["name"], facts["unfinished"], facts["ended"], facts["problem"]) == (NAME, 1, 0, "")
        unknown = place.start("scaler", "durable", "drop", "nightlx", address)
        assert (unknown.wait(), unknown.out, unknown.err.count("\n")) == (ExitCode.FAILED, "", 1)
        assert "'nightlx'" in unknown.err
        assert _out(place.start("scaler", "durable", "drop", NAME)).startswith(f"dropped the durable work {NAME}")
        with pytest.raises(DurableError, match="was dropped"):
            future.result(PATIENCE_S)
    assert _out(place.start("scaler", "durable", "list")) == "there are no durable works\n"
    with Client(address, durable=NAME) as client:
        assert client.futures() == []


def _out(command: Command) -> str:
    assert command.wait() == 0, command.err
    return command.out


def test_a_work_belongs_to_the_key_that_has_opened_it(place: Place):
    keys = place.folder / "keys"
    make_key_directory(keys)
    other = own_key(keys, "client", "ann")
    _, address = place.scheduler("tcp://127.0.0.1:0", "--state-dir", place.path("state"), "--key-file", str(keys))
    with Client(address, durable=NAME, key_file=keys / "client.key") as client:
        client.submit(abs, -1)
        client.flush(PATIENCE_S)
        with pytest.raises(DurableError, match=r"belongs to another key$"):
            Client(address, durable=NAME, key_file=other)
        drop = place.start("scaler", "durable", "drop", NAME, address, "--key-file", str(other))
        assert (drop.wait(), drop.err.count("\n")) == (ExitCode.FAILED, 1)
        listing = place.start("scaler", "durable", "list", address, "--key-file", str(other))
        assert _out(listing) == "there are no durable works\n"
    with Client(address, durable=NAME, key_file=keys / "client.key") as client:
        assert len(client.futures()) == 1


def test_ctrl_c_in_a_map_leaves_its_tasks_alone(place: Place):
    _, address = scheduler_of(place)
    text = f"from scaler import Client\nClient({address!r}, durable={NAME!r}).map(abs, range(-9, 0))\n"
    program = place.script(text)
    wait_until(lambda: _unfinished(place) == 9, "all are submitted")
    program.end(signal.SIGINT)
    place.cluster(address, 1)
    with Client(address, durable=NAME) as client:
        assert client.gather(client.futures()) == list(range(9, 0, -1))


def _unfinished(place: Place) -> int:
    works = json.loads(_out(place.start("scaler", "durable", "list", "--json")))
    return sum(work["unfinished"] for work in works)
