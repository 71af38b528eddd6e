"""Futures among the arguments of calls, on real processes: what needs others waits for them, and fails as they fail."""

import functools
import signal
import threading
import traceback
from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaler import Client
from scaler.errors import WorkerDiedError
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import end_by_signal, same, sum_of, timed, wait_for

LARGE = 5_000_000


@dataclass
class Pair:
    first: Any
    second: Any


class TroubleError(Exception):
    """Says what it was about."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")
        self.number = number


def add(first: int, second: int) -> int:
    return first + second


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    raise TroubleError("no", number)


def runs(place: Place) -> Counter[int]:
    return Counter(int(line.split()[0]) for line in place.lines("runs"))


@pytest.fixture
def address(place: Place) -> str:
    """A scheduler with two workers."""
    _, address = place.scheduler()
    place.cluster(address, 2)
    return address


# ---- values


def test_a_chain_a_sum_and_a_tree(address: str):
    with Client(address=address) as client:
        future = client.submit(add, 2, 2)
        assert client.submit(lambda x: x * 4, future).result() == 16
        for number in range(300):
            future = client.submit(add, future, number)
        squares = [client.submit(square, number) for number in range(11)]
        total = client.submit(sum, squares)
        level = [client.submit(same, number) for number in range(256)]
        while len(level) > 1:
            level = [client.submit(add, one, other) for one, other in zip(level[::2], level[1::2], strict=True)]
        assert (future.result(), total.result(), level[0].result()) == (4 + sum(range(300)), 385, sum(range(256)))


def test_futures_are_found_wherever_they_are_among_the_arguments(address: str):
    class Local:
        def __init__(self, content: Any) -> None:
            self.content = content

    def parts(one: Any, nested: Any, *, named: Any, local: Any) -> Any:
        return one, nested, named, local.content

    with Client(address=address) as client:
        a, b, c = (client.submit(same, name) for name in "abc")
        arguments = [[a, {b: (c, {a})}], Pair(b, [c])]
        got = client.submit(parts, a, arguments, named={"deep": [{"deeper": b}]}, local=Local({"x": c})).result()
        brought = client.submit(functools.partial(pow, client.submit(abs, -3)), 2).result()
        mapped = client.map_async(abs, [-1, -2])
        summed = client.submit(sum, mapped).result(), client.get({"sum": (sum, mapped)}, ["sum"])
    assert got == ("a", [["a", {"b": ("c", {"a"})}], Pair("b", ["c"])], {"deep": [{"deeper": "b"}]}, {"x": "c"})
    assert (brought, summed) == (9, (3, {"sum": 3}))


def test_a_future_twice_in_a_call_is_one_object_and_in_two_calls_two(address: str):
    def is_same(first: Any, second: Any) -> bool:
        first.append(1)
        return first is second

    with Client(address=address) as client:
        future = client.submit(list)
        assert client.gather([client.submit(is_same, future, future) for _ in range(5)]) == [True] * 5
        assert future.result() == []


def test_map_and_starmap_take_futures(address: str):
    with Client(address=address) as client:
        numbers = [client.submit(same, number) for number in range(50)]
        assert client.map(square, numbers) == [number * number for number in range(50)]
        assert client.map(add, numbers, range(50)) == [2 * number for number in range(50)]
        assert client.map(add, [(number, 1) for number in numbers]) == list(range(1, 51))
        assert client.starmap(add, ([number, number] for number in numbers)) == [2 * number for number in range(50)]
        drawn = (client.submit(square, number) for number in range(50))
        assert sum(client.map(same, drawn)) == sum(number * number for number in range(50))


def test_what_is_done_already_may_be_needed_too(address: str):
    with Client(address=address) as client:
        future = client.submit(list, "ab")
        wait_until(future.done, "it is done")
        assert client.submit(len, future).result() == 2
        future.result().append("c")
        later = client.submit(len, future)
        future.result().append("d")
        assert (later.result(), client.submit(len, future).result()) == (3, 4)


def test_a_value_that_was_opened_and_changed_after_the_call_is_sent_as_it_was(address: str, place: Place):
    with Client(address=address) as client:
        future = client.submit(list, "ab")
        gate = client.submit(wait_for, place.path("gate"), 0)
        length = client.submit(lambda value, _: len(value), future, gate)
        future.result().append("c")
        Path(place.path("gate")).touch()
        assert length.result() == 2


def test_large_values_pass_from_task_to_task(address: str):
    with Client(address=address) as client:
        large = client.submit(bytes, LARGE)
        pending = [client.submit(lambda value, n: len(value) + n, large, number) for number in range(20)]
        chain = client.submit(same, client.submit(same, large))
        assert client.gather(pending) == [LARGE + number for number in range(20)]
        done = [client.submit(lambda value, n: len(value) - n, large, number) for number in range(20)]
        assert client.gather(done) == [LARGE - number for number in range(20)]
        assert chain.result() == large.result() == bytes(LARGE)
        assert client.submit(len, large).result() == LARGE


def test_a_hundred_thousand_futures_in_one_call(address: str):
    count = 100_000
    with Client(address=address) as client:
        futures = [client.submit(same, number) for number in range(count)]
        assert client.submit(sum, futures).result() == sum(range(count))


def test_a_hundred_thousand_calls_that_need_one_future(address: str, place: Place):
    count = 100_000
    with Client(address=address) as client:
        gate = client.submit(wait_for, place.path("gate"), 1)
        opener = threading.Timer(0.5, Path(place.path("gate")).touch)
        opener.start()
        assert client.map(add, [gate] * count, range(count)) == list(range(1, count + 1))
        opener.join()


def test_threads_may_submit_and_settle_what_others_need_at_once(address: str):
    with Client(address=address) as client:
        sums: list[int] = []

        def work() -> None:
            futures = [client.submit(same, 0)]
            for number in range(300):
                futures.append(client.submit(add, futures[-1], number))
                if number % 7 == 0:
                    futures[number // 2].result()
            sums.append(futures[-1].result())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sums == [sum(range(300))] * 8


def test_a_future_of_another_client_counts_once_it_is_done(address: str, place: Place):
    with Client(address=address) as client, Client(address=address) as other:
        future = other.submit(wait_for, place.path("gate"), 7)
        for call in (lambda: client.submit(same, future), lambda: client.map(same, [future])):
            with pytest.raises(ValueError, match=r"is another client's, .*: pass its result\(\)"):
                call()
        Path(place.path("gate")).touch()
        wait_until(future.done, "it is done")
        assert client.submit(same, future).result() == 7
        assert client.map(same, [1, 2]) == [1, 2]


# ---- who does it


TREE = """
import sys
from scaler import Client
from tests.integration.workloads import sum_of, wait_for

