import os
from pathlib import Path
from typing import Any

import pytest

from scaler.client.config import ClientConfig, client_config
from scaler.errors import ConfigurationError


class Combo:
    def get_address(self) -> Path:
        return Path("tcp:/host:1")


def config(address: object = "tcp://host:1", **changed: Any) -> ClientConfig:
    settings = {"name": None, "timeout_s": 60.0, "heartbeat_interval_s": 2.0, "key_file": None, **changed}
    return client_config(address, **settings)


def test_what_the_caller_says_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME", "thing")
    made = config(name="notebook", timeout_s=5, key_file="keys/client.key")
    assert made == ClientConfig(
        address="tcp://host:1",
        name="notebook",
        timeout_s=5,
        heartbeat_interval_s=2.0,
        key_file=Path("keys/client.key"),
        insecure=False,
        insecure_off_loopback=False,
        environment=dict(os.environ),
    )
    assert made.environment["SOME"] == "thing"
    assert (config().name, config().key_file) == ("", None)


def test_an_address_may_come_of_whatever_has_one():
    assert config(Combo()).address == "tcp:/host:1"


def test_without_an_address_the_environment_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALER_ADDRESS", "tcp://other:2")
    assert config(None).address == "tcp://other:2"
    assert config("tcp://host:1").address == "tcp://host:1"


@pytest.mark.parametrize("value", [None, ""])
def test_without_any_address_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, value: str | None):
    if value is not None:
        monkeypatch.setenv("SCALER_ADDRESS", value)
    with pytest.raises(ConfigurationError, match=r"pass Client\('tcp://host:port'\) or set SCALER_ADDRESS"):
        config(None)


def test_an_address_that_is_none_is_named_by_its_type():
    with pytest.raises(ConfigurationError, match=r"address is text or has get_address\(\), but int was given"):
        config(8516)


@pytest.mark.parametrize("changed", [{"timeout_s": 0}, {"timeout_s": -1}, {"heartbeat_interval_s": 0}])
def test_times_are_above_zero(changed: dict[str, float]):
    with pytest.raises(ConfigurationError, match="timeout_seconds and heartbeat_interval_seconds must be above 0"):
        config(**changed)
