"""Large results on real processes: left where they were made, read in place, gone when nobody needs them."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import psutil
import pytest

from scaler import Client, as_completed
from scaler.client.stream import LEAST_AHEAD
from scaler.storage.places import MEMORY
from scaler.storage.store import PREFIX
from tests.integration.processes import Place, open_paths, wait_until
from tests.integration.security_root import needs_hosts
from tests.integration.workloads import append, same

MEGABYTE = 1 << 20


@pytest.fixture
def address(place: Place) -> str:
    """A scheduler with two workers."""
    _, address = place.scheduler()
    place.cluster(address, 2)
    return address


#: all that processes of this one were seen to have; those of other tests come and go beside them
STORES: set[Path] = set()


def values() -> list[Path]:
    """What lies in stores of what was started here, but for what clients have made."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):
            STORES.update(Path(path) for path in open_paths(process.pid) if Path(path).name.startswith(PREFIX))
    return [path for store in STORES if store.parent == MEMORY for path in store.glob("*-*")]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    before = set(values())
    yield
    gc.collect()
    wait_until(lambda: not set(values()) - before, lambda: f"gone: {set(values()) - before}")


def ones(count: int, number: int = 1) -> "np.ndarray[Any, Any]":
    return np.full(count, number, dtype="u1")


def grown(values: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return values + 1


def total(*values: "np.ndarray[Any, Any]") -> int:
    return sum(int(one.sum()) for one in values)


def nested(count: int) -> dict[str, Any]:
    return {"a": [ones(count), "t" * count], "b": (bytes(count), 7)}


class Box:
    def __init__(self, content: Any) -> None:
        self.content = content


def boxed(count: int) -> Box:
    return Box(ones(count))


def marked(path: str, count: int) -> "np.ndarray[Any, Any]":
    append(path, "ran")
    return ones(count)


def raises_large(count: int) -> None:
    raise ValueError("e" * count)


@pytest.mark.parametrize("count", [10, 100_000, 3 * MEGABYTE])
def test_whatever_a_task_returns_comes_back_equal(client: Client, count: int):
    np.testing.assert_array_equal(client.submit(ones, count).result(), ones(count))
    found = client.submit(nested, count).result()
    np.testing.assert_array_equal(found["a"][0], ones(count))
    assert (found["a"][1], found["b"]) == ("t" * count, (bytes(count), 7))
    np.testing.assert_array_equal(client.submit(boxed, count).result().content, ones(count))
    assert client.map(same, [bytes(count), "é" * count, bytearray(count), [1] * count]) == [
        bytes(count), "é" * count, bytearray(count), [1] * count,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="eeeee"):
        client.submit(raises_large, count).result()


def test_a_data_frame_comes_back(client: Client):
    frame = pandas.DataFrame({"a": np.arange(100_000), "b": ["x"] * 100_000})
    pandas.testing.assert_frame_equal(client.submit(same, frame).result(), frame)


@pytest.mark.parametrize("count", [10, MEGABYTE])
def test_what_comes_back_is_the_callers_own(client: Client, count: int):
    future = client.submit(ones, count)
    first = future.result()
    first[0] = 7
    assert future.result()[0] == 7
    assert client.submit(total, client.submit(ones, count)).result() == count


def test_it_stays_where_it_was_made_until_it_is_read_or_dropped(client: Client):
    before = len(values())
    futures = [client.submit(ones, MEGABYTE, number) for number in range(20)]
    wait(futures)
    assert len(values()) == before + 20
    assert [int(future.result()[0]) for future in futures[:10]] == list(range(10))
    wait_until(lambda: len(values()) == before + 10, "ten are read")
    del futures[10:]
    gc.collect()
    wait_until(lambda: len(values()) == before, "ten are dropped")
    assert [int(future.result()[-1]) for future in futures] == list(range(10))


def test_all_ways_to_ask_for_results(client: Client):
    expected = [MEGABYTE * (number % 3) for number in range(12)]
    calls = [(MEGABYTE, number % 3) for number in range(12)]
    assert [total(one) for one in client.map(ones, calls)] == expected
    assert [total(one) for one in client.imap(ones, calls)] == expected
    assert sorted(total(one) for one in client.imap_unordered(ones, calls)) == sorted(expected)
    mapped = client.map_async(ones, calls)
    assert [total(future.result()) for future in mapped] == expected
    assert [total(one) for one in mapped.get()] == expected
    assert sorted(
        total(future.result()) for future in as_completed([client.submit(ones, *c) for c in calls])
    ) == sorted(expected)
    with client.executor() as executor:
        assert [total(one) for one in executor.map(ones, [MEGABYTE] * 3, [1, 2, 3])] == [
            MEGABYTE * n for n in (1, 2, 3)
        ]
    assert client.get({"a": (ones, MEGABYTE), "b": (total, "a", "a")}, ["b"]) == {"b": 2 * MEGABYTE}
    told: list[int] = []
    client.submit(ones, MEGABYTE).add_done_callback(lambda future: told.append(total(future.result())))
    wait_until(lambda: told == [MEGABYTE], "the callback is called")

    async def awaited() -> int:
        return total(await client.submit(ones, MEGABYTE))

    assert asyncio.run(awaited()) == MEGABYTE


def test_tasks_read_it_where_it_lies(client: Client, place: Place, address: str):
    place.cluster(address, 2)
    future = client.submit(ones, MEGABYTE, 0)
    chain = [future]
    for _ in range(8):
        chain.append(client.submit(grown, chain[-1]))
    assert client.submit(total, *chain).result() == MEGABYTE * sum(range(9))
    wait([*chain])
    assert client.submit(total, *chain).result() == MEGABYTE * sum(range(9))
    assert total(chain[3].result()) == MEGABYTE * 3
    assert client.submit(total, chain[3]).result() == MEGABYTE * 3
    leaf = client.submit(grown, client.submit(grown, client.submit(ones, MEGABYTE)))
    assert total(leaf.result()) == 3 * MEGABYTE


def test_what_is_lost_with_its_cluster_is_made_anew(place: Place):
    """The store of a killed cluster is swept by the next one, as it would be gone with its host."""
    _, address = place.scheduler()
    first = place.cluster(address, 2)
    with Client(address=address) as client:
        future = client.submit(marked, place.path("runs"), MEGABYTE)
        behind = client.submit(grown, future)
        wait([future, behind])
        first.kill()
        place.cluster(address, 2)
        assert client.submit(total, future, behind).result() == 3 * MEGABYTE
        assert total(behind.result()) == 2 * MEGABYTE
        assert total(future.result()) == MEGABYTE
        assert len(place.lines("runs")) == 2


def test_what_failed_is_tried_anew_with_what_was_made_anew(place: Place):
    _, address = place.scheduler()
    first = place.cluster(address, 2)
    with Client(address=address) as client:
        future = client.submit(ones, MEGABYTE)
        behind = client.submit(total_once, place.path("tried"), future)
        assert isinstance(behind.exception(), ValueError)
        first.kill()
        place.cluster(address, 2)
        [again] = client.retry([behind])
        assert again.result() == MEGABYTE


def total_once(path: str, values: "np.ndarray[Any, Any]") -> int:
    if not Path(path).exists():
        append(path, "tried")
        raise ValueError("not yet")
    return total(values)


def test_small_and_large_results_side_by_side_do_not_hold_each_other_up(client: Client):
    sizes = [(60_000 + 20_000 * (number % 2),) for number in range(12_000)]
    found = client.map_async(ones, sizes).get(timeout=120)
    assert [len(one) for one in found] == [size for (size,) in sizes]


def test_a_stream_of_large_results_keeps_no_more_than_a_few_and_none_once_it_is_closed(client: Client):
    before = len(values())
    taken = client.imap(ones, [(2 * MEGABYTE,)] * 1000)
    first = next(taken)
    for count in range(2, 11):
        next(taken)
        # what was taken goes when its cluster hears of that
        assert len(values()) - before <= LEAST_AHEAD + count
    wait_until(lambda: 0 < len(values()) - before <= LEAST_AHEAD + 1, "some are made ahead, and the first is held")
    taken.close()
    wait_until(lambda: len(values()) == before, "all files are gone", within_s=5)
    assert total(first) == 2 * MEGABYTE


def test_what_was_done_can_be_read_after_a_clear_and_after_the_client_has_left(client: Client):
    first, second = client.submit(ones, MEGABYTE), client.submit(ones, MEGABYTE)
    wait([first, second])
    client.clear()
    assert total(first.result()) == MEGABYTE
    third = client.submit(ones, MEGABYTE)
    wait([third])
    client.disconnect()
    assert (total(second.result()), total(third.result())) == (MEGABYTE, MEGABYTE)


@pytest.mark.parametrize(("limit", "stay"), [("1Ki", [True] * 3), ("64Ki", [False, True, True]), ("1Mi", [False] * 3)])
def test_from_which_size_on_results_stay_is_said_by_an_option(place: Place, limit: str, stay: list[bool]):
    _, address = place.scheduler()
    place.cluster(address, 1, "--inline-limit", limit)
    with Client(address=address) as client:
        for count, stays in zip((2000, 70_000, 900_000), stay, strict=True):
            future = client.submit(ones, count)
            wait([future])
            assert len(values()) == stays
            assert total(future.result()) == count
            del future
            wait_until(lambda: not values(), "it is gone")


@pytest.mark.parametrize("options", [("--object-store-limit", "0"), ("--object-store-limit", "2M")])
def test_where_memory_has_no_room_it_lies_on_disk(place: Place, options: tuple[str, ...]):
    spill = Path(place.path("spill"))
    spill.mkdir()
    _, address = place.scheduler()
    place.cluster(address, 2, *options, "--spill-dir", str(spill))
    with Client(address=address) as client:
        futures = [client.submit(ones, MEGABYTE) for _ in range(10)]
        wait(futures)
        assert list(spill.glob(f"{PREFIX}*/*-*"))
        assert [total(future.result()) for future in futures] == [MEGABYTE] * 10
        wait_until(lambda: not list(spill.glob(f"{PREFIX}*/*-*")), "the files are gone")


@needs_hosts
def test_where_there_is_no_room_at_all_it_comes_by_value(place: Place):
    spill = Path(place.path("small"))
    spill.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(spill)], check=True)  # noqa: S607  # root's
    try:
        _, address = place.scheduler()
        place.cluster(address, 2, "--object-store-limit", "0", "--spill-dir", str(spill))
        with Client(address=address) as client:
            futures = [client.submit(ones, MEGABYTE) for _ in range(10)]
            wait(futures)
            assert [total(future.result()) for future in futures] == [MEGABYTE] * 10
            assert total(client.submit(ones, 10 * MEGABYTE).result()) == 10 * MEGABYTE
    finally:
        subprocess.run(["umount", "-l", str(spill)], check=True)  # noqa: S607  # root's


