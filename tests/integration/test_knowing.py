"""What users can know of their tasks and workers, on real processes."""

import asyncio
import gc
import os
import socket
import threading
import time

import pytest

from scaler import Client, ProfilingInfo
from scaler.errors import DisconnectedError
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import append, fail_until, mark, stay, work

# ---- failed and retry


def test_failed_lists_what_failed_and_is_still_held_and_retry_submits_it_anew(
    place: Place, address: str, client: Client
):
    place.cluster(address, 2)
    paths = [place.path(f"runs{number}") for number in range(4)]
    futures = [client.submit(fail_until, path, 2, ValueError, "not yet", name="step") for path in paths]
    good = client.submit(abs, -1)
    client.wait([*futures, good])
    assert client.failed() == futures
    del futures[0]
    gc.collect()
    assert client.failed() == futures
    again = client.retry([*futures, good])
    assert client.gather(again) == [2, 2, 2]
    assert not set(again) & set(futures)
    assert client.failed() == []
    assert [future.exception() is not None for future in futures] == [True] * 3
    assert client.retry([good]) == []
    with pytest.raises(TypeError, match="retry takes"):
        client.retry(["future"])


def load(path: str) -> int:
    with open(path, encoding="utf-8") as file:
        return int(file.read())


def test_retry_mends_a_chain_in_whatever_order_it_is_given(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    path = place.folder / "number"
    first = client.submit(load, str(path))
    mapped = client.map_async(pow, [first], [2])
    last = client.submit(abs, mapped[0])
    client.wait([first, mapped[0], last])
    with pytest.raises(ValueError, match=f"task {last.task_id} needs task {mapped[0].task_id}, which failed, too"):
        client.retry(last)
    assert set(client.failed()) == {first, last, mapped[0]}
    path.write_text("-3", encoding="utf-8")
    again = client.retry([last, mapped[0], first])
    assert client.gather(again) == [9, 9, -3]
    assert client.failed() == []


def test_retry_submits_with_the_same_options_function_and_arguments(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--resources", "gpu=1")
    captured, argument = "first", ["a"]

    def closure(path: str, items: list[str], *, key: str) -> str:
        append(path, "run")
        with open(path, encoding="utf-8") as file:
            if len(file.readlines()) == 1:
                raise ValueError("not yet")
        return f"{captured} {items} {key}"

    future = client.submit_verbose(
        closure, (place.path("runs"), argument), {"key": "k"}, resources={"gpu": 1}, priority=3, name="closure"
    )
    error = future.exception()
    captured, argument[0] = "changed", "b"
    [again] = client.retry(future)
    assert again.result() == "first ['a'] k"
    assert "(closure)" in error.__notes__[-1]


def test_retry_of_what_died_and_of_large_arguments(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    large = b"x" * 3_000_000
    future = client.submit(first_time_dies, place.path("runs"), large, retries=0)
    assert future.exception() is not None
    [again] = client.retry(client.failed())
    assert again.result() == len(large)


def first_time_dies(path: str, data: bytes) -> int:
    append(path, "run")
    with open(path, encoding="utf-8") as file:
        if len(file.readlines()) == 1:
            os._exit(3)
    return len(data)


def test_cancelled_futures_have_not_failed(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(stay, place.path("runs"), 0)
    client.cancel(future)
    assert client.failed() == []
    assert client.retry([future]) == []


# ---- profiling_info


def spend(seconds: float, size: int) -> int:
    data = bytearray(size)
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return len(data)


@pytest.mark.parametrize("profiling", [False, True])
def test_profiling_info_tells_how_a_task_ran(place: Place, address: str, *, profiling: bool):
    place.cluster(address, 1, "--name", "works")
    with Client(address, profiling) as client:
        blocker = client.submit(time.sleep, 0.3)
        future = client.submit(spend, 0.05, 50 << 20)
        with pytest.raises(ValueError, match="it is not done"):
            future.profiling_info()
        assert client.gather([blocker, future]) == [None, 50 << 20]
        told = future.profiling_info()
    assert isinstance(told, ProfilingInfo)
    assert 0.05 <= told.cpu_time_s <= told.duration_s < 10
    assert told.memory_peak >= 50 << 20
    assert 0.1 <= told.queue_time_s < 30
    assert (told.worker, told.host, told.attempts) == (f"{told.host} (works), worker 0", socket.gethostname(), 1)
    assert blocker.profiling_info().duration_s >= 0.3
    assert blocker.profiling_info().cpu_time_s < 0.2


def test_profiling_info_tells_of_tasks_that_failed_too(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(fail_until, place.path("runs"), 9, OSError, "no", retry_on=OSError, retry_delay_s=0)
    assert isinstance(future.exception(), OSError)
    assert future.profiling_info().attempts == 3
    late = client.submit(work, place.path("late"), 0, 0, timeout=0.3)
    late.exception()
    assert late.profiling_info().duration_s == pytest.approx(0.3)


# ---- explain


def test_explain_says_why_a_task_does_not_run_yet(place: Place, address: str, client: Client):
    assert client.submit(abs, -1).explain() == "no worker is connected"
    place.cluster(address, 1, "--name", "works")
    running = client.submit(stay, place.path("runs"), 0)
    wait_until(lambda: place.lines("runs"), "it runs")
    wait_until(lambda: running.explain() == "it runs on cluster works", running.explain)
    queued = [client.submit(mark, place.path("queued"), number) for number in range(1000)]
    urgent = client.submit(mark, place.path("queued"), 0, priority=1)
    wait_until(lambda: queued[-1].explain().endswith(" tasks ahead"), queued[-1].explain)
    assert int(queued[-1].explain().split()[0].replace(",", "")) > 900
    assert urgent.explain() == "0 tasks ahead"
    demanding = client.submit(abs, 1, resources={"gpu": 1})
    assert demanding.explain() == "no connected worker offers gpu=1"
    client.cancel(running)
    assert running.explain() == "it was cancelled"
    client.gather(queued)
    assert queued[0].explain() == "it is done"


def test_explain_asks_again_after_a_restart_and_says_that_nobody_is_there(place: Place):
    scheduler, address = place.scheduler()
    with Client(address=address, timeout_seconds=60) as client:
        future = client.submit(abs, -1)
        assert future.explain() == "no worker is connected"
        scheduler.kill()
        wait_until(lambda: future.explain() == "the scheduler cannot be reached at the moment", future.explain)
        place.scheduler(address)
        wait_until(lambda: future.explain() == "no worker is connected", future.explain)


def test_explain_in_a_done_callback_says_that_it_would_wait_for_itself(place: Place, address: str, client: Client):
    told: list[BaseException] = []

    def callback(_: object) -> None:
        try:
            waiting.explain()
        except RuntimeError as error:
            told.append(error)

    waiting = client.submit(abs, 1, priority=-1, resources={"gpu": 1})
    future = client.submit(abs, 1)
    future.add_done_callback(callback)
    place.cluster(address, 1)
    future.result()
    wait_until(lambda: told, "the callback was called")
    assert "would wait for itself" in str(told[0])


# ---- wait_for_workers


def test_wait_for_workers_waits_until_one_can_take_tasks(place: Place, address: str, client: Client):
    with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
        client.wait_for_workers(0.1)
    waited = threading.Thread(target=client.wait_for_workers)
    waited.start()
    cluster = place.cluster(address, 1)
    waited.join(30)
    assert not waited.is_alive()
    client.wait_for_workers(timeout=0)
    cluster.end()
    wait_until(lambda: not client._io.news.workers_ready.is_set(), "the worker is gone")
    with pytest.raises(TimeoutError):
        client.wait_for_workers(0.05)


def test_wait_for_workers_ends_with_the_client(place: Place):
    scheduler, address = place.scheduler()
    with Client(address=address, timeout_seconds=1) as client:
        scheduler.kill()
        with pytest.raises(DisconnectedError):
            client.wait_for_workers()


def test_a_future_can_be_awaited_beside_all_this(place: Place, address: str, client: Client):
    place.cluster(address, 1)

    async def both() -> list[int]:
        return await asyncio.gather(*(client.submit(abs, -number, retries=1) for number in range(3)))

    assert asyncio.run(both()) == [0, 1, 2]
