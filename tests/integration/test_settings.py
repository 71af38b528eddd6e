"""Where settings come from, as real commands take them: command line, environment, file, default, in this order."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import Place

FILE = """
key_file: {folder}/keys
worker:
  workers: 3
  threads: 2
  name: from-the-file
"""


@pytest.fixture
def file(place: Place) -> str:
    """A file with settings."""
    path = Path(place.path("scaler.yaml"))
    path.write_text(FILE.format(folder=place.folder), encoding="utf-8")
    return str(path)


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    place: Place, address: str, file: str, monkeypatch: pytest.MonkeyPatch
):
    place.start("scaler", "keygen", place.path("keys")).wait()
    monkeypatch.setenv("SCALER_WORKERS", "1")
    monkeypatch.setenv("SCALER_THREADS", "1")
    monkeypatch.setenv("SCALER_ADDRESS", address)
    worker = place.start("scaler", "worker", "--config", file, "-n", "2")
    assert "starting 2 workers" in worker.wait_for("ClusterProcess: starting")
    assert "threads=1" in worker.out
    assert "name=from-the-file" in worker.out


def test_config_show_tells_each_setting_and_where_it_comes_from(
    place: Place, file: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALER_CONFIG", file)
    monkeypatch.setenv("SCALER_THREADS", "4")
    shown = place.start("scaler", "config", "show")
    assert shown.wait() == 0
    assert [line for line in shown.out.splitlines() if not line.startswith(" ")] == ["scheduler:", "worker:"]
    told = place.start("scaler", "config", "show", "worker", "--json")
    assert told.wait() == 0
    ((section, settings),) = json.loads(told.out).items()
    assert section == "worker"
    found = {name: (one["value"], one["origin"]) for name, one in settings.items()}
    assert found["workers"] == (3, "file")
    assert found["threads"] == (4, "environment")
    assert found["key_file"] == (f"{place.folder}/keys", "file")
    assert found["grace"] == (0, "default")
    assert file in settings["workers"]["where"]
    assert settings["threads"]["where"] == "SCALER_THREADS"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("command", ["scaler", "scaler_scheduler", "scaler_worker"])
@pytest.mark.usefixtures("place")
def test_a_shell_is_told_how_to_complete_each_command(command: str, shell: str):
    program = Path(sys.executable).with_name(command)
    environment = os.environ | {f"_{command.upper()}_COMPLETE": f"{shell}_source"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, f"_{command.upper()}_COMPLETE={shell}_complete" in done.stdout) == (0, True), done
