"""Limits of what a scheduler keeps of its clients, with real processes: the one beyond it waits, and nobody else."""

import operator
import time

import psutil

from scaler import Client
from tests.integration.processes import Place, wait_until

CALLS = 200
MEGABYTE = 1_000_000


def test_beyond_the_memory_limit_the_client_with_the_most_keeps_its_tasks_until_there_is_room(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--memory-limit", "40M")
    place.cluster(address, 1, "--tag", "slow")
    place.cluster(address, 1, "--tag", "quick")
    with Client(address) as greedy, Client(address) as other:
        assert other.submit(operator.neg, 1, tag="quick").result(timeout=20) == -1
        asleep = greedy.submit(time.sleep, 4, tag="slow")
        futures = [greedy.submit(len, [bytes(MEGABYTE)], tag="slow") for _ in range(CALLS)]
        wait_until(lambda: "--memory-limit" in futures[-1].explain(), "the last of them is kept at home")
        assert other.submit(operator.neg, 7, tag="quick").result(timeout=20) == -7
        # what was on its way came, and no more
        assert psutil.Process(scheduler.pid).memory_info().rss < (CALLS - 20) * MEGABYTE
        assert asleep.result(timeout=20) is None
        assert [future.result(timeout=60) for future in futures] == [1] * CALLS


def test_beyond_its_queued_tasks_a_client_waits_and_others_do_not(place: Place):
    _, address = place.scheduler("tcp://127.0.0.1:0", "--max-queued-tasks", "10")
    place.cluster(address, 1, "--tag", "slow")
    place.cluster(address, 1, "--tag", "quick")
    with Client(address) as greedy, Client(address) as other:
        assert other.submit(operator.neg, 1, tag="quick").result(timeout=20) == -1
        asleep = greedy.submit(time.sleep, 4, tag="slow")
        futures = [greedy.submit(operator.neg, number, tag="slow") for number in range(30)]
        wait_until(lambda: "--max-queued-tasks" in greedy.submit(operator.neg, 1, tag="slow").explain(), "it is full")
        assert other.submit(operator.neg, 7, tag="quick").result(timeout=20) == -7
        assert asleep.result(timeout=20) is None
        assert [future.result(timeout=20) for future in futures] == [-number for number in range(30)]
