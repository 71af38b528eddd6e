"""Tasks of an in-process cluster run here, in an order that can be told, and as alone as in another process."""

import asyncio
import contextvars
import gc
import pickle
import queue
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from scaler import Client
from scaler.errors import ConfigurationError, DisconnectedError
from scaler.testing import InProcessCluster, in_process_client
from scaler.testing.debuggers import is_at_prompt

#: what tasks have done, which they can tell here as they run in this process
DONE: list[Any] = []
HERE = contextvars.ContextVar("HERE", default="unset")


@pytest.fixture
def client() -> Iterator[Client]:
    DONE.clear()
    with in_process_client() as client:
        yield client


def do(what: Any) -> Any:
    DONE.append(what)
    return what


def thread() -> str:
    return threading.current_thread().name


def nested(n: int) -> list[Any]:
    with Client() as client:
        return client.map(do, range(n))


def test_tasks_run_in_the_thread_that_waits(client: Client):
    assert client.submit(thread).result() == thread()
    assert client.map(thread_of, range(3)) == [thread()] * 3


def thread_of(_: object) -> str:
    return thread()


def test_nothing_runs_before_it_is_needed_and_no_more_than_that(client: Client):
    futures = [client.submit(do, n) for n in range(3)]
    assert DONE == []
    assert futures[1].result() == 1
    assert DONE == [0, 1]


def test_what_is_more_urgent_runs_first(client: Client):
    last = client.submit(do, "last", priority=-1)
    client.submit(do, "then")
    client.submit(do, "first", priority=3)
    last.result()
    assert DONE == ["first", "then", "last"]


def test_a_task_that_was_cancelled_before_does_not_run(client: Client):
    futures = [client.submit(do, n) for n in range(3)]
    client.cancel([futures[0]])
    assert futures[1].cancel()
    assert futures[2].result() == 2
    assert DONE == [2]


def test_an_executor_can_tell_that_a_task_has_never_run(client: Client):
    with client.executor() as executor:
        futures = [executor.submit(do, n) for n in range(3)]
        assert [future.cancel() for future in futures] == [True, True, True]
    assert DONE == []


def test_what_nobody_waits_for_runs_in_a_thread_of_its_own(client: Client):
    names: queue.SimpleQueue[str] = queue.SimpleQueue()
    client.submit(thread).add_done_callback(lambda future: names.put(future.result()))
    assert names.get(timeout=30) == "scaler-in-process"


def test_a_task_sees_its_own_clients_and_what_it_submits_runs_in_its_wait(client: Client):
    assert client.submit(nested, 3).result() == [0, 1, 2]
    assert client.submit(outer, client).result() == [[], [0], [0, 1]]


def outer(client: Client) -> list[Any]:
    return [future.result() for future in [client.submit(nested, n) for n in range(3)]]


def test_what_a_task_has_submitted_and_not_waited_for_does_not_run(client: Client):
    assert client.submit(leave).result() is None
    assert client.submit(do, "next").result() == "next"
    assert DONE == ["next"]


def leave() -> None:
    Client().submit(do, "left")


def test_in_an_event_loop_tasks_run_between_its_steps_and_may_have_loops_of_their_own(client: Client):
    async def program() -> list[Any]:
        first = await client.submit(thread)
        second = await asyncio.wrap_future(client.submit(do, 2))
        others = [future.result() async for future in client.as_completed([client.submit(own_loop)])]
        return [first, second, *others]

    assert asyncio.run(program()) == [thread(), 2, 5]


def own_loop() -> int:
    async def five() -> int:
        return 5

    return asyncio.run(five())


def test_a_coroutine_that_was_cancelled_runs_nothing_more(client: Client):
    async def program() -> None:
        stuck = asyncio.create_task(asyncio.wait_for(client.submit(do, 1, resources={"gpu": 1}), 0.05))
        with pytest.raises(TimeoutError):
            await stuck
        client.submit(do, 2)
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, done.set_result, None)
        await done
        assert DONE == []

    asyncio.run(program())


