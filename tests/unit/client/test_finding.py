"""Where a client connects: what it is told comes before what is found, and that before what is started."""

import os
from pathlib import Path

import pytest

from scaler.client import finding
from scaler.client.finding import Where, find
from scaler.cluster import own
from scaler.errors import ConfigurationError
from scaler.net.connection_file import SchedulerFacts, write_connection_file


class Combo:
    def get_address(self) -> Path:
        return Path("tcp:/host:1")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(own, "own_cluster", lambda: ("ipc:///own", 2))
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_what_is_told_counts(environment: dict[str, str]):
    environment["SCALER_ADDRESS"] = "tcp://other:2"
    assert find("tcp://host:1", environment) == Where("tcp://host:1")
    assert find(Combo(), environment) == Where("tcp:/host:1")


def test_an_address_that_is_none_is_named_by_its_type(environment: dict[str, str]):
    with pytest.raises(ConfigurationError, match=r"address is text or has get_address\(\), but int was given"):
        find(8516, environment)


def test_then_the_environment_then_a_scheduler_that_runs_then_one_of_our_own(
    environment: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    assert find(None, environment | {"SCALER_ADDRESS": ""}) == Where("ipc:///own")
    told = "scaler: no scheduler was found: started one with 2 workers at ipc:///own, which end with this process\n"
    assert capfd.readouterr() == ("", told)
    write_connection_file(SchedulerFacts("tcp://127.0.0.1:1", os.getpid(), ""), environment)
    assert find(None, environment) == Where("tcp://127.0.0.1:1")
    write_connection_file(SchedulerFacts("tcp://127.0.0.1:1", os.getpid(), "/srv/keys"), environment)
    assert find(None, environment) == Where("tcp://127.0.0.1:1", Path("/srv/keys"))
    assert find(None, environment | {"SCALER_ADDRESS": "host:3"}) == Where("host:3")
    assert capfd.readouterr() == ("", "")


def test_one_of_our_own_is_told_of_once(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(own, "own_cluster", lambda: ("ipc:///own", 0))
    assert find(None, environment) == Where("ipc:///own")
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(own, "own_cluster", lambda: ("ipc:///own", 1))
    find(None, environment)
    assert "started one with 1 worker at" in capfd.readouterr().err


def test_where_no_scheduler_runs_it_is_said_what_to_do(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finding.sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match=r"pass Client\('tcp://host:port'\) or set SCALER_ADDRESS"):
        find(None, environment)
