import math
import os
from pathlib import Path
from typing import Any

import pytest

from scaler.client import config as config_module
from scaler.client.config import ClientConfig, client_config
from scaler.client.finding import Where
from scaler.errors import ConfigurationError


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
        ship_code=True,
        environment=dict(os.environ),
    )
    assert made.environment["SOME"] == "thing"
    assert (config().name, config().key_file) == ("", None)


def test_the_keys_of_a_scheduler_that_was_found_are_taken_unless_others_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_module, "find", lambda *_: Where("tcp://host:1", Path("its/keys")))
    assert config().key_file == Path("its/keys")
    assert config(key_file="mine").key_file == Path("mine")


def test_a_key_file_without_a_name_is_refused():
    with pytest.raises(ConfigurationError, match="key_file must name a file or a key directory, but is ''"):
        config(key_file="")


def test_no_scheduler_is_looked_for_if_anything_else_is_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config_module, "find", lambda *_: pytest.fail("looked for"))
    for wrong in ({"name": 5}, {"timeout_s": 0}, {"heartbeat_interval_s": -1}):
        with pytest.raises(ConfigurationError):
            config(None, **wrong)


@pytest.mark.parametrize("value", [0, -1, None, "x", float("nan")])
@pytest.mark.parametrize("argument", ["timeout", "heartbeat_interval"])
def test_times_are_numbers_above_zero(argument: str, value: object):
    with pytest.raises(ConfigurationError, match=f"{argument}_seconds must be a number of seconds above 0, "):
        config(**{f"{argument}_s": value})


def test_a_timeout_may_be_for_ever_and_a_heartbeat_may_not():
    assert config(timeout_s=math.inf).timeout_s == math.inf
    for interval_s in (1e9, math.inf):
        with pytest.raises(ConfigurationError, match=r"heartbeat_interval_seconds .* at most 3600, but is"):
            config(heartbeat_interval_s=interval_s)


@pytest.mark.parametrize("name", [5, b"x", "x" * 257, "two\nlines", "\udc80"])
def test_a_name_is_short_printable_text(name: object):
    with pytest.raises(ConfigurationError, match="name must be printable text of at most 256 characters") as raised:
        config(name=name)
    assert len(str(raised.value)) < 150


def test_where_large_values_lie_is_said_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert (config().store_limit_bytes, config().spill_folder) == (None, None)
    for text, limit in (("0", 0), ("500M", 500_000_000), (" 2Gi ", 2 << 30), ("", None)):
        monkeypatch.setenv("SCALER_OBJECT_STORE_LIMIT", text)
        assert config().store_limit_bytes == limit
    monkeypatch.setenv("SCALER_SPILL_DIR", str(tmp_path))
    assert config().spill_folder == tmp_path
    monkeypatch.setenv("SCALER_SPILL_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"SCALER_SPILL_DIR must name a folder, but is '.*nowhere'"):
        config()
    monkeypatch.setenv("SCALER_SPILL_DIR", "/proc")
    with pytest.raises(ConfigurationError, match=r"^SCALER_SPILL_DIR: /proc takes no files \(.*\): name another$"):
        config()
    monkeypatch.delenv("SCALER_SPILL_DIR")
    assert config().inline_bytes is None
    for text, size in (("1Ki", 1 << 10), (" 1M ", 1_000_000), ("64Mi", 64 << 20)):
        monkeypatch.setenv("SCALER_INLINE_LIMIT", text)
        assert (config().inline_bytes, config().elsewhere().inline_bytes) == (size, None)
    for text in ("1000", "1K", "65Mi", "some"):
        monkeypatch.setenv("SCALER_INLINE_LIMIT", text)
        with pytest.raises(ConfigurationError, match=rf"SCALER_INLINE_LIMIT must be a size from .*'{text}'"):
            config()
    monkeypatch.delenv("SCALER_INLINE_LIMIT")
    monkeypatch.setenv("SCALER_OBJECT_STORE_LIMIT", "much")
    with pytest.raises(ConfigurationError, match=r"SCALER_OBJECT_STORE_LIMIT must be 0 or a size such as .*'much'"):
        config()
