"""Every option of a worker cluster shows its effect on real processes; those of memory, GPUs and code on their own."""

import os
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from scaler import Client
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import timed


@pytest.fixture
def address(place: Place) -> str:
    return place.scheduler()[1]


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address=address) as client:
        yield client


def module(place: Place, name: str, text: str) -> None:
    """A module in the folder of this place."""
    Path(place.path(f"{name}.py")).write_text(text, encoding="utf-8")


# ---- --preload

SETUP = """
import os, sys
ready = []
def begin(*args, **kwargs):
    ready.append((args, kwargs))
def once(path):
    with open(path, "x"):
        pass
class Model:
    @classmethod
    def load(cls):
        ready.append("loaded")
"""


def preloaded() -> object:
    """What the module that was preloaded here has of its function."""
    return sys.modules["setting"].ready if "setting" in sys.modules else None  # type: ignore[attr-defined]  # the test's own


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("setting:begin", [((), {})]),
        ("setting:begin('a', k=[1, 2])", [(("a",), {"k": [1, 2]})]),
        ("setting:Model.load", ["loaded"]),
    ],
)
def test_preload_calls_a_function_once_in_every_worker_before_its_first_task(
    place: Place, address: str, client: Client, call: str, expected: object
):
    module(place, "setting", SETUP)
    place.cluster(address, 2, "--python-path", str(place.folder), "--preload", call)
    found = client.map(lambda _: (os.getpid(), preloaded(), time.sleep(0.05)), range(8))
    assert len({pid for pid, _, _ in found}) == 2
    assert all(ready == expected for _, ready, _ in found)


def test_a_worker_takes_no_task_before_its_preload_is_done(place: Place, address: str, client: Client):
    module(place, "slow", "import time\ndef begin(): time.sleep(1.5)")
    slow = place.cluster(address, 1, "--python-path", str(place.folder), "--preload", "slow:begin")
    place.cluster(address, 1, "--name", "quick")
    begun = time.monotonic()
    client.map(abs, range(-20, 0))
    assert time.monotonic() - begun < 1.4
    slow.wait_for("Worker[0] started")


def test_a_preload_that_fails_everywhere_ends_the_cluster_and_says_why(place: Place, address: str):
    module(place, "broken", "def begin(): raise ValueError('no such model')")
    command = place.start(
        "scaler_worker", "-n", "2", "--python-path", str(place.folder), "--preload", "broken:begin", address
    )
    assert command.wait() == 2
    assert "no worker could be started: --preload broken:begin: ValueError: no such model" in command.out
    assert "Traceback" in command.err


def test_a_preload_that_cannot_be_read_is_told_before_anything_starts(place: Place, address: str):
    command = place.start("scaler_worker", "--preload", "no-module:f", address)
    assert command.wait() == 2
    assert command.err.startswith("scaler_worker: --preload: expected module:function or")


# ---- --max-tasks-per-worker


@pytest.mark.parametrize("threads", [1, 2])
def test_no_worker_runs_more_tasks_than_it_may(place: Place, address: str, client: Client, threads: int):
    place.cluster(address, 2, "--max-tasks-per-worker", "5", "--threads", str(threads))
    pids = client.map(lambda _: os.getpid(), range(200))
    counts = [pids.count(pid) for pid in set(pids)]
    assert max(counts) <= 5
    assert len(counts) >= 40
    wait_until(lambda: len(place.processes()) == 5, place.described)  # scheduler, cluster, zygote and two workers


def test_a_worker_that_retires_is_replaced_without_a_gap(place: Place, address: str, client: Client):
    module(place, "slow", "import time\ndef begin(): time.sleep(0.3)")
    place.cluster(
        address, 1, "--max-tasks-per-worker", "2", "--python-path", str(place.folder), "--preload", "slow:begin"
    ).wait_for("Worker[0] started")
    for number in range(8):
        client.submit(timed, place.path("runs"), number, 0.5).result()
    begun = [float(line.split()[2]) for line in place.lines("runs")]
    pids = [line.split()[1] for line in place.lines("runs")]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2, 2]
    gaps = [later - earlier - 0.5 for earlier, later in pairwise(begun)]
    assert sorted(gaps)[-2] < 0.25  # else each of the three would be as long as a preload


# ---- threads of numeric libraries


def thread_limits() -> list[str | None]:
    """What numeric libraries find here."""
    return [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")]


def test_numeric_libraries_are_limited_to_the_threads_of_a_worker(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "3")
    assert client.submit(thread_limits).result() == ["3"] * 4


def test_a_limit_that_the_user_has_set_stays(
    place: Place, address: str, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    place.cluster(address, 1, "--threads", "3")
    assert client.submit(thread_limits).result() == ["7", "5", "7", "7"]
