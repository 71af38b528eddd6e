"""Programs give the same answers on a cluster and in process, as far as one process can."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError
from concurrent.futures import wait as standard_wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaler import Client, Serializer
from scaler.errors import ClientQuitException, MissingObjects, SerializationError, UnknownTagError
from scaler.testing import InProcessCluster
from tests.integration.processes import Place, own_place

WHERE = {"cluster", "in process"}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with own_place() as place:
        yield place


@pytest.fixture(scope="module")
def clusters(place: Place) -> Iterator[dict[str, Any]]:
    """Both kinds, with the same to offer."""
    _, address = place.scheduler()
    place.cluster(address, 2, "--tag", "fast", "--resources", "gpu=2")
    with InProcessCluster(per_worker_capabilities={"fast": -1, "gpu": 2}) as near:
        yield {"cluster": address, "in process": near}


@pytest.fixture(params=sorted(WHERE))
def client(request: pytest.FixtureRequest, clusters: dict[str, Any]) -> Iterator[Client]:
    with Client(clusters[request.param]) as client:
        yield client


def raised(call: Callable[[], object]) -> BaseException:
    """What a call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001  # whatever it is
        return error
    raise AssertionError("it did not raise")


def double(value: Any) -> Any:
    return value * 2


def write_to(values: Any) -> None:
    values[0] = 1


def add_up(*values: Any, more: int = 0) -> Any:
    return sum(values) + more


def inner_map(client: Client | None, n: int) -> list[int]:
    return (client or Client()).map(double, range(n))


