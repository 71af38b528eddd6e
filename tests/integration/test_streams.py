"""`imap`, `imap_unordered`, `map_async` and what goes with them, on one small cluster that these tests share."""

import concurrent.futures
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import scaler
from scaler import Client, SchedulerClusterCombo
from scaler.errors import TaskTimeoutError
from tests.integration.processes import Place, own_place, wait_until
from tests.integration.workloads import reciprocal, same, slept

#: what a million elements may leave behind, in each process: about 8 bytes of each would be too much
FLAT_BYTES = 8 << 20
#: what each of a million queued tasks may take in the client, beyond its own bytes
QUEUED_BYTES = 150


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    with own_place(), SchedulerClusterCombo(n_workers=3) as combo:
        yield combo


@pytest.fixture(scope="module")
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


STREAMS = ["imap", "imap_unordered"]


# ---- imap and imap_unordered


def test_imap_gives_results_in_order(client: Client):
    assert list(client.imap(same, range(20_000))) == list(range(20_000))
    assert list(client.imap(slept, [0.2, 0.0, 0.1])) == [0.2, 0.0, 0.1]


def test_imap_unordered_gives_results_as_they_are_there(client: Client):
    assert sorted(client.imap_unordered(same, range(20_000))) == list(range(20_000))
    assert list(client.imap_unordered(slept, [0.6, 0.0, 0.3])) == [0.0, 0.3, 0.6]


@pytest.mark.parametrize("name", STREAMS)
def test_streams_read_elements_as_map_does(client: Client, name: str):
    stream = getattr(client, name)
    assert sorted(stream(pow, [(2, 3), (3, 2)])) == [8, 9]
    assert sorted(stream(pow, itertools.count(1), [2, 2])) == [1, 4]
    assert list(stream(same, [])) == []


@pytest.mark.parametrize("name", STREAMS)
def test_an_endless_generator_is_drawn_no_further_than_asked(client: Client, name: str):
    drawn = itertools.count()
    elements = (next(drawn) for _ in itertools.repeat(None))
    results = getattr(client, name)(same, elements, buffersize=100)
    assert sorted(itertools.islice(results, 1000)) == pytest.approx(range(1000), abs=100)
    results.close()
    assert next(drawn) <= 1100


def test_a_slow_generator_does_not_hold_results_back(client: Client):
    def elements() -> Iterator[int]:
        for number in range(5):
            time.sleep(0.2)
            yield number

    begun = time.monotonic()
    results = client.imap(same, elements())
    assert next(results) == 0
    assert time.monotonic() - begun < 0.9
    assert list(results) == [1, 2, 3, 4]


