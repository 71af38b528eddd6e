"""What users do with a client, on one small cluster that all these tests share."""

import asyncio
import concurrent.futures
import functools
import importlib
import math
import operator
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from collections import namedtuple
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import scaler
from scaler import Client, SchedulerClusterCombo
from scaler.errors import ClientQuitException, DeserializeObjectError, SerializationError, TaskError
from tests.integration.processes import own_place, wait_until
from tests.integration.workloads import append, reciprocal, same

MIB = 1 << 20
Pair = namedtuple("Pair", "left right")  # noqa: PYI024  # what users have


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    with own_place(), SchedulerClusterCombo(n_workers=3) as combo:
        yield combo


@pytest.fixture(scope="module")
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with Client(address=cluster) as client:
        yield client


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module that this process can import, and no worker."""
    (tmp_path / "only_here.py").write_text("def function():\n    pass\n\nclass Thing:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("only_here")
    del sys.modules["only_here"]


def test_what_workers_cannot_import_is_told_with_what_to_do(client: Client, only_here: Any):
    future = client.submit(only_here.function)
    missing = "ModuleNotFoundError: No module named 'only_here'; workers must be able to import .* --python-path"
    with pytest.raises(DeserializeObjectError, match=f"^the function cannot be loaded here: {missing}") as caught:
        future.result()
    assert caught.value.__notes__[0].startswith(f"in task {future.task_id} (function) on ")
    with pytest.raises(DeserializeObjectError, match=f"^the arguments cannot be loaded here: {missing}"):
        client.submit(same, only_here.Thing()).result()


# ---- map


def test_map_takes_tuples_as_argument_lists_and_anything_else_as_the_argument(client: Client):
    assert client.map(math.sqrt, [(4,), (9,)]) == [2.0, 3.0]
    assert client.map(math.sqrt, [4, 9]) == [2.0, 3.0]
    assert client.map(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert client.map(same, [[1, 2], Pair(1, 2), ((1, 2),), None]) == [[1, 2], Pair(1, 2), (1, 2), None]
    assert client.map(pow, (n for n in range(4)), [2, 2, 2]) == [0, 1, 4]
    assert client.starmap(pow, [[2, 5], (5, 2)]) == [32, 25]


def test_a_map_over_nothing_is_an_empty_list_and_the_client_goes_on(client: Client):
    assert (client.map(same, []), client.starmap(pow, iter(())), client.map(pow, [], [1])) == ([], [], [])
    assert client.map(same, [1]) == [1]


def test_ten_thousand_elements_come_back_in_order(client: Client):
    assert client.map(same, range(10_000)) == list(range(10_000))


def test_a_failing_element_raises_at_the_end_and_the_others_stay_reachable(client: Client):
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        client.map(reciprocal, [1, 0, 2, 0])
    results = vars(caught.value)["results"]
    assert (results[0], results[2]) == (1.0, 0.5)
    assert [type(results[number]) for number in (1, 3)] == [ZeroDivisionError] * 2
    assert client.map(reciprocal, [1, 4]) == [1.0, 0.25]


def test_exceptions_stand_in_the_list_where_that_is_asked_for(client: Client):
    outcomes = client.map(reciprocal, [1, 0, 2], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [float, ZeroDivisionError, float]


def test_what_a_map_draws_from_may_fail_and_leaves_the_client_usable(client: Client):
    def elements() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        client.map(same, elements())
    assert client.submit(same, 2).result() == 2


# ---- calls and signatures


def with_keywords(first: int, *, second: int, **others: int) -> tuple[int, int, dict[str, int]]:
    return first, second, others


def test_keyword_only_and_other_keywords_reach_the_function(client: Client):
    assert client.submit(with_keywords, 1, second=2, third=3).result() == (1, 2, {"third": 3})


def test_a_call_that_does_not_fit_is_a_type_error_where_it_is_made(client: Client):
    for call in (
        lambda: client.submit(with_keywords, 1),
        lambda: client.submit(same),
        lambda: client.map(same, [(1, 2)]),
        lambda: client.map(with_keywords, [1]),
        lambda: client.submit("no function"),
        lambda: client.map(same),
    ):
        with pytest.raises(TypeError):
            call()


def test_builtins_without_a_signature_are_called(client: Client):
    assert client.submit(max, 3, 4).result() == 4
    assert client.map(dict, [[("a", 1)], [("b", 2)]]) == [{"a": 1}, {"b": 2}]
    assert client.submit(operator.itemgetter(1), "abc").result() == "b"
    assert client.submit("a-b".split, "-").result() == ["a", "b"]


def test_lambdas_closures_partials_methods_and_classes_are_sent(client: Client):
    factor = 7
    assert client.map(lambda number: number * factor, [1, 2]) == [7, 14]
    assert client.submit(functools.partial(pow, 2), 5).result() == 32
    assert client.submit(functools.partial(with_keywords, second=5), 1).result() == (1, 5, {})
    assert client.submit(Pair, 1, right=2).result() == Pair(1, 2)
    assert client.submit([3, 1, 2].index, 2).result() == 2


def test_a_closure_is_sent_as_it_is_at_each_submit(client: Client):
    value = 1

    def current() -> int:
        return value

    first = client.submit(current)
    value = 2
    assert (first.result(), client.submit(current).result()) == (1, 2)


# ---- what cannot be sent


def raising_a_lock() -> None:
    raise ValueError("not at all", threading.Lock())


class Holder:
    def __init__(self) -> None:
        self.inner = {"lock": threading.Lock()}


def test_an_exception_that_cannot_be_sent_is_described(client: Client):
    with pytest.raises(TaskError, match="not at all") as caught:
        client.submit(raising_a_lock).result()
    assert caught.value.type_name == "ValueError"
    assert "in raising_a_lock" in caught.value.traceback_text


def test_an_argument_that_cannot_be_sent_is_named_at_submit(client: Client):
    for call in (lambda: client.submit(same, Holder()), lambda: client.map(same, [1, Holder()])):
        with pytest.raises(SerializationError, match=r"inner.*lock"):
            call()
    assert client.submit(same, 1).result() == 1


def test_a_result_that_cannot_be_sent_is_named(client: Client):
    with pytest.raises(SerializationError, match=r"inner.*lock"):
        client.submit(Holder).result()


def failing(depth: int) -> None:
    if depth:
        failing(depth - 1)
    raise KeyError("deep down")


def test_an_exception_has_the_frames_it_went_through_and_where_it_ran(client: Client):
    with pytest.raises(KeyError, match="deep down") as caught:
        client.submit(failing, 2).result()
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("in failing") == 3
    assert re.search(r"in task [0-9a-f]{16}-\d+-0 \(failing\) on .*, worker \d, attempt 1", text)


# ---- large values


@pytest.mark.parametrize("size", [MIB - 1, MIB, 3 * MIB, 40 * MIB])
def test_large_arguments_and_results_pass_whole(client: Client, size: int):
    value = os.urandom(MIB) * (size // MIB + 1)
    value = value[:size]
    assert client.submit(same, value).result() == value
    assert client.map(same, [value[: size // 2], value]) == [value[: size // 2], value]


def test_a_large_function_passes_whole(client: Client):
    data = os.urandom(3 * MIB)
    assert client.map(lambda number: data[number], range(100)) == list(data[:100])


class Noted:
    """Leaves a line wherever it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return _noted, (self.path,)


