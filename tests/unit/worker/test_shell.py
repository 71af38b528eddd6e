"""What a cluster tells of how it was started."""

from pathlib import Path

import pytest

from scaler.net.addresses import parse_address
from scaler.storage import places
from scaler.worker import shell
from scaler.worker.config import WorkerClusterConfig
from scaler.worker.poller import Poller


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="scaler.worker")
    return caplog


@pytest.mark.parametrize(("room_bytes", "given", "count"), [(0, None, 1), (1 << 30, None, 0), (0, 0, 0)])
def test_too_little_memory_for_large_values_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heard: pytest.LogCaptureFixture,
    room_bytes: int,
    given: int | None,
    count: int,
):
    monkeypatch.setattr(places, "default_limit_bytes", lambda: room_bytes)
    shell._stores(WorkerClusterConfig(address="", workers=1, object_store_limit_bytes=given, spill_folder=tmp_path))
    text = "alone: less than 512 MiB are free in /dev/shm, or for this cgroup"
    assert heard.messages == [f"ClusterProcess: large values lie on disk ({tmp_path}) {text}"] * count


@pytest.mark.parametrize(("port", "count"), [(7000, 1), (0, 0), (None, 0)])
def test_a_port_that_nobody_asks_at_is_told(heard: pytest.LogCaptureFixture, port: int | None, count: int):
    poller = Poller()
    config = WorkerClusterConfig(address="", workers=1, peer_port=port)
    shell._peers(config, parse_address("tcp://127.0.0.1:1", {}), poller).close()
    poller.close()
    text = "the scheduler is on this machine, and so are all clusters"
    assert heard.messages == [f"ClusterProcess: --peer-port is not used: {text}"] * count