def test_a_killed_worker_leaves_nothing_of_what_it_was_writing(client: Client, place: Place):
    before = len(values())
    futures = [client.submit(die_after, MEGABYTE, place.path(f"once{n}")) for n in range(4)]
    assert [total(future.result()) for future in futures] == [MEGABYTE] * 4
    wait_until(lambda: len(values()) == before, "all files are gone")


def die_after(count: int, path: str) -> "np.ndarray[Any, Any]":
    if not Path(path).exists():
        append(path, "died")
        os.kill(os.getpid(), signal.SIGKILL)
    return ones(count)


def test_tasks_of_tasks_too(client: Client):
    assert client.submit(outer, client, MEGABYTE).result() == 3 * MEGABYTE


def outer(client: Client, count: int) -> int:
    future = client.submit(ones, count)
    return total(future.result()) + client.submit(total, client.submit(grown, future)).result()


def test_a_program_that_ends_with_unread_results_leaves_nothing(place: Place, address: str):
    text = f"""
import numpy as np
from scaler import Client
client = Client(address="{address}")
futures = [client.submit(np.ones, 1_000_000) for _ in range(10)]
from concurrent.futures import wait
wait(futures)
print("done")
"""
    before = len(values())
    program = place.script(text)
    assert program.wait() == 0
    wait_until(lambda: len(values()) == before, "all files are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_cluster_that_is_told_to_end_removes_its_store(place: Place, number: signal.Signals):
    _, address = place.scheduler()
    cluster = place.cluster(address, 2)
    with Client(address=address) as client:
        wait([client.submit(ones, MEGABYTE) for _ in range(3)])
    [in_memory, on_disk] = [path for path in open_paths(cluster.pid) if f"/{PREFIX}" in path]
    assert Path(in_memory).exists()
    assert Path(on_disk).exists()
    cluster.end(number)
    assert not Path(in_memory).exists()
    assert not Path(on_disk).exists()
