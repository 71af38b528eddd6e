"""A scheduler and workers in one call: how many, with which threads, and workers that come later."""

import os
import threading
import time

import pytest

from scaler import Client, SchedulerClusterCombo
from scaler.errors import ConfigurationError
from tests.integration.processes import Place, wait_until

pytestmark = pytest.mark.usefixtures("place")


def where(seconds: float) -> tuple[int, int]:
    time.sleep(seconds)
    return os.getpid(), threading.get_ident()


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


def test_what_tasks_print_is_the_programs_own_output(place: Place):
    script = place.script(
        "import sys\nfrom scaler import Client, SchedulerClusterCombo\n"
        "with SchedulerClusterCombo(n_workers=1) as cluster, Client(address=cluster) as client:\n"
        "    client.submit(print, 'out').result()\n"
        "    client.submit(lambda: print('err', file=sys.stderr)).result()\n"
    )
    assert (script.wait(), script.out, script.err) == (0, "out\n", "err\n")


def test_a_combo_that_lost_its_workers_to_a_signal_can_still_be_stopped(place: Place):
    cluster = SchedulerClusterCombo(n_workers=1)
    with Client(address=cluster) as client:
        pid = client.submit(os.getppid).result()
        assert pid in place.processes()
    for pid in place.processes():
        os.kill(pid, 9)
    wait_until(lambda: not place.processes(), "all are gone")
    cluster.shutdown()


@pytest.mark.parametrize("numbers", [{"n_workers": -1}, {"n_workers": 1, "threads_per_worker": 0}])
def test_numbers_that_make_no_cluster_are_refused(place: Place, numbers: dict[str, int]):
    with pytest.raises(ConfigurationError, match="0 or more"):
        SchedulerClusterCombo(**numbers)
    assert place.processes() == []
