"""What users of Scaler bring along: keywords and options that do something here, and those that say why not."""

import gc
import os
import re
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest

import scaler.errors
import scaler.utility.exceptions
from scaler import Client, SchedulerClusterCombo
from scaler.client.discarded import REMEDIES as OF_CLIENT
from scaler.cluster import combo
from scaler.errors import TaskTimeoutError
from tests.integration.processes import Place, wait_until

HELD: list[Any] = []


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def tie() -> None:
    gc.disable()
    HELD.append(weakref.ref(Knot()))


def is_tied() -> bool:
    return HELD[-1]() is not None


def hold(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def test_the_familiar_imports_are_there():
    from scaler.cluster.combo import SchedulerClusterCombo as Familiar  # noqa: PLC0415  # as users write it

    assert Familiar is SchedulerClusterCombo
    for name in scaler.utility.exceptions.__all__:
        assert getattr(scaler.utility.exceptions, name) is getattr(scaler.errors, name)


@pytest.mark.parametrize("name", OF_CLIENT)
@pytest.mark.usefixtures("place")
def test_a_keyword_of_the_client_without_a_meaning_is_accepted_with_its_reason(name: str):
    with SchedulerClusterCombo(1) as cluster:
        with pytest.warns(DeprecationWarning, match=f"^{name} means nothing here: ") as caught:
            client = Client(cluster, **{name: "tcp://h:1"})
        with client:
            assert client.map(abs, [-1]) == [1]
        with warnings.catch_warnings(), Client(cluster, False, 60, 2, None, **{name: None}):
            warnings.simplefilter("error")
        with pytest.raises(TypeError, match="unexpected keyword argument 'adress'"):
            Client(adress="tcp://h:1")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("place")
def test_task_timeout_seconds_ends_tasks():
    with SchedulerClusterCombo(1, task_timeout_seconds=0.2) as cluster, Client(cluster) as client:
        with pytest.raises(TaskTimeoutError, match=r"timeout of 0\.2 s"):
            client.submit(time.sleep, 60).result()
        assert client.submit(abs, -1).result() == 1


def test_garbage_is_collected_by_a_worker_that_has_been_idle(place: Place):
    _, address = place.scheduler()
    place.cluster(address, 1, "-gc", "0.1", "-tm", "1")
    with Client(address) as client:
        client.submit(tie).result()
        wait_until(lambda: not client.submit(is_tied).result() or time.sleep(0.3), "the knot is gone")


@pytest.mark.usefixtures("place")
def test_without_an_interval_nothing_is_collected():
    with SchedulerClusterCombo(1, garbage_collect_interval_seconds=0) as cluster, Client(cluster) as client:
        client.submit(tie).result()
        assert client.submit(is_tied).result()


def test_max_number_of_tasks_waiting_keeps_tasks_at_their_client(place: Place):
    """All are run in the end; but the scheduler never has to hold more than a little beyond the limit."""
    size = 100_000
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "-mt", "100")
    place.cluster(address, 1)
    with Client(address) as client:
        gate = client.submit(hold, place.path("gate"))
        before = psutil.Process(scheduler.pid).memory_info().rss
        futures = [client.submit(len, os.urandom(size)) for _ in range(1000)]
        client.wait(futures, timeout=0.5)
        grown = psutil.Process(scheduler.pid).memory_info().rss - before
        Path(place.path("gate")).touch()
        gate.result()
        assert client.gather(futures) == [size] * 1000
    assert grown < 60_000_000  # of 100 MB


def test_every_keyword_of_scaler_is_taken_or_warned_of(monkeypatch: pytest.MonkeyPatch):
    """As scaler_compat names them, with their defaults where they have some."""
    started: list[list[str]] = []
    monkeypatch.setattr(combo.SchedulerClusterCombo, "_start", lambda _self, words, **_: started.append(words) or "a")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SchedulerClusterCombo(
            n_workers=2,
            address="tcp://127.0.0.1:1",
            monitor_address="ipc://m",
            worker_io_threads=1,
            scheduler_io_threads=1,
            max_number_of_tasks_waiting=-1,
            per_worker_task_queue_size=1000,
            per_worker_queue_size=1000,
            heartbeat_interval_seconds=2,
            client_timeout_seconds=60,
            worker_timeout_seconds=60,
            death_timeout_seconds=300,
            task_timeout_seconds=0,
            object_retention_seconds=60,
            load_balance_seconds=1,
            load_balance_trigger_times=2,
            garbage_collect_interval_seconds=30,
            trim_memory_threshold_bytes=1 << 30,
            hard_processor_suspend=False,
            protected=True,
            event_loop="builtin",
            logging_paths=("/dev/stdout",),
            logging_level="INFO",
            logging_config_file=None,
            per_worker_capabilities={"linux": -1},
            object_storage_address=None,
            scaler_policy=None,
            security_config=None,
            worker_manager_id=None,
        )
    assert len(started) == 1
    told = [re.split(" ", str(one.message))[0] for one in caught]
    assert set(told) == set(combo.REMEDIES)