def test_a_small_look_ahead_keeps_all_slots_busy(client: Client):
    begun = time.monotonic()
    assert len(list(client.imap(slept, [0.1] * 30, buffersize=3))) == 30
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize("name", STREAMS)
def test_a_failed_element_raises_when_its_turn_comes_and_the_stream_goes_on(client: Client, name: str):
    results = getattr(client, name)(reciprocal, [1, 0, 2])
    found = []
    for _ in range(3):
        try:
            found.append(next(results))
        except ZeroDivisionError:
            found.append(0)
    assert sorted(found) == [0, 0.5, 1.0]
    outcomes = getattr(client, name)(reciprocal, [1, 0, 2], return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ZeroDivisionError", "float", "float"]


def test_an_exception_that_a_task_returns_is_a_result(client: Client):
    assert [repr(result) for result in client.imap(same, [KeyError("x")])] == ["KeyError('x')"]


def test_what_the_generator_raises_comes_behind_the_results(client: Client):
    def elements() -> Iterator[int]:
        yield from range(100)
        raise LookupError("no more")

    found = []
    with pytest.raises(LookupError, match="no more"):
        found.extend(client.imap(same, elements()))
    results = client.imap(same, elements())
    assert [next(results) for _ in range(100)] == list(range(100))
    with pytest.raises(LookupError, match="no more"):
        next(results)


@pytest.mark.parametrize("leave", [lambda stream: stream.close(), lambda _: None])
def test_what_nobody_takes_is_given_up(client: Client, leave: Callable[[Any], None]):
    results = client.imap_unordered(slept, itertools.chain([0.0], itertools.repeat(30.0)), buffersize=20)
    assert next(results) == 0.0
    leave(results)
    del results
    assert client.submit(same, 1).result(timeout=10) == 1


def test_several_streams_are_taken_in_turns(client: Client):
    first, second = client.imap(same, itertools.count()), client.imap(math.sqrt, itertools.count())
    pairs = itertools.islice(zip(first, second, strict=True), 5000)
    assert all(math.isclose(number, root * root, abs_tol=1e-6) for number, root in pairs)


def test_a_stream_keeps_its_client_alive(cluster: SchedulerClusterCombo):
    assert list(Client(cluster).imap(same, range(3000))) == list(range(3000))


ENDLESS = """
import gc, itertools, json, sys
import psutil
from scaler import Client, SchedulerClusterCombo

def same(value):
    return value

with SchedulerClusterCombo(n_workers=2) as cluster, Client(cluster) as client:
    scheduler = next(child for child in psutil.Process().children() if "scheduler" in child.cmdline())
    watched = [psutil.Process(), scheduler]
    results = client.imap(same, itertools.count())
    seen = []
    for expected, number in zip(range(1_000_001), results):
        assert number == expected
        if number in (200_000, 1_000_000):
            gc.collect()
            seen.append([process.memory_info().rss for process in watched])
print(json.dumps([after - before for before, after in zip(*seen)]))
"""


def test_a_million_elements_of_an_endless_generator_hold_memory_flat(place: Place):
    script = place.script(ENDLESS)
    assert script.wait(110) == 0, script.err
    assert max(json.loads(script.out)) < FLAT_BYTES


# ---- map_async


def test_map_async_returns_a_sequence_of_futures(client: Client):
    found = client.map_async(same, range(100))
    assert isinstance(found, Sequence)
    assert (len(found), found[3].result(), found[-1].result()) == (100, 3, 99)
    assert client.gather(found[10:13]) == [10, 11, 12]
    assert [future.result() for future in found] == list(range(100))
    assert found.get(timeout=10) == list(range(100))
    assert found.ready()
    assert found.successful()
    assert (client.map_async(same, []).get(), client.map_async(pow, [(2, 3)]).get()) == ([], [8])


def test_a_map_future_tells_how_far_it_is(client: Client):
    found = client.map_async(slept, [0.0, 30.0])
    wait_until(lambda: found.progress().done == 1, "one is done")
    assert not found.ready()
    assert not found.wait(0.01)
    with pytest.raises(ValueError, match="is not ready"):
        found.successful()
    with pytest.raises(TimeoutError, match=r"1 \(of 2\) tasks are not done"):
        found.get(timeout=0.01)
    assert "1 of 2 done" in repr(found)
    found.cancel()


def test_a_map_future_that_is_cancelled_frees_the_slots_also_of_what_runs(client: Client):
    found = client.map_async(slept, [60.0] * 500)
    wait_until(lambda: sum(future.running() for future in found[:3]) == 3, "three run")
    assert found.cancel()
    with pytest.raises(CancelledError):
        found.get()
    assert client.map(same, range(3)) == [0, 1, 2]


def test_a_whole_map_can_be_cancelled_by_the_client(client: Client):
    found = client.map_async(slept, [60.0] * 50)
    client.cancel(found)
    assert all(future.cancelled() for future in found)
    assert client.map(same, range(3)) == [0, 1, 2]


def test_those_of_a_map_that_failed_are_listed_and_submitted_anew(client: Client, tmp_path: Path):
    def once_there(path: str, number: int) -> int:
        if number % 10 == 3 and not os.path.exists(path):  # noqa: PTH110  # what users write
            raise FileNotFoundError(path)
        return number

    path = tmp_path / "there"
    found = client.map_async(once_there, [str(path)] * 100, range(100))
    assert found.wait(30)
    failed = [future for future in client.failed() if future in set(found)]
    assert failed == found[3::10]
    path.touch()
    assert client.gather(client.retry(failed)) == list(range(3, 100, 10))
    assert not set(client.failed()) & set(found)


def test_how_the_tasks_of_a_map_ran_is_known(client: Client):
    found = client.map_async(slept, [0.05, 0.0])
    found.get()
    info = found[0].profiling_info()
    assert info.duration_s >= 0.05
    assert (info.attempts, found[0].explain()) == (1, "it is done")


def test_options_are_for_each_task_of_a_map_or_stream(client: Client):
    for results in (
        client.map_async(slept, [30.0, 0.0], timeout=0.2, return_exceptions=True).get(),
        list(client.imap(slept, [30.0, 0.0], timeout=0.2, return_exceptions=True)),
        sorted(client.imap_unordered(slept, [30.0, 0.0], timeout=0.2, return_exceptions=True), key=repr, reverse=True),
    ):
        assert isinstance(results[0], TaskTimeoutError)
        assert results[1] == 0.0
    for call in (client.map_async, client.imap, client.imap_unordered):
        with pytest.raises(TypeError, match="did you mean 'priority'"):
            call(same, [1], prioriti=1)


def test_a_failure_among_many_is_raised_with_all_outcomes(client: Client):
    found = client.map_async(reciprocal, [1, 0, 2])
    with pytest.raises(ZeroDivisionError) as caught:
        found.get()
    assert vars(caught.value)["results"][::2] == [1.0, 0.5]
    assert not found.successful()
    assert isinstance(found[1].exception(), ZeroDivisionError)
    outcomes = client.map_async(reciprocal, [1, 0], return_exceptions=True).get()
    assert [type(outcome) for outcome in outcomes] == [float, ZeroDivisionError]


def test_the_ways_to_wait_take_a_map_future(client: Client):
    found = client.map_async(same, range(1000))
    assert sorted(future.result() for future in client.as_completed(found)) == list(range(1000))
    assert client.gather(found) == scaler.gather(found) == list(range(1000))
    assert (len(client.wait(found).done), len(concurrent.futures.wait(found).done)) == (1000, 1000)
    later = client.map_async(slept, [0.5, 0.0])
    assert [future.result() for future in scaler.as_completed(later)] == [0.0, 0.5]


@pytest.mark.parametrize("ask", ["as_completed", "wait", "gather"])
def test_plain_results_of_map_are_refused_with_a_word_on_map_async(client: Client, ask: str):
    results = client.map(same, [1, 2])
    for whose in (client, scaler):
        with pytest.raises(TypeError, match="the futures that submit and map_async return, not int"):
            getattr(whose, ask)(results)


def test_results_with_their_futures(client: Client):
    found = client.map_async(same, range(5))
    assert sorted(result for _, result in client.as_completed(found, with_results=True)) == list(range(5))


def test_futures_that_are_added_while_others_are_waited_for_come_too(client: Client):
    found = client.as_completed([client.submit(same, 3)])
    seen = []
    for future in found:
        seen.append(future.result())
        if future.result():
            found.add(client.submit(same, future.result() - 1))
    assert seen == [3, 2, 1, 0]


def test_gather_looks_into_containers(client: Client):
    one, some = client.submit(same, 1), client.map_async(same, [2, 3])
    assert client.gather({"one": one, "more": [one, (some,)]}) == {"one": 1, "more": [1, ([2, 3],)]}


QUEUED = """
import gc, pickle, sys
import psutil
from scaler import Client, SchedulerClusterCombo

def same(value):
    return value

N = 1_000_000
with SchedulerClusterCombo(n_workers=1) as cluster, Client(cluster) as client:
    blocked = client.submit(__import__("time").sleep, 600)
    client.map_async(same, range(1000)).cancel()
    gc.collect()
    before = psutil.Process().memory_info().rss
    queued = client.map_async(same, range(N))
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    assert len(queued) == N and not queued.progress().done
    print((grown - sum(len(pickle.dumps((x,), pickle.HIGHEST_PROTOCOL)) for x in range(N))) / N)
"""


def test_a_million_queued_tasks_cost_little_more_than_their_bytes(place: Place):
    script = place.script(QUEUED)
    assert script.wait(60) == 0, script.err
    assert float(script.out) <= QUEUED_BYTES


# ---- map and starmap


def test_starmap_unpacks_every_element(client: Client):
    assert client.starmap(pow, [[2, 5], (5, 2)]) == [32, 25]
    assert client.starmap(pow, []) == []


def test_what_a_map_failed_with_carries_all_outcomes(client: Client):
    with pytest.raises(ZeroDivisionError) as caught:
        client.map(reciprocal, [1, 0, 2])
    assert vars(caught.value)["results"][::2] == [1.0, 0.5]
    assert type(client.map(reciprocal, [0], return_exceptions=True)[0]) is ZeroDivisionError


def test_a_program_written_for_a_pool_finds_its_names(client: Client):
    told: list[Any] = []
    assert client.map(abs, [-1, -2], chunksize=10) == [1, 2]
    assert client.starmap(pow, [(2, 3)], chunksize=10) == [8]
    assert list(client.imap(abs, [-1], chunksize=10)) == list(client.imap_unordered(abs, [-1], chunksize=10)) == [1]
    assert client.imap(abs, [-3]).next(20) == 3
    assert client.map_async(abs, [-1], chunksize=2, callback=told.append).get(20) == [1]
    assert client.starmap_async(pow, [(2, 3)], chunksize=2, callback=told.append).get(20) == [8]
    assert client.apply_async(pow, (2,), {"exp": 4}, told.append).get(20) == 16
    failed = client.apply_async(reciprocal, (0,), error_callback=lambda error: told.append(type(error)))
    assert not (failed.wait(20), failed.successful())[1]
    wait_until(lambda: len(told) == 4, lambda: f"all callbacks were called: {told}")
    assert {repr(one) for one in told} == {"[1]", "[8]", "16", "<class 'ZeroDivisionError'>"}
    with pytest.raises(TypeError, match=r"executor\(\)\.shutdown"):
        client.shutdown(wait=True)
    with pytest.raises(TypeError, match=r"get takes a graph, .* not list"):
        client.get([1], [1])
