"""Workers that die while they work: who is told, what runs where, and what is left. Runs are counted by the tasks."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scaler import Client
from scaler.errors import WorkerDiedError
from tests.integration.processes import SLOT_BACK_S, STOP_S, Place, wait_gone, wait_until
from tests.integration.workloads import (
    end_by_segmentation_fault,
    end_by_signal,
    leave,
    leave_beside_others,
    spawn,
    work,
)


def test_a_worker_killed_amid_its_span_costs_the_running_task_and_no_other(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    client.map(work, [(place.path("warm"), n, -1) for n in range(50)])
    futures = [client.submit(work, place.path("runs"), number, 100, retries=0) for number in range(300)]
    pid = place.victim("runs")
    wait_until(lambda: len(place.lines("runs")) > 150, "the other worker goes on")
    finished = [future.result() for future in futures[:80]]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="SIGKILL") as caught:
        futures[100].result()
    assert "last words" in str(caught.value)
    assert finished + client.gather(futures[80:100] + futures[101:]) == [n for n in range(300) if n != 100]
    assert sorted(map(int, place.lines("runs"))) == list(range(300))
    wait_gone([pid], STOP_S)


def test_a_slot_is_back_within_a_second_and_runs_what_waited_behind_the_dead(
    place: Place, address: str, client: Client
):
    place.cluster(address, 1)
    for number in range(3):
        name = f"runs{number}"
        futures = [client.submit(work, place.path(name), index, 0, retries=0) for index in range(20)]
        os.kill(place.victim(name), signal.SIGKILL)
        wait_until(lambda name=name: len(place.lines(name)) > 1, "the next task runs", SLOT_BACK_S)
        assert isinstance(futures[0].exception(), WorkerDiedError)
        assert client.gather(futures[1:]) == list(range(1, 20))
        assert place.lines(name) == [str(index) for index in range(20)]


def test_a_map_tells_of_the_death_at_its_end_and_keeps_the_rest(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    with pytest.raises(WorkerDiedError, match="exited with code 3") as caught:
        client.map(leave, [(number, 7) for number in range(20)], retries=0)
    results = vars(caught.value)["results"]
    assert caught.value.__notes__[0].partition("-")[2].startswith("1-7 (leave) on ")
    assert results[:7] + results[8:] == [number for number in range(20) if number != 7]


ENDINGS: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
    (os._exit, (3,), "exited with code 3"),
    (os._exit, (0,), "exited with code 0"),
    (end_by_segmentation_fault, (), r"SIGSEGV(.|\n)*in end_by_segmentation_fault"),
    (os.abort, (), "SIGABRT"),
    (end_by_signal, (signal.SIGTERM,), "SIGTERM"),
]


def test_the_way_a_worker_ended_is_told(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    for function, arguments, text in ENDINGS:
        with pytest.raises(WorkerDiedError, match=text):
            client.submit(function, *arguments, retries=0).result()
    assert client.submit(abs, -3).result() == 3


def test_notes_tell_the_task_the_host_and_the_cluster(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--name", "gpus")
    where = f"on {socket.gethostname()} (gpus), worker 0, attempt 1"
    for function, argument in ((int, "x"), (os._exit, 3)):
        future = client.submit(function, argument, retries=0)
        error = future.exception()
        assert error is not None
        assert error.__notes__ == [f"in task {future.task_id} ({function.__name__}) {where}"]


@pytest.mark.parametrize("output", ["full", "closed"])
def test_a_task_that_prints_does_not_fail_as_nobody_takes_it(place: Place, address: str, client: Client, output: str):
    workers = place.script(
        "import os, sys\nreading, writing = os.pipe()\nos.close(reading)\n"
        "os.dup2(os.open('/dev/full', os.O_WRONLY) if sys.argv[1] == 'full' else writing, 1)\n"
        "os.execv(sys.argv[2], sys.argv[2:])\n",
        *(output, str(Path(sys.executable).with_name("scaler_worker")), "-n", "1", address),
    )
    assert client.map(print, ["lost"] * 3) == [None] * 3
    assert workers.end() == 0
    assert workers.err.count("what tasks print cannot be written") == (output == "full")


def test_what_a_killed_worker_has_started_does_not_live_on(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    assert client.map(abs, [-1, -2]) == [1, 2]
    before = set(place.processes())
    future = client.submit(spawn, place.path("children"), retries=0)
    pid = place.victim("children")
    children = set(place.processes()) - before
    assert len(children) == 3
    os.kill(pid, signal.SIGKILL)
    assert isinstance(future.exception(), WorkerDiedError)
    wait_gone(list(children), STOP_S)


def test_of_several_threads_of_a_worker_only_the_one_that_kills_it_is_charged(
    place: Place, address: str, client: Client
):
    place.cluster(address, 1, "--threads", "3")
    futures = [client.submit(leave_beside_others, place.path("runs"), number, 1, retries=0) for number in range(3)]
    assert [futures[0].result(), futures[2].result()] == [0, 2]
    with pytest.raises(WorkerDiedError, match="exited with code 3"):
        futures[1].result()
    assert place.lines("runs").count("1") == 2


def test_every_worker_may_die_at_once(place: Place, address: str, client: Client):
    place.cluster(address, 4)
    futures = [client.submit(work, place.path(f"runs{number}"), 0, 0, retries=0) for number in range(4)]
    for pid in [place.victim(f"runs{number}") for number in range(4)]:
        os.kill(pid, signal.SIGKILL)
    assert [type(future.exception()) for future in futures] == [WorkerDiedError] * 4
    assert client.map(abs, range(-100, 0)) == list(range(100, 0, -1))
