"""`Client()` without an address: what it finds, what it starts, and what is left of that."""

import contextlib
import os
import signal

import pytest

from scaler import Client, SchedulerClusterCombo
from tests.integration.processes import EXIT_S, STOP_S, Place

STARTED = "scaler: no scheduler was found: started one with "

ONE_LINE = """
from scaler import Client
client = Client()
print(client.map(abs, [-1, -2]), client.submit(pow, 2, 5).result())
"""

STAYS = """
import sys, time
from scaler import Client
client = Client()
print(client.submit(abs, -1).result(), flush=True)
sys.stdin.readline() if len(sys.argv) > 1 else time.sleep(1000)
"""


def test_one_line_is_enough_and_nothing_is_left_of_it(place: Place):
    script = place.script(ONE_LINE)
    assert script.wait() == 0, script.err
    assert script.out == "[1, 2] 32\n"
    assert script.err.startswith(STARTED)
    assert len(script.err.splitlines()) == 1
    place.wait_empty(STOP_S)
    assert place.run_files() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_process_however_that_ends(place: Place, number: signal.Signals):
    script = place.script(STAYS)
    script.wait_for("1")
    assert len(place.below(script.pid)) >= 3
    script.send(number)
    script.wait(EXIT_S)
    place.wait_empty(STOP_S)


def test_a_socket_that_a_killed_scheduler_left_behind_is_swept_by_the_next(place: Place):
    script = place.script(STAYS)
    script.wait_for("1")
    for pid in [*place.below(script.pid), script.pid]:
        with contextlib.suppress(ProcessLookupError):  # workers do not outlive their cluster
            os.kill(pid, signal.SIGKILL)
    place.wait_empty(STOP_S)
    assert any(path.name.startswith("own-") for path in place.run_files())
    again = place.script(ONE_LINE)
    assert again.wait() == 0, again.err
    assert place.run_files() == []


SEVERAL = """
from scaler import Client
first, second = Client(), Client()
assert repr(first) == repr(second)
with first:
    assert first.submit(abs, -1).result() == 1
assert second.submit(abs, -2).result() == 2
second.shutdown()
with Client() as third:
    assert third.submit(abs, -3).result() == 3
print("done")
"""


def test_all_clients_of_a_process_share_it_and_after_a_shutdown_there_is_another(place: Place):
    script = place.script(SEVERAL)
    assert (script.wait(), script.out) == (0, "done\n"), script.err
    assert [line.startswith(STARTED) for line in script.err.splitlines()] == [True, True]


def test_another_process_does_not_find_it(place: Place):
    first = place.script(STAYS)
    first.wait_for("1")
    second = place.script(ONE_LINE)
    assert second.wait() == 0, second.err
    assert second.err.startswith(STARTED)
    first.end()


FORKED = """
import os, sys
from scaler import Client
client = Client()
client.submit(abs, -1).result()
pid = os.fork()
if not pid:
    print(Client().submit(abs, -2).result(), flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(client.submit(abs, -3).result(), Client().submit(abs, -4).result())
"""


def test_a_forked_child_has_one_of_its_own_and_leaves_its_parents_alone(place: Place):
    script = place.script(FORKED)
    assert (script.wait(), script.out) == (0, "2\n3 4\n"), script.err
    assert script.err.count(STARTED) == 2


def test_a_scheduler_that_runs_is_found(place: Place, capfd: pytest.CaptureFixture[str]):
    _, address = place.scheduler()
    place.cluster(address, 1)
    with Client() as client:
        assert address in repr(client)
        assert client.submit(abs, -1).result() == 1
    assert capfd.readouterr().err == ""


def test_a_scheduler_with_keys_of_its_own_is_found_with_them(place: Place):
    place.start("scaler", "keygen", place.path("keys")).wait()
    _, address = place.scheduler("tcp://127.0.0.1:0", "--key-file", place.path("keys"))
    place.cluster(address, 1, "--key-file", place.path("keys"))
    with Client() as client:
        assert client.submit(abs, -1).result() == 1


def test_a_private_scheduler_serves_those_who_know_its_address(place: Place):
    _, public = place.scheduler()
    _, private = place.scheduler("tcp://127.0.0.1:0", "--private")
    place.cluster(private, 1)
    with Client() as client:
        assert public in repr(client)
    with Client(private) as client:
        assert client.submit(abs, -1).result() == 1


def test_what_the_environment_names_comes_before_what_is_found(place: Place, monkeypatch: pytest.MonkeyPatch):
    _, named = place.scheduler()
    place.scheduler()
    monkeypatch.setenv("SCALER_ADDRESS", named)
    with Client() as client:
        assert named in repr(client)


@pytest.mark.usefixtures("place")
def test_an_address_needs_no_scheme():
    with SchedulerClusterCombo(1) as cluster:
        address = cluster.get_address().removeprefix("tcp://")
        with Client(address) as client:
            assert client.submit(abs, -1).result() == 1


class Handle:
    """Something that knows where a scheduler is."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_address(self) -> str:
        return self._address


@pytest.mark.usefixtures("place")
def test_anything_with_an_address_may_stand_for_it():
    with SchedulerClusterCombo(1) as cluster:
        for given in (cluster, Handle(cluster.get_address())):
            with Client(given) as client:
                assert client.submit(abs, -1).result() == 1


ONLY_HELD_BY_THE_CLIENT = """
import gc
from scaler import Client, SchedulerClusterCombo
client = Client(SchedulerClusterCombo(1))
gc.collect()
print(client.map(abs, [-1, -2]))
"""


def test_a_cluster_that_only_the_client_holds_lives_as_long_as_that(place: Place):
    script = place.script(ONLY_HELD_BY_THE_CLIENT)
    assert (script.wait(), script.out, script.err) == (0, "[1, 2]\n", "")
    place.wait_empty(STOP_S)
