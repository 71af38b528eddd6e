"""Tasks that submit tasks, through a client that was passed in or one of their own, and wait for them."""

import os
import signal

import pytest

from scaler import Client
from scaler.errors import ParkingError, TaskTimeoutError, WorkerDiedError
from tests.integration.nests import (
    WAYS,
    child_that_fails,
    double,
    doubled_by_map,
    doubled_without_client,
    fib,
    in_threads,
    leave_behind,
    lengths_of,
    levels,
    long_children,
    steps,
    sum_of,
    use_what_was_left,
    wait_by,
    wait_then_work,
)
from tests.integration.processes import STOP_S, Place, is_alive, wait_gone, wait_until

#: what the acceptance list allows
DONE_S = 5.0


def test_fib_through_a_client_that_is_passed_on(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    assert client.submit(fib, client, 8).result(DONE_S) == 21


def test_8_parents_on_2_slots(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    futures = [client.submit(doubled_by_map, client, [number] * 4) for number in range(8)]
    assert [future.result(DONE_S) for future in futures] == [[2 * number] * 4 for number in range(8)]


def test_parents_by_the_hundred_do_not_begin_before_what_others_wait_for(place: Place, address: str, client: Client):
    cluster = place.cluster(address, 2)
    assert client.map(fib, [(client, 3)] * 200) == [2] * 200
    (zygote,) = place.children(cluster.pid)
    assert len(place.children(zygote)) < 20


def test_a_wide_and_deep_tree_needs_no_more_spares_than_there_may_be(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--max-parked", "16")
    assert client.submit(fib, client, 9).result() == 34


@pytest.mark.parametrize("workers", [1, 2])
def test_5_levels_deep(place: Place, address: str, client: Client, workers: int):
    place.cluster(address, workers)
    assert client.submit(levels, client, 5).result(DONE_S) == 5


@pytest.mark.parametrize("how", WAYS)
def test_a_parent_may_wait_in_whatever_way(place: Place, address: str, client: Client, how: str):
    place.cluster(address, 1)
    assert client.submit(wait_by, client, how).result(DONE_S) == [0, 2, 4]


def test_a_client_needs_no_address_inside_a_task(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    assert client.submit(doubled_without_client, [1, 2, 3]).result(DONE_S) == [2, 4, 6]


def test_a_function_may_bring_the_client_along(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--threads", "2")

    def parent(number: int) -> int:
        return sum(client.map(lambda one: one + number, range(10)))

    assert client.map(parent, range(20)) == [45 + 10 * number for number in range(20)]


def test_the_tasks_of_a_thread_pool_nest_side_by_side(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "4")
    futures = [client.submit(fib, client, 6) for _ in range(4)]
    assert [future.result(DONE_S) for future in futures] == [8] * 4


def test_threads_of_a_task_share_its_client(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "2")
    futures = [client.submit(in_threads, client, 5) for _ in range(3)]
    assert [future.result(DONE_S) for future in futures] == [[0, 2, 4, 6, 8]] * 3


def test_what_a_child_raises_is_raised_where_it_is_waited_for(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    assert client.submit(child_that_fails, client, "no luck").result(DONE_S) == "no luck"


def test_many_and_large_children(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    assert client.submit(sum_of, client, 20_000).result() == 20_000 * 19_999
    sizes = [10, 40_000, 60_000, 1_000_000, 3_000_000]
    assert client.submit(lengths_of, client, sizes).result() == sizes


def test_a_client_of_another_scheduler_is_a_client_of_its_own_inside_a_task(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    _, elsewhere = place.scheduler()
    place.cluster(elsewhere, 1)
    with Client(address=elsewhere) as other:
        assert client.submit(doubled_by_map, other, [4]).result(DONE_S) == [8]


# ---- the end of a parent


def test_children_end_with_a_parent_that_is_cancelled(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    future = client.submit(long_children, client, place.path("children"), 6)
    place.victim("children")
    wait_until(lambda: len(place.lines("children")) == 2, "children run in every slot")
    before = place.processes()
    client.cancel([future])
    pids = {int(pid) for pid in place.lines("children")}
    assert client.map(abs, range(-9, 0), return_exceptions=True) == list(range(9, 0, -1))
    wait_until(lambda: client.submit(double, 1).result(DONE_S) == 2, "slots are free again", STOP_S)
    assert len(place.lines("children")) == 2
    assert pids <= set(before)


def test_children_end_with_the_client_of_their_root(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    with Client(address=address) as other:
        other.submit(long_children, other, place.path("children"), 6)
        wait_until(lambda: len(place.lines("children")) == 2, "children run in every slot")
    assert client.gather([client.submit(double, n) for n in range(4)]) == [0, 2, 4, 6]
    assert len(place.lines("children")) == 2


def test_children_end_with_a_parent_whose_worker_is_killed(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    beside = client.submit(double, 7, 1.0)
    future = client.submit(long_children, client, place.path("children"), 4, retries=0)
    parent = place.victim("children")
    wait_until(lambda: place.lines("children"), "a child runs")
    os.kill(parent, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        future.result(DONE_S)
    assert beside.result(DONE_S) == 14
    assert client.gather([client.submit(double, n) for n in range(4)]) == [0, 2, 4, 6]
    begun = len(place.lines("children"))
    assert begun <= 2


def test_a_parent_whose_cluster_is_killed_begins_again_elsewhere(place: Place, address: str, client: Client):
    cluster = place.cluster(address, 1)
    path = place.path("steps")
    future = client.submit(steps, client, path, 8, 0.2)
    wait_until(lambda: place.lines("steps.parent"), "the parent runs")
    place.cluster(address, 2)
    wait_until(lambda: len(place.lines("steps")) > 2, "children run")
    cluster.kill()
    assert future.result() == list(range(8))
    assert len(place.lines("steps.parent")) == 2


def test_a_restart_of_the_scheduler_while_a_parent_waits_costs_nothing(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    with Client(address=address) as client:
        path = place.path("steps")
        future = client.submit(steps, client, path, 12, 0.3)
        wait_until(lambda: len(place.lines("steps")) > 2, "children run")
        scheduler.kill()
        place.scheduler(address)
        assert future.result() == list(range(12))
        assert sorted(map(int, place.lines("steps"))) == list(range(12))
        assert len(place.lines("steps.parent")) == 1


def test_what_a_task_leaves_behind_of_its_client_says_so(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    pid = client.submit(leave_behind, client, place.path("late")).result(DONE_S)
    wait_until(lambda: len(place.lines("late")) == 2, "both are told")
    text = "ClientQuitException: the task that this client was used in has ended, and what it had submitted with it"
    assert sorted(place.lines("late")) == [f"client: {text}", f"future: {text}"]
    assert is_alive(pid)
    assert client.submit(use_what_was_left, 4).result(DONE_S) == 8


# ---- limits


@pytest.mark.parametrize("how", ["result", "wait", "polling"])
def test_no_parent_is_timed_out_for_waiting(place: Place, address: str, client: Client, how: str):
    place.cluster(address, 1)
    future = client.submit(wait_by, client, how, 1.0, timeout=1.5)
    assert future.result(20) == [0, 2, 4]


def test_a_parent_that_takes_too_long_itself_is_timed_out_whatever_it_waited_for(
    place: Place, address: str, client: Client
):
    place.cluster(address, 1)
    with pytest.raises(TaskTimeoutError, match=r"timeout of 0\.5 s"):
        client.submit(wait_then_work, client, 1.0, 30.0, timeout=0.5).result(20)


def test_more_than_max_parked_tasks_may_not_wait(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--max-parked", "2")
    assert client.submit(levels, client, 3).result(DONE_S) == 3
    with pytest.raises(ParkingError, match="--max-parked"):
        client.submit(levels, client, 4).result(DONE_S)
    assert client.submit(levels, client, 3).result(DONE_S) == 3


def test_spares_end_when_nobody_waits_any_more(place: Place, address: str, client: Client):
    cluster = place.cluster(address, 1)
    assert client.submit(levels, client, 4).result(DONE_S) == 4
    (zygote,) = place.children(cluster.pid)
    assert len(place.children(zygote)) == 4
    wait_until(lambda: len(place.children(zygote)) == 1, "spares have ended", 12.0)
    assert client.submit(levels, client, 2).result(DONE_S) == 2


def test_a_cluster_that_is_told_to_end_takes_parked_tasks_and_spares_along(place: Place, address: str, client: Client):
    cluster = place.cluster(address, 2)
    client.submit(long_children, client, place.path("children"), 2)
    wait_until(lambda: len(place.lines("children")) == 2, "children run")
    below = place.below(cluster.pid)
    assert len(below) == 4
    assert cluster.end(within_s=STOP_S) == 0
    wait_gone(below, STOP_S)
