"""Tasks that submit tasks, for the tests: each takes the client it is to use, or makes one."""

import concurrent.futures
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from scaler import Client
from scaler.errors import ScalerError
from tests.integration.workloads import LONG_S, append

#: what outlives tasks in a worker
kept: dict[str, Any] = {}


def fib(client: Client, n: int) -> int:
    """The slowest way there is."""
    if n < 2:
        return n
    return sum(future.result() for future in (client.submit(fib, client, n - 1), client.submit(fib, client, n - 2)))


def levels(client: Client, depth: int) -> int:
    """As many tasks as that inside of each other."""
    return 1 + client.submit(levels, client, depth - 1).result() if depth > 1 else 1


def double(number: int, seconds: float = 0.0) -> int:
    """What most children do."""
    time.sleep(seconds)
    return 2 * number


def fail(text: str) -> None:
    raise ValueError(text)


def length(data: bytes) -> tuple[int, bytes]:
    return len(data), data


def doubled_by_map(client: Client, numbers: list[int]) -> list[int]:
    return client.map(double, numbers)


def doubled_without_client(numbers: list[int]) -> list[int]:
    with Client() as client:
        return client.map(double, numbers)


def lengths_of(client: Client, sizes: list[int]) -> list[int]:
    """What is too large for a line goes by another way, down and up."""
    found = client.map(length, [os.urandom(size) for size in sizes])
    return [count for count, data in found if count == len(data)]


def child_that_fails(client: Client, text: str) -> str:
    try:
        client.submit(fail, text).result()
    except ValueError as error:
        return str(error)
    return "nothing"


def wait_then_work(client: Client, wait_s: float, work_s: float) -> None:
    """Wait for a child, and then be long at something."""
    client.submit(double, 1, wait_s).result()
    time.sleep(work_s)


def wait_by(client: Client, how: str, seconds: float = 0.02) -> list[int]:
    """Wait for three children in one of many ways."""
    futures = [client.submit(double, number, seconds) for number in range(3)]
    return sorted(future.result() for future in WAYS[how](futures))


def _in_a_thread(futures: list[Any]) -> list[Any]:
    thread = threading.Thread(target=concurrent.futures.wait, args=(futures,))
    thread.start()
    thread.join()
    return futures


def _polling(futures: list[Any]) -> list[Any]:
    while not all(future.done() for future in futures):
        time.sleep(0.01)
    return futures


def _results(futures: list[Any]) -> list[Any]:
    for future in futures:
        future.result()
    return futures


WAYS: dict[str, Callable[[list[Any]], Any]] = {
    "result": _results,
    "wait": lambda futures: concurrent.futures.wait(futures).done,
    "wait for the first": lambda futures: (concurrent.futures.wait(futures, None, "FIRST_COMPLETED"), futures)[1],
    "as_completed": concurrent.futures.as_completed,
    "in a thread": _in_a_thread,
    "polling": _polling,
}


def long_children(client: Client, path: str, count: int) -> list[None]:
    """Submit so many that run for long, and wait for them, in a process that says which it is."""
    futures = [client.submit(long_child, path) for _ in range(count)]
    append(f"{path}.pid", os.getpid())
    return [future.result() for future in futures]


def long_child(path: str) -> None:
    """Say that it runs, and stay."""
    append(path, os.getpid())
    time.sleep(LONG_S)


def steps(client: Client, path: str, count: int, seconds: float) -> list[int]:
    """Children that leave a line each, all of which are waited for."""
    append(f"{path}.parent", os.getpid())
    futures = [client.submit(step, path, number, seconds) for number in range(count)]
    return [future.result() for future in futures]


def step(path: str, number: int, seconds: float) -> int:
    append(path, number)
    time.sleep(seconds)
    return number


def in_threads(client: Client, count: int) -> list[int]:
    """Threads of the task share its client."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda number: client.submit(double, number).result(), range(count)))


def leave_behind(client: Client, path: str) -> int:
    """Keep the client and what it gave, and a thread that uses it when this task is over."""
    kept["client"] = client
    client.submit(double, 1).result()
    kept["future"] = client.submit(double, 0, LONG_S)
    has_begun = threading.Event()
    threading.Thread(target=_use_late, args=(client, path, has_begun), daemon=True).start()
    has_begun.wait()
    return os.getpid()


def _use_late(client: Client, path: str, has_begun: threading.Event) -> None:
    client.submit(double, 1)
    has_begun.set()
    future = kept["future"]
    try:
        future.result()
    except ScalerError as error:
        append(path, f"future: {type(error).__name__}: {error}")
    try:
        client.submit(double, 1)
    except ScalerError as error:
        append(path, f"client: {type(error).__name__}: {error}")


def use_what_was_left(number: int) -> int:
    """A client that an earlier task of this worker kept serves this one as well."""
    result: int = kept["client"].submit(double, number).result()
    return result


def numbers_of(client: Client, count: int) -> Iterator[int]:
    return iter(client.map(double, range(count)))


def sum_of(client: Client, count: int) -> int:
    return sum(numbers_of(client, count))
