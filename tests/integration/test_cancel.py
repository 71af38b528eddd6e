"""Cancelling on real processes: what is queued vanishes, what runs is ended, its slot comes back, neighbours go on."""

import time
from bisect import bisect
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from scaler import Client
from scaler.errors import ClientQuitException
from tests.integration.processes import SLOT_BACK_S, STOP_S, Place, is_alive, wait_gone, wait_until
from tests.integration.workloads import append, mark, short, short_and_when, stay

WAYS = ["asleep", "busy", "heedless", "in C with the GIL"]


def begun(place: Place, name: str, count: int) -> list[list[str]]:
    """The first so many lines of `stay`, once they are there."""
    wait_until(lambda: len(place.lines(name)) >= count, f"{count} tasks run")
    return [line.split() for line in place.lines(name)]


@pytest.mark.parametrize("how", WAYS)
def test_cancel_a_running_task_gives_its_slot_back_within_a_second(
    place: Place, address: str, client: Client, how: str
):
    place.cluster(address, 1)
    for number in range(2):
        future = client.submit(stay, place.path("runs"), number, how)
        pid = int(begun(place, "runs", number + 1)[-1][2])
        wait_until(future.running, "it is reported running")
        assert not future.cancel()
        client.cancel([future])
        assert future.cancelled()
        with pytest.raises(CancelledError):
            future.result()
        again = client.submit(mark, place.path("next"), number)
        wait_until(again.done, "the slot is back", SLOT_BACK_S)
        assert again.result() == number
        if how in WAYS[2:]:
            wait_gone([pid], STOP_S)
        else:
            assert is_alive(pid)