address, runs, gate = sys.argv[1:]
with Client(address=address) as client:
    first = client.submit(wait_for, gate, 1)
    level = [client.submit(sum_of, runs, first, number) for number in range(64)]
    while len(level) > 1:
        level = [client.submit(sum_of, runs, one, other) for one, other in zip(level[::2], level[1::2])]
    while "has not been sent" in level[0].explain():
        pass
    print("submitted", flush=True)
    print("total", level[0].result(), flush=True)
"""


def test_a_tree_is_summed_while_its_client_stands_still(address: str, place: Place):
    script = place.script(TREE, address, place.path("runs"), place.path("gate"))
    script.wait_for("submitted")
    script.send(signal.SIGSTOP)
    Path(place.path("gate")).touch()
    wait_until(lambda: len(place.lines("runs")) == 127, lambda: f"all have run, not {len(place.lines('runs'))}")
    assert "total" not in script.out
    script.send(signal.SIGCONT)
    assert script.wait_for("total") == f"total {64 + sum(range(64))}"
    assert script.wait() == 0


def test_when_a_client_is_killed_what_waited_for_others_goes_with_it(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    script = place.script(TREE, address, place.path("runs"), place.path("gate"))
    script.wait_for("submitted")
    script.kill()
    wait_until(lambda: "a client left unfinished work" in scheduler.out + scheduler.err, "the scheduler notices")
    Path(place.path("gate")).touch()
    with Client(address=address) as client:
        assert client.map(square, range(100)) == [number * number for number in range(100)]
    assert place.lines("runs") == []


# ---- failures


def test_a_failed_task_fails_those_that_need_it_with_its_own_error(address: str):
    with Client(address=address) as client:
        failed = client.submit(fail, 7)
        direct = client.submit(add, 1, failed)
        further = [client.submit(same, [direct]), client.submit(square, client.submit(add, direct, direct))]
        own = failed.exception()
        late = client.submit(same, failed)
        for future in (direct, *further, late):
            error = future.exception()
            assert type(error) is type(own) is TroubleError
            assert (str(error), error.number, error.__notes__) == ("no 7", 7, own.__notes__)
            assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["fail"]
        assert f"in task {failed.task_id} (fail) on" in own.__notes__[-1]


def test_map_tells_which_elements_needed_what_failed(address: str):
    with Client(address=address) as client:
        futures = [client.submit(fail if number % 3 == 0 else same, number) for number in range(9)]
        got = client.map(square, futures, return_exceptions=True)
        assert [type(value).__name__ for value in got] == ["TroubleError", "int", "int"] * 3
        with pytest.raises(TroubleError, match="no 0"):
            client.map(square, futures)


def test_a_worker_that_dies_fails_those_that_need_its_task_and_the_error_says_which_it_was(address: str):
    with Client(address=address) as client:
        dying = client.submit(end_by_signal, 9)
        needing = client.submit(same, client.submit(same, dying))
        with pytest.raises(WorkerDiedError, match="signal 9") as caught:
            needing.result()
        assert f"in task {dying.task_id} (end_by_signal)" in caught.value.__notes__[-1]
        assert client.submit(square, 3).result() == 9


def test_a_cancelled_task_cancels_those_that_need_it(address: str, place: Place):
    with Client(address=address) as client:
        gates = [client.submit(wait_for, place.path("gate"), 0) for _ in range(2)]
        wait_until(lambda: all(gate.running() for gate in gates), "both workers are busy")
        future = client.submit(square, 2)
        needing = client.submit(same, [future])
        assert future.cancel()
        late = client.submit(same, future)
        for one in (needing, late):
            with pytest.raises(CancelledError):
                one.result(30)
        Path(place.path("gate")).touch()
        assert client.gather(gates) == [0, 0]


# ---- losses


def test_no_dependent_is_lost_or_runs_twice_when_a_new_scheduler_takes_the_place_of_a_killed_one(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    with Client(address=address) as client:
        done = client.submit(same, 1000)
        failed = client.submit(fail, 1)
        assert (done.result(), type(failed.exception())) == (1000, TroubleError)
        first = client.submit(wait_for, place.path("gate"), 0)
        numbers = [client.submit(sum_of, place.path("runs"), first, number) for number in range(20)]
        sums = [client.submit(sum_of, place.path("runs"), 100, number, done) for number in numbers]
        failing = client.submit(add, first, failed)
        wait_until(first.running, "it runs")
        scheduler.kill()
        late = [client.submit(sum_of, place.path("runs"), 5000, number) for number in sums]
        place.scheduler(address)
        Path(place.path("gate")).touch()
        assert client.gather(numbers + sums + late) == [
            *range(20),
            *range(1100, 1120),
            *range(6100, 6120),
        ]
        assert type(failing.exception()) is TroubleError
    assert runs(place) == Counter([*range(20), *range(1100, 1120), *range(6100, 6120)])


def test_what_was_at_a_killed_cluster_runs_elsewhere_with_the_same_values(place: Place):
    _, address = place.scheduler()
    clusters = [place.cluster(address, 2) for _ in range(2)]
    with Client(address=address) as client:
        value = client.submit(bytes, LARGE)
        work = [client.submit(timed, place.path("runs"), number, client.submit(same, 0.01)) for number in range(200)]
        sizes = [client.submit(lambda data, n: len(data) + n, value, number) for number in work]
        wait_until(lambda: len(place.lines("runs")) > 30, "all are at work")
        clusters[0].kill()
        assert client.gather(sizes) == [LARGE + number for number in range(200)]
    assert set(runs(place)) == set(range(200))
