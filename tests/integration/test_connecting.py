"""Clients and commands that cannot connect say why, in one clear line."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from scaler import Client
from scaler.errors import AddressError, ConfigurationError, DisconnectedError
from tests.integration.processes import Place

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def test_nobody_there_is_told_after_the_clients_patience(nobody: str, capfd: pytest.CaptureFixture[str]):
    begun = time.monotonic()
    with pytest.raises(DisconnectedError, match=f"no scheduler at {nobody} for 0.5 s .nobody listens there"):
        Client(address=nobody, timeout_seconds=0.5)
    assert 0.5 <= time.monotonic() - begun < 2.0
    assert capfd.readouterr() == ("", "")


def test_a_long_wait_is_told_on_stderr(nobody: str, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(DisconnectedError, match=f"no scheduler at {nobody} for 2.5 s"):
        Client(address=nobody, timeout_seconds=2.5)
    assert capfd.readouterr().err == f"scaler: waiting for a scheduler at {nobody} …\n"


def test_a_cluster_tells_whom_it_waits_for_and_in_the_end_whom_it_missed(place: Place, nobody: str):
    workers = place.start("scaler_worker", "-n", "1", "--death-timeout", "3", nobody)
    workers.wait_for(f"waiting for a scheduler at {nobody} (nobody listens there)")
    assert workers.wait() == 1
    assert workers.out.count("waiting for") == 1
    assert workers.out.endswith(f"ClusterProcess: ended, no scheduler for 3 s at {nobody} (nobody listens there)\n")


@pytest.mark.parametrize("words", [("-hi", "3e6"), ("--grace", "1e8"), ("--end-time", "1e15")])
def test_long_times_are_nothing_special(place: Place, words: tuple[str, ...]):
    workers = place.start("scaler_worker", "-n", "1", "-ds", "3e6", *words, "ipc://nobody")
    workers.wait_for("waiting for a scheduler")
    assert workers.end(signal.SIGINT) == 0
    assert workers.err == ""


@pytest.mark.parametrize(
    "words", [("worker", "-hi"), ("worker", "--grace"), ("scheduler", "-ct"), ("scheduler", "-wt")]
)
def test_times_beyond_ten_years_are_refused_in_one_line(place: Place, words: tuple[str, str]):
    command = place.start(f"scaler_{words[0]}", words[1], "1e9", "ipc://nobody")
    assert command.wait() == 2
    assert "up to ten years, not '1e9'" in command.err
    assert len(command.err.splitlines()) == 1


def test_somebody_else_at_the_address_is_told_too(silent: str):
    with pytest.raises(DisconnectedError, match=silent):
        Client(address=silent, timeout_seconds=1)


@pytest.mark.parametrize("address", ["tcp://no.such.host.invalid:8516", "ipc://nobody"])
def test_a_name_that_leads_nowhere_is_told(address: str):
    with pytest.raises(DisconnectedError, match=address.rpartition("/")[2]):
        Client(address=address, timeout_seconds=0.5)


@pytest.mark.parametrize(
    "address", ["", "nowhere", "http://127.0.0.1:80", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "ipc://"]
)
def test_what_is_no_address_is_refused_by_client_and_commands(place: Place, address: str):
    with pytest.raises(AddressError, match="is no address"):
        Client(address=address)
    scheduler, worker = place.start("scaler_scheduler", address), place.start("scaler_worker", "-n", "1", address)
    for command in (scheduler, worker):
        assert command.wait() == 2
        assert len(command.err.splitlines()) == 1
        assert "Traceback" not in command.err


def test_what_has_no_address_is_refused():
    with pytest.raises(ConfigurationError, match="int was given"):
        Client(address=8516)
    with pytest.raises(ConfigurationError, match="above 0"):
        Client(address="tcp://127.0.0.1:1", timeout_seconds=0)


def test_the_environment_names_the_scheduler(place: Place, monkeypatch: pytest.MonkeyPatch):
    _, address = place.scheduler()
    place.cluster(address, 1)
    monkeypatch.setenv("SCALER_ADDRESS", address.removeprefix("tcp://"))
    with Client() as client:
        assert client.submit(abs, -1).result() == 1


@pytest.mark.parametrize("words", [("-n", "-1"), ("-n", "many"), ("--threads", "0"), ("--no-such-option",)])
def test_options_that_cannot_be_used_are_told_in_one_line(place: Place, words: tuple[str, ...]):
    worker = place.start("scaler_worker", *words, "tcp://127.0.0.1:1")
    assert worker.wait() == 2
    assert len(worker.err.splitlines()) == 1
    assert words[0].lstrip("-") in worker.err


def test_a_client_in_a_forked_child_says_whose_it_is(place: Place):
    _, address = place.scheduler()
    place.cluster(address, 1)
    script = place.script(
        "import os, sys\nfrom scaler import Client\nclient = Client(address=sys.argv[1])\n"
        "client.submit(abs, -1).result()\npid = os.fork()\n"
        "if not pid:\n"
        "    try:\n        client.submit(abs, -1)\n"
        "    except Exception as error:\n        print(type(error).__name__, error, flush=True)\n"
        "    sys.exit(0)\n"
        "os.waitpid(pid, 0)\nprint(client.submit(abs, -2).result())\n",
        address,
    )
    assert script.wait() == 0, script.err
    told, answer = script.out.splitlines()
    assert told.startswith("ClientQuitException this client belongs to the parent")
    assert (answer, script.err) == ("2", "")