def test_cancel_queued_tasks_vanish_and_their_neighbours_run(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    blocker = client.submit(stay, place.path("blocker"), 0)
    begun(place, "blocker", 1)
    futures = [client.submit(mark, place.path("runs"), number) for number in range(1000)]
    client.cancel(futures[::2])
    client.cancel(futures[:2])
    assert all(future.cancelled() for future in futures[::2])
    client.cancel(blocker)
    assert client.gather(futures[3::2]) == list(range(3, 1000, 2))
    assert place.lines("runs") == [str(number) for number in range(3, 1000, 2)]


def test_cancel_leaves_what_is_done_as_it_is_and_takes_futures_alone(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    done = client.submit(abs, -1)
    assert done.result() == 1
    client.cancel(done)
    client.cancel(iter([done, done]))
    assert (done.result(), done.cancelled()) == (1, False)
    with pytest.raises(TypeError, match="cancel takes"):
        client.cancel([1])


def test_cancel_one_of_several_threads_costs_the_others_nothing(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "3")
    futures = [client.submit(stay_once, place.path("runs"), number, retries=0) for number in range(3)]
    begun(place, "runs", 3)
    client.cancel(futures[1])
    begun(place, "runs", 5)
    append(place.path("go"), "on")
    assert [futures[0].result(), futures[2].result()] == [0, 2]
    assert Counter(line.split()[0] for line in place.lines("runs")) == {"0": 2, "1": 1, "2": 2}


def stay_once(path: str, number: int) -> int:
    append(path, number)
    while True:
        try:
            with open(path.replace("runs", "go"), encoding="utf-8"):
                return number
        except FileNotFoundError:
            time.sleep(0.01)


def test_a_result_that_comes_after_the_cancel_is_dropped(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    for _ in range(20):
        futures = [client.submit(short, place.path("runs"), number) for number in range(50)]
        client.cancel(futures[10:40])
        assert client.gather(futures[:10] + futures[40:]) == [*range(10), *range(40, 50)]
        assert all(future.cancelled() or future.result() == number for number, future in enumerate(futures))


@pytest.mark.alone
def test_cancel_in_waves_on_64_workers_frees_each_slot_within_a_second_beside_short_tasks(
    place: Place, address: str, client: Client
):
    place.cluster(address, 64)
    client.map(abs, range(1000))
    waves, count = 17, 60
    cancelled: list[tuple[float, str]] = []
    with ThreadPoolExecutor(1) as beside, Client(address=address) as other:
        calls = [(place.path("short"), number) for number in range(500 * waves)]
        neighbours = beside.submit(other.map, short_and_when, calls)
        for wave in range(waves):
            running = [client.submit(stay, place.path(f"wave{wave}"), number) for number in range(count)]
            workers = [line[2] for line in begun(place, f"wave{wave}", count)]
            cancelled_at = time.monotonic()
            client.cancel(running)
            assert all(future.cancelled() for future in running)
            cancelled += [(cancelled_at, worker) for worker in workers]
        assert neighbours.result() == list(range(500 * waves))
    assert client.map(abs, range(1000)) == list(range(1000))
    short_lines = [line.split() for line in place.lines("short")]
    assert Counter(line[0] for line in short_lines) == dict.fromkeys(map(str, range(500 * waves)), 1)
    lines = short_lines + [line for wave in range(waves) for line in begun(place, f"wave{wave}", count)]
    freed = free_after(cancelled, [(float(line[1]), line[2]) for line in lines])
    assert len(freed) > waves * count * 0.8
    assert sorted(freed)[len(freed) * 99 // 100] <= SLOT_BACK_S


def free_after(cancelled: list[tuple[float, str]], begun_at: list[tuple[float, str]]) -> list[float]:
    """How long after each cancel the next task began in the worker that ran what was cancelled, if one did."""
    began: dict[str, list[float]] = {}
    for at, worker in sorted(begun_at):
        began.setdefault(worker, []).append(at)
    nexts = [(at, began[worker], bisect(began[worker], at)) for at, worker in cancelled]
    return [times[index] - at for at, times, index in nexts if index < len(times)]


# ---- a client's whole work


def test_clear_drops_all_work_of_this_client_and_no_others(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    with Client(address=address) as other:
        running = client.submit(stay, place.path("runs"), 0)
        theirs = other.submit(stay, place.path("theirs"), 0)
        begun(place, "runs", 1)
        begun(place, "theirs", 1)
        done = client.submit_verbose(abs, (-1,), {}, priority=5)
        queued = [client.submit(mark, place.path("queued"), number) for number in range(100)]
        with ThreadPoolExecutor(1) as beside:
            mapping = beside.submit(client.map, mark, [(place.path("queued"), number) for number in range(100)])
            wait_until(lambda: mapping.running() and len(client._io._sinks) >= 4, "the map has begun")
            client.clear()
            with pytest.raises(ClientQuitException, match=r"clear\(\)"):
                mapping.result()
        assert running.cancelled()
        assert all(future.cancelled() for future in queued)
        assert done.cancelled()
        assert client.submit(mark, place.path("after"), 1).result() == 1
        assert not theirs.done()
        other.cancel(theirs)
    assert place.lines("queued") == []


def test_disconnect_makes_later_use_raise(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(stay, place.path("runs"), 0)
    begun(place, "runs", 1)
    client.disconnect()
    client.disconnect()
    assert isinstance(future.exception(), ClientQuitException)
    for use in (
        lambda: client.submit(abs, 1),
        lambda: client.submit_verbose(abs, (1,), {}),
        lambda: client.map(abs, [1]),
        lambda: client.starmap(abs, [(1,)]),
        lambda: client.cancel([future]),
        lambda: client.retry([future]),
        client.wait_for_workers,
        client.failed,
        client.clear,
        client.shutdown,
    ):
        with pytest.raises(ClientQuitException, match="disconnected"):
            use()
    with Client(address=address) as other:
        wait_until(other.submit(abs, -1).done, "the slot of the lost task is back", SLOT_BACK_S)


def test_shutdown_is_refused_by_a_protected_scheduler(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    with pytest.raises(ValueError, match=f"{address} goes on: this scheduler is protected: .* --no-protected"):
        client.shutdown()
    assert client.submit(abs, -1).result() == 1


def test_shutdown_stops_the_scheduler_and_its_workers(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--no-protected")
    cluster = place.cluster(address, 1)
    client = Client(address=address)
    future = client.submit(stay, place.path("runs"), 0)
    begun(place, "runs", 1)
    client.shutdown()
    assert scheduler.wait(STOP_S) == 0
    assert cluster.wait(STOP_S) == 0
    with pytest.raises(ClientQuitException, match="scheduler stopped"):
        client.submit(abs, 1)
    assert isinstance(future.exception(), ClientQuitException)
    client.disconnect()