def mark(path: str, text: str) -> int:
    """Append a letter to a file; how many are in it."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)
    return Path(path).stat().st_size


class NotReadyError(Exception):
    pass


def third_time(path: str) -> int:
    if (count := mark(path, "x")) < 3:
        raise NotReadyError(count)
    return count


def test_maps_and_streams(client: Client):
    assert client.map(double, range(300)) == [2 * n for n in range(300)]
    assert client.map(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert client.starmap(add_up, [(1, 2), (3,)]) == [3, 3]
    assert list(client.imap(double, "abc")) == ["aa", "bb", "cc"]
    assert sorted(client.imap_unordered(double, range(5))) == [0, 2, 4, 6, 8]
    promised = client.map_async(double, range(50))
    assert (promised.get(), promised.progress(), promised[3].result()) == ([2 * n for n in range(50)], (50, 0, 50), 6)
    error = raised(lambda: client.map(divmod, [(1, 1), (1, 0)]))
    assert type(error) is ZeroDivisionError
    assert client.map(divmod, [(1, 1), (1, 0)], return_exceptions=True)[0] == (1, 0)


def test_submits_futures_and_waits(client: Client):
    assert client.submit(add_up, 1, 2, more=3).result() == 6
    assert client.submit_verbose(add_up, (1,), {"more": 1}).result() == 2
    futures = [client.submit(double, n) for n in range(6)]
    assert client.submit(add_up, *futures).result() == 30
    assert client.submit(sum, client.map_async(double, range(4))).result() == 12
    assert client.gather({"a": futures[1], "b": [futures[2]]}) == {"a": 2, "b": [4]}
    assert sorted(future.result() for future in client.as_completed(futures)) == [0, 2, 4, 6, 8, 10]
    assert len(client.wait(futures).done) == 6
    assert standard_wait([client.submit(double, 1)], return_when=FIRST_COMPLETED).not_done == set()
    info = futures[0].profiling_info()
    assert (info.attempts, info.duration_s < 5) == (1, True)


def test_what_a_task_raises(client: Client):
    future = client.submit(divmod, 1, 0)
    error = future.exception()
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__[-1].startswith(f"in task {future.task_id} (divmod) on ")
    assert error.__notes__[-1].endswith(", attempt 1")
    frames = []
    trace = raised(lambda: client.submit(raising).result()).__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-2:] == ["raising", "deeper"]
    assert not {"_call", "_outcome", "_run_calls"} & set(frames)
    assert type(client.submit(double, client.submit(divmod, 1, 0)).exception()) is ZeroDivisionError
    error = client.submit(raising_local).exception()
    assert (type(error).__name__, str(error)) == ("LocalError", "here")


def raising() -> None:
    deeper()


def deeper() -> None:
    raise NotReadyError("now")


def raising_local() -> None:
    class LocalError(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("not to be pickled")

    raise LocalError("here")


def test_what_cannot_be_sent(client: Client):
    assert type(raised(lambda: client.submit(double, threading.Lock()))) is SerializationError
    error = client.submit(threading.Lock).exception()
    assert isinstance(error, SerializationError)
    assert "the task returned what cannot be sent back" in str(error)
    assert type(raised(lambda: client.submit(double))) is TypeError
    assert type(raised(lambda: client.submit(double, 1, tag="none"))) is UnknownTagError


@pytest.mark.parametrize("size", [4, 100_000])
def test_arguments_and_results_are_copies_and_arrays_of_tasks_read_only(client: Client, size: int):
    values = np.zeros(size)
    error = client.submit(write_to, values).exception()
    assert (type(error), str(error)) == (ValueError, "assignment destination is read-only")
    result = client.submit(double, values).result()
    result[0] = 1
    assert values[0] == 0
    items = [1]
    assert client.submit(double, items).result() == [1, 1]
    assert client.submit(list.append, items, 2).result() is None
    assert items == [1]
    assert client.submit(np.sum, client.submit(double, np.ones(size))).result() == 2 * size


def test_objects_that_are_sent_once(client: Client):
    reference = client.send_object({"values": np.ones(50_000)}, name="table")
    assert client.submit(total_of, reference).result() == 50_000
    client.clear()
    assert type(raised(lambda: client.submit(total_of, reference))) is MissingObjects


def total_of(table: dict[str, Any]) -> float:
    return float(table["values"].sum())


def test_tags_resources_retries(client: Client, tmp_path: Path):
    assert client.submit(double, 1, tag="fast", resources={"gpu": 2}).result() == 2
    path = str(tmp_path / "tries")
    future = client.submit(third_time, path, retry_on=NotReadyError, retries=2, retry_delay_s=0.01)
    assert (future.result(), future.profiling_info().attempts) == (3, 3)
    error = client.submit(third_time, f"{path}2", retry_on=NotReadyError, retries=1, retry_delay_s=0.01).exception()
    assert isinstance(error, NotReadyError)
    assert error.__notes__[-1].endswith("attempt 2")
    assert client.submit(third_time, f"{path}3").exception() is not None


def test_failed_tasks_are_retried(client: Client, tmp_path: Path):
    path = str(tmp_path / "tries")
    future = client.submit(third_time, path)
    assert future.exception() is not None
    assert client.failed() == [future]
    assert client.retry(future)[0].exception() is not None
    assert client.retry(client.failed())[0].result() == 3


def test_graphs(client: Client):
    graph = {"a": 2, "b": (double, "a"), "c": (add_up, "a", "b")}
    assert client.get(graph, ["c", "a"]) == {"c": 6, "a": 2}
    assert client.get(graph, ["c"], block=False)["c"].result() == 6


def test_clients_inside_of_tasks(client: Client):
    assert client.submit(inner_map, None, 3).result() == [0, 2, 4]
    assert client.submit(inner_map, client, 3).result() == [0, 2, 4]
    assert client.map(inner_map, [(client, n) for n in range(4)]) == [[], [0], [0, 2], [0, 2, 4]]


def test_coroutines(client: Client):
    async def program() -> list[Any]:
        futures = [client.submit(double, n) for n in range(3)]
        found = [await future for future in futures]
        found.append(await client.map_async(double, range(3)))
        found.append(await asyncio.get_running_loop().run_in_executor(client, double, 7))
        found += sorted([future.result() async for future in client.as_completed(futures)])
        return found

    assert asyncio.run(program()) == [0, 2, 4, [0, 2, 4], 14, 0, 2, 4]


def test_executors_and_everywhere(client: Client):
    with client.executor() as executor:
        assert list(executor.map(double, range(3))) == [0, 2, 4]
        assert executor.submit(add_up, 1, more=2).result() == 3
    client.run_on_workers(os.getpid)
    assert type(raised(lambda: client.run_on_workers(raising))) is NotReadyError


def test_cancelled_and_cleared(client: Client):
    futures = [client.submit(double, n, resources={"gpu": 3}) for n in range(3)]  # which nobody has
    assert futures[0].cancel()
    client.cancel(futures[1])
    assert [future.cancelled() for future in futures] == [True, True, False]
    assert futures[2].explain() == "no connected worker offers gpu=3"
    client.clear()
    assert type(raised(futures[2].result)) is CancelledError
    assert client.submit(double, 2).result() == 4
    client.disconnect()
    assert type(raised(lambda: client.submit(double, 2))) is ClientQuitException


def test_protected_from_shutdown_and_timeouts_of_waits(client: Client):
    assert type(raised(client.shutdown)) is ValueError
    stuck = client.submit(double, 1, resources={"gpu": 3})
    assert type(raised(lambda: stuck.result(timeout=0.05))) is TimeoutError
    assert client.wait([stuck], timeout=0.05).done == set()
    with contextlib.suppress(TimeoutError):
        next(client.as_completed([stuck], timeout=0.05))
        raise AssertionError("it is not done")


class Marked(Serializer):
    """Puts a mark before what it has serialized, so that it can be seen that nothing else reads it."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        import pickle  # noqa: PLC0415  # it travels by value

        return b"marked" + pickle.dumps(obj)

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        import pickle  # noqa: PLC0415  # it travels by value

        assert payload[:6] == b"marked"
        return pickle.loads(payload[6:])  # noqa: S301  # our own bytes


@pytest.mark.parametrize("where", sorted(WHERE))
def test_serializers_of_users(clusters: dict[str, Any], where: str):
    with Client(clusters[where], serializer=Marked()) as client:
        assert client.submit(double, 2).result() == 4
        assert client.map(double, range(3)) == [0, 2, 4]