def test_runs_are_forgotten_when_their_results_have_arrived(client: Client):
    reports = client._cluster.hub._reports
    client.map(do, range(100))
    future = client.submit(do, 1)
    assert future.cancel()
    assert client.submit(do, 2).result() == 2
    with client.executor() as executor:
        assert executor.submit(do, 3).cancel()
    ended = threading.Event()
    for _ in range(1000):  # results are taken after a moment
        if not reports._works or ended.wait(0.01):
            break
    assert reports._works == {}


def test_contexts_of_the_test_and_of_tasks_are_not_shared(client: Client):
    token = HERE.set("test")
    try:
        assert client.submit(set_here).result() == "unset"
        assert HERE.get() == "test"
    finally:
        HERE.reset(token)


def set_here() -> str:
    before = HERE.get()
    HERE.set("task")
    return before


def test_breakpoints_in_tasks_stop_here(client: Client, monkeypatch: pytest.MonkeyPatch):
    stops: list[tuple[str, str]] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append((thread(), sys._getframe(1).f_code.co_name)))
    assert client.submit(stopping, 2).result() == 4
    assert stops == [(thread(), "stopping")]


def stopping(n: int) -> int:
    breakpoint()  # noqa: T100  # what is tested
    return 2 * n


def test_what_is_patched_here_is_patched_in_tasks(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(f"{__name__}.thread", lambda: "patched")
    assert client.submit(thread_of, 0).result() == "patched"


def test_ctrl_c_in_a_task_ends_the_wait_and_is_what_the_task_raised(client: Client):
    future = client.submit(interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.gather([client.submit(do, 1), future])
    with pytest.raises(KeyboardInterrupt):
        future.result()
    assert client.submit(do, 2).result() == 2


def interrupted() -> None:
    raise KeyboardInterrupt


def test_tags_and_resources_are_those_that_were_said():
    with in_process_client(per_worker_capabilities={"fast": -1, "gpu": 2}) as client:
        assert client.submit(abs, -1, tag="fast", resources={"gpu": 2}).result() == 1
        assert client.submit(abs, -1, resources={"gpu": 3}).explain() == "no connected worker offers gpu=3"
    with pytest.raises(ConfigurationError, match="gpu is -1 or more than 0, not 0"):
        InProcessCluster(per_worker_capabilities={"gpu": 0})


def test_several_clients_may_share_a_cluster_by_its_address(monkeypatch: pytest.MonkeyPatch):
    with InProcessCluster() as cluster, Client(cluster) as one, Client(cluster.get_address()) as two:
        assert (one.submit(abs, -1).result(), two.submit(abs, -2).result()) == (1, 2)
        again = pickle.loads(pickle.dumps(one))  # noqa: S301  # our own bytes
        assert again.submit(abs, -3).result() == 3
        again.disconnect()
        monkeypatch.setenv("SCALER_ADDRESS", cluster.get_address())
        with Client() as found:
            assert found.submit(abs, -4).result() == 4


def test_a_client_whose_cluster_was_shut_down_says_so():
    cluster = InProcessCluster()
    client = Client(cluster)
    future = client.submit(abs, -1)
    assert repr(cluster).startswith("<InProcessCluster in-process://")
    cluster.shutdown()
    cluster.shutdown()
    assert (cluster.is_running, repr(cluster)) == (False, "<InProcessCluster stopped>")
    with pytest.raises(DisconnectedError, match="has been shut down"):
        future.result()
    client.disconnect()


def test_a_cluster_that_nobody_holds_is_gone():
    client = in_process_client()
    cluster = weakref.ref(client._cluster)
    client.submit(abs, -1).result()
    client.disconnect()
    del client
    gc.collect()
    assert cluster() is None


def test_a_debugger_at_its_prompt_is_seen():
    assert not is_at_prompt()
    namespace: dict[str, Any] = {"__name__": "bdb", "look": is_at_prompt}
    exec("def prompt():\n    return look()", namespace)  # noqa: S102  # stands for the module of the debugger
    assert namespace["prompt"]()
