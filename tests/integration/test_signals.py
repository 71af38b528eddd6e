"""Signals that batch systems and terminals send: what ends a command ends it in order, and a reminder ends nothing."""

import operator
import os
import signal
import sys
from pathlib import Path

import pytest

from scaler import Client
from tests.integration.processes import STOP_S, Command, Place, is_alive, wait_until

REMINDERS = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM]

WITHOUT_HANGUPS = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_hangup_ends_a_scheduler_as_sigterm_does(place: Place):
    scheduler, _ = place.scheduler()
    assert place.run_files()
    assert scheduler.end(signal.SIGHUP, STOP_S) == 0
    assert "Scheduler: stopping, SIGHUP" in scheduler.out
    assert place.run_files() == []


def test_a_hangup_ends_a_cluster_as_sigterm_does(place: Place):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1)
    below = place.below(cluster.pid)
    assert cluster.end(signal.SIGHUP, STOP_S) == 0
    assert "ClusterProcess: stopping, SIGHUP" in cluster.out
    assert not any(map(is_alive, below))


def without_hangups(place: Place, *words: str) -> Command:
    """A command as `nohup` starts it."""
    path = str(Path(sys.executable).with_name(words[0]))
    return place.script(WITHOUT_HANGUPS, path, *words[1:])


def test_what_was_started_by_nohup_outlives_its_terminal(place: Place):
    scheduler = without_hangups(place, "scaler_scheduler", "tcp://127.0.0.1:0")
    address = scheduler.wait_for("listening on ").rpartition(" ")[2]
    cluster = without_hangups(place, "scaler_worker", "-n", "1", address)
    with Client(address) as client:
        assert client.submit(abs, -1).result() == 1
        scheduler.send(signal.SIGHUP)
        cluster.send(signal.SIGHUP)
        assert client.map(operator.neg, range(100)) == [-n for n in range(100)]
    assert [cluster.end(), scheduler.end()] == [0, 0]
    assert "SIGHUP" not in cluster.out + scheduler.out


@pytest.mark.parametrize("number", REMINDERS, ids=[number.name for number in REMINDERS])
def test_a_reminder_of_a_batch_system_ends_nothing(place: Place, number: signal.Signals):
    scheduler, address = place.scheduler()
    cluster = place.cluster(address, 1)
    with Client(address) as client:
        pid = client.submit(os.getpid).result()
        # as a batch system does: every process of the job gets it
        for one in place.below(cluster.pid):
            if one != pid:
                os.kill(one, number)
        scheduler.send(number)
        cluster.send(number)
        cluster.wait_for(f"ClusterProcess: {number.name}")
        assert client.submit(os.getpid).result() == pid
    assert [cluster.end(), scheduler.end()] == [0, 0]


@pytest.mark.parametrize("number", REMINDERS[:2], ids=[number.name for number in REMINDERS[:2]])
def test_a_reminder_during_a_preload_does_not_end_the_worker(place: Place, number: signal.Signals):
    (place.folder / "slow.py").write_text(
        "import os, time\n"
        "def wait(path):\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    while not os.path.exists(path + '.go'): time.sleep(0.01)\n",
        encoding="utf-8",
    )
    path = place.path("preloading")
    _, address = place.scheduler()
    options = ("--preload", f"slow:wait({path!r})", "--python-path", str(place.folder))
    cluster = place.cluster(address, 1, *options)
    with Client(address) as client:
        future = client.submit(os.getpid)
        wait_until(lambda: place.lines("preloading"), "the preload")
        (pid,) = map(int, place.lines("preloading"))
        os.kill(pid, number)
        Path(f"{path}.go").touch()
        assert future.result() == pid
    assert "could not be started" not in cluster.out
