"""Clusters that are killed: their work goes on elsewhere, and nothing of them lives on."""

import os
import signal
import time
from collections import Counter

import psutil

from scaler import Client
from tests.integration.processes import ELSEWHERE_S, Place, wait_gone, wait_until
from tests.integration.workloads import spawn, timed

#: what takes 20 ms has told its result so long after it began, on a busy machine too
JUST_BEFORE_S = 0.5


def numbers(place: Place, name: str) -> list[int]:
    return [int(line.split()[0]) for line in place.lines(name)]


def test_work_of_a_killed_cluster_starts_elsewhere_within_three_seconds(place: Place):
    _, address = place.scheduler()
    with Client(address=address) as client:
        doomed = place.cluster(address, 2)
        assert client.map(timed, [(place.path("warm"), n, 0.02) for n in range(20)]) == list(range(20))
        doomed_workers = {line.split()[1] for line in place.lines("warm")}
        theirs = [doomed.pid, *place.below(doomed.pid)]
        assert len(theirs) == 4
        place.cluster(address, 2)
        futures = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(400)]
        wait_until(lambda: len(place.lines("runs")) > 100, "both are at work")
        told = {number for number, future in enumerate(futures) if future.done()}
        doomed.kill()
        killed_at = time.monotonic()
        wait_gone(theirs, ELSEWHERE_S)
        assert client.gather(futures) == list(range(400))
        runs = [line.split() for line in place.lines("runs")]
        again = [int(number) for number, times in Counter(number for number, _, _ in runs).items() if times > 1]
        # of each of its slots the one that ran, and the one before it, if that had ended and nobody had heard of it yet
        lasts = [[int(number) for number, by, _ in runs if by == pid][-2:] for pid in doomed_workers]
        assert set(again) <= {number for last in lasts for number in last}, (again, lasts)
        assert not told.intersection(again), (again, lasts)
        begun = [killed_at - float(at) for number, pid, at in runs if int(number) in again and pid in doomed_workers]
        assert max(begun, default=0.0) <= JUST_BEFORE_S, begun
        assert sorted({int(number) for number, _, _ in runs}) == list(range(400))
        assert len(runs) == 400 + len(again)
        second = [
            float(at) - killed_at for number, pid, at in runs if int(number) in again and pid not in doomed_workers
        ]
        assert len(second) == len(again)
        assert max(second, default=0.0) <= ELSEWHERE_S, second


def test_nothing_that_a_killed_cluster_or_its_tasks_started_lives_on(place: Place):
    _, address = place.scheduler()
    with Client(address=address) as client:
        before = set(place.processes())
        cluster = place.cluster(address, 2)
        client.submit(spawn, place.path("children"))
        place.victim("children")
        theirs = sorted(set(place.processes()) - before)
        # the cluster, its zygote, two workers, and three that the task has started
        assert len(theirs) == 7
        cluster.kill()
        wait_gone(theirs, ELSEWHERE_S)


def test_workers_do_not_outlive_their_zygote_and_are_replaced(place: Place):
    _, address = place.scheduler()
    with Client(address=address) as client:
        cluster = place.cluster(address, 2)
        assert client.map(abs, [-1, -2]) == [1, 2]
        (zygote,) = place.children(cluster.pid)
        workers = place.children(zygote)
        assert len(workers) == 2
        os.kill(zygote, signal.SIGKILL)
        wait_gone([zygote, *workers], ELSEWHERE_S)
        assert client.map(abs, [-1, -2]) == [1, 2]


def test_a_cluster_that_stood_still_goes_on(place: Place):
    _, address = place.scheduler()
    with Client(address=address) as client:
        cluster = place.cluster(address, 2)
        futures = [client.submit(timed, place.path("runs"), number, 0.02) for number in range(100)]
        wait_until(lambda: len(place.lines("runs")) > 20, "it is at work")
        os.kill(cluster.pid, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(cluster.pid).status() == psutil.STATUS_STOPPED, "it stands still")
        os.kill(cluster.pid, signal.SIGCONT)
        assert client.gather(futures) == list(range(100))
        assert sorted(numbers(place, "runs")) == list(range(100))
