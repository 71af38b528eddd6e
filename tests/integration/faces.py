"""What users do with a client, wherever it is: each takes one and returns what came of it, in plain values."""

import asyncio
import concurrent.futures
import itertools
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from scaler import Client, as_completed
from scaler.errors import ScalerError, SerializationError

#: of 300 numbers
DOUBLED = [2 * number for number in range(300)]


def double(number: int, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return 2 * number


def invert(number: int) -> float:
    return 1 / number


def told(call: Callable[[], object]) -> str:
    """What a call raises."""
    try:
        return f"returned {call()!r}"
    except (ScalerError, ArithmeticError, TypeError, RuntimeError, concurrent.futures.CancelledError) as error:
        return f"{type(error).__name__}: {error}"


def submits(client: Client) -> object:
    return [client.submit(double, 3).result(), client.submit(double, number=4, seconds=0.01).result()]


def maps(client: Client) -> object:
    return [
        client.map(double, range(5)),
        client.map(divmod, [7, 8], [2, 3]),
        client.starmap(divmod, [(7, 2)]),
        client.map(double, []),
    ]


def fails(client: Client) -> object:
    outcomes = client.map(invert, [2, 0], return_exceptions=True)
    return [
        told(client.submit(invert, 0).result),
        told(lambda: client.map(invert, [1, 0])),
        outcomes[0],
        str(outcomes[1]),
    ]


def gathers(client: Client) -> object:
    futures = [client.submit(double, number) for number in range(4)]
    done, waiting = client.wait(futures)
    return [client.gather(futures), sorted(one.result() for one in as_completed(futures)), len(done), len(waiting)]


def mistakes(client: Client) -> object:
    return [
        told(lambda: client.submit(double)),
        told(lambda: client.submit(double, 1, speed=3)),
        told(lambda: client.submit(double, threading.Lock())).startswith(SerializationError.__name__),
    ]


def awaits(client: Client) -> object:
    async def both() -> list[int]:
        return list(await asyncio.gather(*[client.submit(double, number) for number in range(3)]))

    return asyncio.run(both())


def calls_back(client: Client) -> object:
    found: list[int] = []
    has_come = threading.Event()
    future = client.submit(double, 5, 0.05)
    future.add_done_callback(lambda one: (found.append(one.result()), has_come.set()))
    has_come.wait(10)
    return found


def cancels(client: Client) -> object:
    future = client.submit(double, 1, 30.0)
    is_cancelled = future.cancel()
    return [is_cancelled, future.cancelled(), told(future.result), client.submit(double, 2).result()]


def travels(client: Client) -> object:
    again: Client = pickle.loads(pickle.dumps(client))  # noqa: S301  # our own bytes
    with again:
        return again.submit(double, 8).result()


def leaves(client: Client) -> object:
    other: Client = pickle.loads(pickle.dumps(client))  # noqa: S301  # our own bytes
    future = other.submit(double, 1, 30.0)
    other.disconnect()
    other.disconnect()
    return [told(future.result), told(lambda: other.submit(double, 1)), client.submit(double, 1).result()]


def is_dropped(client: Client) -> object:
    return _of_a_client_nobody_holds(client).result(10)


def _of_a_client_nobody_holds(client: Client) -> Any:
    other: Client = pickle.loads(pickle.dumps(client))  # noqa: S301  # our own bytes
    return other.submit(double, 9, 0.1)


def is_shared(client: Client) -> object:
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda number: client.map(double, range(number)), range(5)))


def times_out(client: Client) -> object:
    future = client.submit(double, 1, 30.0)
    found = [told_timeout(lambda: future.result(0.05)), told_timeout(lambda: list(as_completed([future], 0.05)))]
    future.cancel()
    return found


def told_timeout(call: Callable[[], object]) -> bool:
    try:
        call()
    except TimeoutError:
        return True
    return False


def streams(client: Client) -> object:
    unordered = sorted(client.imap_unordered(double, range(300), buffersize=7))
    return [list(client.imap(double, range(20))), next(client.imap(double, itertools.count())), unordered == DOUBLED]


def maps_for_later(client: Client) -> object:
    futures = client.map_async(double, range(300))
    failing = client.map_async(invert, [2, 0], return_exceptions=True)
    return [futures.get() == DOUBLED, futures[7].result(), str(failing.get()[1]), failing[1] in client.failed()]


def executes(client: Client) -> object:
    with client.executor() as executor:
        future = executor.submit(double, 4)
        return [list(executor.map(double, range(3))), future.result(), told(lambda: client.executor().submit(double))]


def gives_up(client: Client) -> object:
    futures = [client.submit(double, 1, 30.0) for _ in range(3)]
    client.cancel(futures[:2])
    client.clear()
    return [[future.cancelled() for future in futures], client.submit(double, 1).result()]


def tries_again(client: Client) -> object:
    future = client.submit(invert, 0)
    (again,) = client.retry([future]) if future.exception() is not None else [future]
    return [told(future.result), told(again.result)]


def depends(client: Client) -> object:
    one = client.submit(double, 1, 0.05)
    failed = client.submit(invert, 0)
    large = client.submit(bytes, 300_000)
    return [
        client.submit(double, client.submit(double, one)).result(),
        told(client.submit(double, failed).result),
        client.submit(len, large).result(),
        client.get({"a": 1, "b": (double, "a"), "c": (divmod, "b", "a")}, ["b", "c"]),
    ]


def explains(client: Client) -> object:
    future = client.submit(double, 1, 0.05)
    waiting = future.explain()
    future.result()
    return [bool(waiting), future.explain(), future.profiling_info().duration_s >= 0.05]


CHECKS: dict[str, Callable[[Client], object]] = {
    check.__name__: check
    for check in (
        submits, maps, fails, gathers, mistakes, awaits, calls_back, cancels, travels, leaves, is_dropped, is_shared,
        times_out, streams, maps_for_later, executes, gives_up, tries_again, depends, explains,
    )
}  # fmt: skip


def check(client: Client, name: str) -> object:
    """Do one of them in a task, with the client that was passed in."""
    return CHECKS[name](client)


def check_own(name: str) -> object:
    """Do one of them in a task, with a client of its own."""
    with Client() as client:
        return CHECKS[name](client)