def _noted(path: Path) -> Noted:
    append(str(path), os.getpid())
    return Noted(path)


def accumulate(into: list[int], number: int) -> int:
    into.append(number)
    return len(into)


class Account:
    def __init__(self) -> None:
        self.balance = 0

    def pay(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    __call__ = pay


@pytest.mark.parametrize("options", [{}, {"retries": 1, "retry_on": OSError}], ids=["plain", "retried"])
def test_what_a_partial_or_an_object_brings_is_as_it_was_sent_at_each_call(
    cluster: SchedulerClusterCombo, options: dict[str, Any]
):
    account = Account()
    for _ in range(2):
        with Client(address=cluster.get_address()) as client:
            partial = functools.partial(accumulate, [])
            assert client.map(partial, range(20), **options) == [1] * 20
            assert [client.submit(partial, number, **options).result() for number in range(10)] == [1] * 10
            for function in (account.pay, account, functools.partial(account.pay), functools.partial(account)):
                assert client.map(function, [3] * 10, **options) == [3] * 10
                assert client.submit(function, 4, **options).result() == 4


def test_a_function_of_known_bytes_is_opened_once_in_a_worker(client: Client, tmp_path: Path):
    noted = Noted(tmp_path / "opened")
    captured = 1

    def function(number: int, _noted: Noted = noted) -> int:
        return number + captured

    assert [client.submit(function, number).result() for number in range(20)] == list(range(1, 21))
    assert client.map(function, range(100)) == list(range(1, 101))
    opened = noted.path.read_text(encoding="utf-8").splitlines()
    assert len(opened) == len(set(opened)) <= 3
    captured = 2
    assert client.submit(function, 1).result() == 3


def test_a_client_that_is_pickled_connects_from_where_it_is_opened(client: Client):
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).submit(pow, 2, 5).result())"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(client), capture_output=True, check=True)
    assert done.stdout == b"32\n"


