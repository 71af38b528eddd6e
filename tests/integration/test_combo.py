"""A scheduler and workers in one call: how many, with which threads, and workers that come later."""

import contextlib
import gc
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from typing import Any

import psutil
import pytest

from scaler import Client, SchedulerClusterCombo
from scaler.errors import ConfigurationError, SchedulerError
from tests.integration.processes import ELSEWHERE_S, STOP_S, Place, wait_until

pytestmark = pytest.mark.usefixtures("place")


def where(seconds: float) -> tuple[int, int]:
    time.sleep(seconds)
    return os.getpid(), threading.get_ident()


def cluster_pid() -> int:
    return psutil.Process(os.getppid()).ppid()


def test_workers_are_processes_and_slots_are_threads(place: Place):
    with SchedulerClusterCombo(n_workers=2, threads_per_worker=2) as cluster, Client(address=cluster) as client:
        found = client.map(where, [0.3] * 8)
    assert len({pid for pid, _ in found}) == 2
    assert len(set(found)) == 4
    assert os.getpid() not in {pid for pid, _ in found}
    assert place.processes() == []


def test_one_worker_with_many_threads_is_a_thread_pool():
    with SchedulerClusterCombo(n_workers=1, threads_per_worker=10) as cluster, Client(address=cluster) as client:
        found = client.map(where, [0.3] * 10)
    assert (len({pid for pid, _ in found}), len(set(found))) == (1, 10)


def test_work_waits_for_workers_that_come_later(place: Place):
    with SchedulerClusterCombo(n_workers=0) as cluster, Client(address=cluster) as client:
        futures = [client.submit(abs, -number) for number in range(10)]
        assert client.wait(futures, timeout=0.3).done == set()
        late = place.cluster(cluster.get_address(), 1)
        assert client.gather(futures) == list(range(10))
        assert late.end() == 0


def test_a_cluster_in_one_call_is_stopped_once_and_says_what_it_is(place: Place):
    cluster = SchedulerClusterCombo(n_workers=1)
    assert cluster.get_address() in repr(cluster)
    cluster.shutdown()
    cluster.shutdown()
    assert "stopped" in repr(cluster)
    assert place.processes() == []
    assert place.run_files() == []


def test_several_clusters_in_one_call_do_not_know_each_other():
    with (
        SchedulerClusterCombo(n_workers=1) as one,
        SchedulerClusterCombo(n_workers=1) as other,
        Client(address=one) as first,
        Client(address=other) as second,
    ):
        assert first.submit(os.getpid).result() != second.submit(os.getpid).result()


def test_what_tasks_print_is_the_programs_own_output_once(place: Place):
    script = place.script(
        "import sys\nfrom scaler import Client, SchedulerClusterCombo\n"
        "with SchedulerClusterCombo(n_workers=1) as cluster, Client(address=cluster) as client:\n"
        "    client.submit(print, 'out').result()\n"
        "    client.submit(lambda: print('err', file=sys.stderr)).result()\n"
    )
    assert script.wait() == 0
    assert re.fullmatch(r"\[print-0 .*, worker 0\] out\n", script.out)
    assert re.fullmatch(r"\[<lambda>-0 .*, worker 0\] err\n", script.err)


def test_a_combo_that_lost_its_workers_to_a_signal_can_still_be_stopped(place: Place):
    cluster = SchedulerClusterCombo(n_workers=1)
    with Client(address=cluster) as client:
        pid = client.submit(os.getppid).result()
        assert pid in place.processes()
    for pid in place.processes():
        with contextlib.suppress(ProcessLookupError):  # workers go with their cluster
            os.kill(pid, 9)
    wait_until(lambda: not place.processes(), "all are gone")
    cluster.shutdown()


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"per_worker_capabilities": {"gpu": 1e13}}, r"worker: --resources: expected quantities .*, not 'gpu=1e\+13'"),
        ({"death_timeout_seconds": 1e300}, "worker: --death-timeout: expected a number of seconds .*, not '1e.300'"),
        ({"event_loop": "twisted"}, "scheduler: --event-loop: expected one of builtin, uvloop, not 'twisted'"),
        ({"address": "udp://h:1"}, "scheduler: ADDRESS: 'udp://h:1' is no address: .*"),
    ],
)
def test_a_bad_option_is_told_in_the_words_of_the_command_it_is_for(place: Place, keywords: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=f"^{said}$"):
        SchedulerClusterCombo(1, **keywords)
    assert place.processes() == []


def test_a_child_that_ends_without_a_word_is_told_with_its_exit_code(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(SchedulerError, match=r"^scheduler ended with exit code 1 before it was ready: see what it sa"):
        SchedulerClusterCombo(n_workers=1)
    assert place.processes() == []


def test_a_combo_tells_of_workers_that_are_gone(capfd: pytest.CaptureFixture[str]):
    said = ""

    def is_told() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "worker of" in said

    with SchedulerClusterCombo(n_workers=1) as cluster, Client(address=cluster) as client:
        os.kill(client.submit(cluster_pid).result(), signal.SIGKILL)
        wait_until(is_told, "it is told", ELSEWHERE_S)
    told = f"scaler: the worker of SchedulerClusterCombo {cluster.get_address()} has ended with exit code -9; "
    assert said == f"{told}no task runs there any more\n"


def test_a_combo_that_nobody_holds_ends_without_a_word(place: Place, capfd: pytest.CaptureFixture[str]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        SchedulerClusterCombo(n_workers=1)
        gc.collect()
    place.wait_empty(STOP_S)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("numbers", [{"n_workers": -1}, {"n_workers": 1, "threads_per_worker": 0}])
def test_numbers_that_make_no_cluster_are_refused(place: Place, numbers: dict[str, int]):
    with pytest.raises(ConfigurationError, match="expected a whole number from"):
        SchedulerClusterCombo(**numbers)
    assert place.processes() == []
