"""Options of tasks on real processes: each row of the list of what users can say, and what it does."""

import os
import socket
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest

from scaler import Client
from scaler.errors import ProcessorDiedError, TaskTimeoutError, UnknownTagError, WorkerDiedError
from tests.integration.processes import Place, wait_until
from tests.integration.workloads import append, die, fail_until, mark, overlapping, poison, work


def where() -> int:
    """The zygote of this worker: one for each cluster."""
    return os.getppid()


def wait_for_tag(client: Client, tag: str) -> None:
    """Wait until tasks may ask for it, and a worker with it takes them."""

    def is_known() -> bool:
        try:
            return client.submit(abs, -1, tag=tag).result() == 1
        except UnknownTagError:
            return False

    wait_until(is_known, f"the tag {tag} is known")


# ---- tag


def test_tag_only_workers_with_it_take_the_task(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    place.cluster(address, 1, "--tag", "gpu", "--tag", "big")
    wait_for_tag(client, "gpu")
    tagged = set(client.map(lambda _: where(), range(50), tag="gpu"))
    assert len(tagged) == 1
    assert set(client.map(lambda _: where(), range(50), tag="big")) == tagged
    assert client.submit(where, tag="gpu").result() in tagged


def test_a_tag_nobody_has_is_an_error_of_submit_that_lists_the_known_ones(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--tag", "gpu", "--tag", "big")
    wait_for_tag(client, "gpu")
    with Client(address=address) as late:
        for one in (client, late):
            for call in (
                lambda one=one: one.submit(where, tag="gqu"),
                lambda one=one: one.map(abs, [1], tag="gqu"),
                lambda one=one: one.starmap(abs, [(1,)], tag="gqu"),
                lambda one=one: one.submit_verbose(where, (), {}, capabilities={"gqu": -1}),
            ):
                with pytest.raises(UnknownTagError, match=r"the tag 'gqu'; known tags: 'gpu', 'big'$"):
                    call()
        assert late.submit(abs, -1).result() == 1


def test_while_no_worker_has_ever_connected_every_tag_is_accepted(place: Place, address: str, client: Client):
    future = client.submit(where, tag="gpu")
    assert "no worker is connected" in future.explain()
    place.cluster(address, 1)
    wait_until(lambda: "tag 'gpu'" in future.explain(), "a worker without the tag is there")
    assert not future.done()
    place.cluster(address, 1, "--tag", "gpu")
    assert future.result(30)


def test_tags_of_workers_seen_before_are_known_and_their_tasks_wait(place: Place, address: str, client: Client):
    cluster = place.cluster(address, 1, "--tag", "gpu")
    wait_for_tag(client, "gpu")
    cluster.end()
    place.cluster(address, 1)
    future = client.submit(where, tag="gpu")
    with pytest.raises(UnknownTagError, match=r"known tags: 'gpu'$"):
        client.submit(where, tag="gqu")
    assert client.submit(abs, -1).result() == 1
    assert not future.done()
    place.cluster(address, 1, "--tag", "gpu")
    assert future.result(30)


# ---- resources


def test_resources_are_counted_while_a_task_holds_them(place: Place, address: str, client: Client):
    place.cluster(address, 4, "--resources", "licence=2")
    client.map(overlapping, [(place.path("runs"), number, 0.1) for number in range(8)], resources={"licence": 1})
    events = sorted((float(line.split()[2]), line.split()[0]) for line in place.lines("runs"))
    at_once = most = 0
    for _, kind in events:
        at_once += 1 if kind == "begin" else -1
        most = max(most, at_once)
    assert most == 2


def test_what_no_worker_offers_is_told_at_once_explained_and_holds_up_nobody(
    place: Place, address: str, client: Client, capfd: pytest.CaptureFixture[str]
):
    place.cluster(address, 2, "--resources", "gpu=2")
    alone = client.map(abs, range(1000), timeout=60)
    futures = [client.submit(abs, 1, resources={"gpu": 4}, priority=5) for _ in range(2)]
    begun = time.monotonic()
    assert client.map(abs, range(1000), timeout=60) == alone
    assert client.gather(client.submit(abs, -number) for number in range(1000)) == alone
    assert time.monotonic() - begun < 30
    assert not any(future.done() for future in futures)
    assert futures[0].explain() == "no connected worker offers gpu=4"
    told = "scaler: no connected worker offers gpu=4: tasks that want it wait until one does …\n"
    wait_until(lambda seen=[]: seen.append(capfd.readouterr().err) or told in "".join(seen), "it is told")
    place.cluster(address, 1, "--resources", "gpu=4")
    assert client.gather(futures) == [1, 1]


# ---- priority


def test_priority_larger_is_sooner_and_first_in_first_out_within(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    blocker = client.submit(work, place.path("blocker"), 0, 0)
    place.victim("blocker")
    futures = [client.submit(mark, place.path("runs"), number, priority=number % 3) for number in range(12)]
    wait_until(lambda: futures[-1].explain().endswith("ahead"), "all are queued")
    client.cancel(blocker)
    client.gather(futures)
    assert [int(line) for line in place.lines("runs")] == [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]


# ---- retries


@pytest.mark.parametrize(("retries", "runs"), [(0, 1), (2, 3)])
def test_retries_a_task_whose_worker_dies_runs_so_often_again(
    place: Place, address: str, client: Client, retries: int, runs: int
):
    place.cluster(address, 1)
    future = client.submit(die, place.path("runs"), "SIGSEGV", "the last words", retries=retries, name="poison")
    with pytest.raises(ProcessorDiedError, match=r"SIGSEGV(.|\n)*the last words") as caught:
        future.result()
    assert isinstance(caught.value, WorkerDiedError)
    assert "(poison)" in caught.value.__notes__[0]
    assert caught.value.__notes__[0].endswith(f"attempt {runs}")
    assert len(place.lines("runs")) == runs


def test_retries_are_two_without_a_word(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    with pytest.raises(WorkerDiedError):
        client.map(die, [(place.path("runs"), "exit")])
    assert len(place.lines("runs")) == 3


def test_retry_on_the_tasks_own_exceptions_run_it_again_after_a_growing_delay(
    place: Place, address: str, client: Client
):
    class OwnError(OSError):
        pass

    place.cluster(address, 2)
    path = place.path("runs")
    future = client.submit(fail_until, path, 4, OwnError, "again", retries=3, retry_on=OSError, retry_delay_s=0.2)
    assert future.result() == 4
    tries = [float(line) for line in place.lines("runs")]
    pauses = [after - before for before, after in pairwise(tries)]
    for pause, least in zip(pauses, (0.15, 0.3, 0.6), strict=True):
        assert pause >= least
    assert future.profiling_info().attempts == 4


def test_an_exception_that_is_none_of_retry_on_is_final(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(fail_until, place.path("runs"), 9, KeyError, "no", retry_on=(OSError, ValueError))
    assert isinstance(future.exception(), KeyError)
    assert len(place.lines("runs")) == 1
    future = client.submit(
        fail_until, place.path("more"), 9, ValueError, "no", retry_on=(OSError, ValueError), retries=0
    )
    assert isinstance(future.exception(), ValueError)
    assert len(place.lines("more")) == 1


def fail_then_die_then_do(path: str) -> int:
    append(path, "begun")
    with open(path, encoding="utf-8") as file:
        tries = len(file.readlines())
    if tries in {1, 3}:
        raise OSError("again")
    if tries in {2, 4}:
        die(path + ".deaths", "SIGKILL")
    return tries


def test_deaths_and_exceptions_are_counted_apart(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(fail_then_die_then_do, place.path("runs"), retries=2, retry_on=OSError, retry_delay_s=0)
    assert future.result() == 5
    assert future.profiling_info().attempts == 5


def test_poison_among_ten_thousand_good_tasks_hurts_nobody_else(place: Place, address: str, client: Client):
    place.cluster(address, 2)
    client.map(mark, [(place.path("warm"), number) for number in range(100)])
    good = [client.submit(mark, place.path("good"), number) for number in range(5000)]
    ways = ["SIGKILL", "SIGSEGV", "exit"]
    bad = [client.submit(poison, place.path(f"bad{n}"), ways[n % 3]) for n in range(6)]
    good += [client.submit(mark, place.path("good"), number) for number in range(5000, 10_000)]
    assert client.gather(good) == list(range(10_000))
    texts = {"SIGKILL": "killed by signal 9 (SIGKILL)", "SIGSEGV": "killed by signal 11 (SIGSEGV)", "exit": "code 7"}
    for number, future in enumerate(bad):
        error = future.exception()
        assert isinstance(error, WorkerDiedError)
        assert texts[ways[number % 3]] in str(error)
        assert f"poisoned by {ways[number % 3]}" in str(error)
        assert len(place.lines(f"bad{number}")) == 3
    runs = Counter(place.lines("good"))
    assert len(runs) == 10_000
    assert set(runs.values()) == {1}


# ---- timeout


def test_timeout_ends_an_attempt_that_is_not_retried(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    future = client.submit(work, place.path("runs"), 0, 0, timeout=0.5, retries=2)
    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.5 s"):
        future.result()
    assert place.lines("runs") == ["0"]
    assert client.submit(abs, -1, timeout=0.5).result() == 1


# ---- name


def test_name_is_what_messages_call_the_task(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--name", "works")
    future = client.submit(fail_until, place.path("runs"), 9, ValueError, "x", name="step one")
    error = future.exception()
    assert error is not None
    where = f"on {socket.gethostname()} (works), worker 0, attempt 1"
    assert error.__notes__[-1] == f"in task {future.task_id} (step one) {where}"
    with pytest.raises(ValueError, match="y") as caught:
        client.map(fail_until, [(place.path("more"), 9, ValueError, "y")], name="step two")
    assert "(step two) on " in caught.value.__notes__[-1]


# ---- whose keyword is it


def greet(greeting: str, name: str = "you", *, timeout: int = 30, **others: int) -> tuple[object, ...]:
    return greeting, name, timeout, others


def test_a_function_with_a_parameter_called_like_an_option_is_served_by_submit_verbose(
    place: Place, address: str, client: Client
):
    place.cluster(address, 1)
    for keywords in ({"name": "Ann"}, {"timeout": 30}, {"timeout": None, "retries": 1}):
        with pytest.raises(TypeError, match="submit_verbose"):
            client.submit(greet, "hello", **keywords)
    assert client.submit(greet, "hello", "Ann", retries=1, colour=3).result() == ("hello", "Ann", 30, {"colour": 3})
    own = {"name": "Ann", "timeout": 5, "retries": 7}
    future = client.submit_verbose(greet, ("hello",), own, timeout=60, name="greeting")
    assert future.result() == ("hello", "Ann", 5, {"retries": 7})
    assert client.submit_verbose(greet, args=("hi",), kwargs={}).result() == ("hi", "you", 30, {})


def test_scalers_own_keywords_of_submit_verbose_are_taken(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--tag", "linux", "--resources", "gpu=1")
    wait_for_tag(client, "linux")
    future = client.submit_verbose(pow, (2, 5), {}, {"linux": -1, "gpu": 1}, True)
    assert future.result() == 32
    assert client.map(abs, [-1], capabilities={"gpu": 1}, reserialize=True) == [1]
    assert client.starmap(pow, [(2, 3)], capabilities={"linux": -1}) == [8]
    assert client.get({"a": (pow, 2, 4)}, ["a"], True, {"linux": -1, "gpu": 1}, True) == {"a": 16}
    with pytest.raises(UnknownTagError):
        client.get({"a": (pow, 2, 4)}, ["a"], capabilities={"windows": -1})


# ---- wrong-answer traps


def keyword_only(first: int, *, second: int = 5) -> tuple[int, int]:
    return first, second


class TwoError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def raising_two() -> None:
    raise TwoError(7, "both")


def test_wrong_answer_traps(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    assert client.submit(keyword_only, 1).result() == (1, 5)
    assert client.submit(keyword_only, 1, second=2).result() == (1, 2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'secnd'"):
        client.submit(keyword_only, 1, secnd=2)
    assert client.submit(max, 3, 4).result() == 4
    assert client.submit(max, [3], key=abs, default=0).result() == 3
    assert client.submit(time.sleep, 0).result() is None
    changing = [1]
    before = client.submit(list, changing)
    changing.append(2)
    assert (before.result(), client.submit(list, changing).result()) == ([1], [1, 2])
    captured = {"value": 1}
    first = client.submit(lambda: captured["value"])
    captured["value"] = 2
    assert (first.result(), client.submit(lambda: captured["value"]).result()) == (1, 2)
    with pytest.raises(TwoError) as caught:
        client.submit(raising_two).result()
    assert (caught.value.code, caught.value.text) == (7, "both")
    with pytest.raises(Exception, match="cannot be sent back: result: cannot pickle") as unsent:
        client.submit(threading.Lock).result()
    assert type(unsent.value).__name__ == "SerializationError"