def test_small_results_are_not_kept_up_by_large_ones(client: Client):
    futures = [client.submit(same, bytes(8 * MIB)) for _ in range(4)]
    small = client.submit(same, 1)
    assert small.result() == 1
    assert [len(future.result()) for future in futures] == [8 * MIB] * 4


# ---- waiting


def test_the_ways_to_wait_mean_what_they_mean_in_the_standard_library(client: Client):
    futures = [client.submit(same, number) for number in range(20)]
    assert client.gather(futures) == scaler.gather(futures) == list(range(20))
    for as_completed in (client.as_completed, scaler.as_completed, concurrent.futures.as_completed):
        assert sorted(future.result() for future in as_completed(futures)) == list(range(20))
    for wait in (client.wait, scaler.wait, concurrent.futures.wait):
        done, not_done = wait(futures)
        assert (len(done), len(not_done)) == (20, 0)


def test_what_finishes_first_comes_first(client: Client):
    long, short = client.submit(time.sleep, 0.5), client.submit(same, 1)
    assert list(client.as_completed([long, short])) == [short, long]
    long = client.submit(time.sleep, 0.5)
    done, not_done = client.wait([long, client.submit(same, 1)], return_when="FIRST_COMPLETED")
    assert not_done == {long}
    assert long not in done


def test_waiting_ends_with_its_time(client: Client):
    long = client.submit(time.sleep, 0.6)
    with pytest.raises(TimeoutError):
        long.result(timeout=0.05)
    with pytest.raises(TimeoutError):
        list(client.as_completed([long], timeout=0.05))
    assert client.wait([long], timeout=0.05).not_done == {long}
    assert long.result() is None


def test_gather_raises_the_first_failure_or_returns_them_all(client: Client):
    futures = [client.submit(reciprocal, number) for number in (1, 0, 2)]
    with pytest.raises(ZeroDivisionError):
        client.gather(futures)
    outcomes = client.gather(futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [float, ZeroDivisionError, float]


def test_plain_results_are_no_futures_and_that_is_said(client: Client):
    with pytest.raises(TypeError, match="map returns plain results"):
        client.gather(client.map(same, [1]))


def test_a_future_can_be_awaited_and_calls_back(client: Client):
    async def both() -> list[int]:
        return list(await asyncio.gather(*(client.submit(same, number) for number in (1, 2))))

    assert asyncio.run(both()) == [1, 2]
    called: list[int] = []
    client.submit(same, 3).add_done_callback(lambda future: called.append(future.result()))
    wait_until(lambda: called == [3], "the callback was called")


def test_a_future_is_reported_running(client: Client):
    future = client.submit(time.sleep, 1.0)
    wait_until(future.running, "it runs")
    assert not future.cancel()
    assert future.result() is None


def test_a_system_exit_in_a_task_is_its_own_exception(client: Client):
    future = client.submit(sys.exit, 3)
    error = future.exception()
    assert isinstance(error, SystemExit)
    assert error.code == 3


# ---- many at once


def test_many_threads_share_a_client(client: Client):
    def work(thread: int) -> list[int]:
        futures = [client.submit(same, thread * 1000 + number) for number in range(200)]
        mapped = client.map(same, range(thread, thread + 50))
        return [future.result() for future in futures] + mapped

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(work, range(16)))
    assert found == [[t * 1000 + n for n in range(200)] + list(range(t, t + 50)) for t in range(16)]


def test_five_clients_at_once_each_get_their_own(cluster: SchedulerClusterCombo):
    def work(number: int) -> list[int]:
        with Client(address=cluster) as own:
            futures = [own.submit(same, number) for _ in range(100)]
            return own.map(same, [number] * 500) + own.gather(futures)

    with ThreadPoolExecutor(5) as threads:
        assert list(threads.map(work, range(5))) == [[number] * 600 for number in range(5)]


# ---- leaving


def test_a_client_that_has_left_says_so(cluster: SchedulerClusterCombo):
    client = Client(address=cluster)
    future = client.submit(time.sleep, 5)
    client.disconnect()
    client.disconnect()
    with pytest.raises(ClientQuitException):
        future.result()
    with pytest.raises(ClientQuitException, match="disconnected"):
        client.submit(same, 1)
    with pytest.raises(ClientQuitException):
        client.map(same, [1])
    assert "disconnected" in repr(client)


def test_work_of_a_client_that_leaves_does_not_hold_up_others(cluster: SchedulerClusterCombo, client: Client):
    with Client(address=cluster) as leaver:
        for _ in range(500):
            leaver.submit(time.sleep, 0.5)
    assert client.submit(same, 1).result(timeout=10) == 1


def test_a_client_shows_where_it_is_connected(cluster: SchedulerClusterCombo, client: Client):
    assert cluster.get_address() in repr(client)
    assert len(client.identity) == 8
