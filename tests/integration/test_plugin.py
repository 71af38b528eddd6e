"""The fixtures of `scaler.testing.plugin`, in test files such as users write, which a pytest of their own runs."""

import importlib.metadata
import os
import signal
import subprocess
import sys

import pytest

from tests.integration.processes import Command, Place, wait_until

USERS = """
import os
import time

import numpy as np
import pytest

import scaler

HERE = os.getpid()
LIMIT = 10


def over(value):
    return value > LIMIT


def where():
    return os.getpid()


@pytest.fixture
def is_near(request):
    return request.config.getoption("--scaler-in-process")


def test_answers(scaler_client, is_near):
    assert scaler_client.map(over, [1, 11]) == [False, True]
    assert isinstance(scaler_client, scaler.Client)
    assert (scaler_client.submit(where).result() == HERE) is is_near


@pytest.mark.parametrize("n", range(3))
def test_leaves_much_undone(scaler_client, n):
    big = [scaler_client.submit(np.ones, 100_000) for _ in range(3)]
    futures = [scaler_client.submit(time.sleep, 600) for _ in range(20)]
    time.sleep(0.8)


def test_is_not_disturbed(scaler_client):
    assert scaler_client.submit(over, 11).result(timeout=30)


def test_leaves(scaler_client):
    scaler_client.disconnect()


def test_has_the_cluster(scaler_cluster, is_near, monkeypatch):
    monkeypatch.setenv("SCALER_ADDRESS", scaler_cluster.get_address())
    with scaler.Client() as client, scaler.Client(scaler_cluster) as other:
        assert client.submit(where).result() == other.submit(where).result() or not is_near


def test_may_patch(scaler_client, is_near, monkeypatch):
    monkeypatch.setattr("test_users.LIMIT", 100)
    assert scaler_client.submit(over, 11).result() is not is_near
"""
STOPS = """
import os

def stops(value):
    there = os.getpid()
    breakpoint()
    return value


def test_stops(scaler_client):
    assert scaler_client.submit(stops, 2).result() == 3
"""
LOOKS = """
import time

def test_looks(scaler_client):
    future = scaler_client.submit(abs, -1)
    breakpoint()
    assert not future.done()
    assert future.result() == 1
"""
WAITS = """
import time

def test_waits(scaler_client):
    scaler_client.submit(abs, -1).result()
    future = scaler_client.submit(time.sleep, 600)
    print("now", flush=True)
    future.result()
"""
UNUSED = """
import sys

def test_nothing_is_loaded():
    loaded = [name for name in sys.modules if name.startswith("scaler.")]
    assert set(loaded) <= {"scaler.testing", "scaler.testing.plugin"}, loaded
"""
#: where it is not installed, such as in a worktree, it has to be named
NAMED = () if importlib.metadata.entry_points(group="pytest11", name="scaler") else ("-p", "scaler.testing.plugin")


def users_pytest(place: Place, content: str, *options: str) -> list[str]:
    """The words by which the users' tests run."""
    (place.folder / "test_users.py").write_text(content, encoding="utf-8")
    (place.folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    plain = ("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider", "--rootdir", str(place.folder))
    return ["-m", "pytest", *NAMED, *plain, *options, str(place.folder)]


def run(place: Place, content: str, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *users_pytest(place, content, *options)]
    return subprocess.run(words, input=typed, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    "options",
    [(), ("--scaler-in-process",), ("-n", "2"), ("-n", "2", "--scaler-in-process"), ("--scaler-workers", "1")],
    ids=" ".join,
)
def test_tests_of_users_run_on_a_cluster_and_in_process(place: Place, options: tuple[str, ...]):
    done = run(place, USERS, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 8 passed" in done.stdout
    place.wait_empty()
    assert place.run_files() == [] or all("keys" in str(path) for path in place.run_files())


def test_the_debugger_stops_in_a_task_that_runs_in_process(place: Place):
    typed = "p 'there', there\np __import__('os').getpid() == there\nvalue = value + 1\ncontinue\n"
    done = run(place, STOPS, "--scaler-in-process", "-s", typed=typed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "('there', " in done.stdout
    assert "(Pdb) True" in done.stdout
    assert " 1 passed" in done.stdout


def test_nothing_begins_by_itself_while_a_debugger_is_at_its_prompt(place: Place):
    done = run(place, LOOKS, "--scaler-in-process", "-s", typed="time.sleep(2)\np future.done()\ncontinue\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(Pdb) False" in done.stdout


def test_whoever_does_not_use_it_loads_nothing(place: Place):
    done = run(place, UNUSED)
    assert done.returncode == 0, done.stdout + done.stderr


def test_fixtures_and_options_are_told(place: Place):
    told = run(place, UNUSED, "--fixtures").stdout
    assert "scaler_client" in told
    assert "scaler_cluster [session scope]" in told
    assert "--scaler-in-process" in run(place, UNUSED, "--help").stdout


@pytest.mark.parametrize("options", [(), ("--scaler-in-process",)], ids=" ".join)
def test_ctrl_c_ends_the_tests_and_leaves_nothing(place: Place, options: tuple[str, ...]):
    command: Command = place.start("python", *users_pytest(place, WAITS, "-s", *options))
    wait_until(lambda: "now" in command.out or command.process.poll() is not None, lambda: command.out + command.err)
    assert command.end(signal.SIGINT) == pytest.ExitCode.INTERRUPTED, command.out + command.err
    place.wait_empty()


def test_a_test_run_that_is_killed_leaves_nothing(place: Place):
    command = place.start("python", *users_pytest(place, WAITS, "-s"))
    wait_until(lambda: "now" in command.out or command.process.poll() is not None, lambda: command.out + command.err)
    os.kill(command.pid, signal.SIGKILL)
    place.wait_empty()
