"""One long task amid many no-ops of the same function, submitted one by one: it must hold up nobody else.

Its length cannot be foreseen by what its neighbours took. It stands first, in the middle or last.
"""

import time

import tasks
from adapters._base import Base


def others_seconds(peer: Base, n: int, how: str, long_s: float, place: int) -> float:
    """Seconds from the first submit until all other results are with the client, while the long task still runs."""
    started = time.perf_counter()
    futures = [peer.submit(tasks.maybe_long, x, how if x == place else "no", long_s) for x in range(n + 1)]
    long = futures.pop(place)
    results = peer.results(futures)
    seconds = time.perf_counter() - started
    expected = [x + 1 for x in range(n + 1) if x != place]
    assert list(results) == expected, "wrong results"
    assert peer.result(long) == place + 1, "wrong result of the long task"
    return seconds


def run(peer: Base, n: int = 10_000, workers: int = 2, how: str = "sleep", long_s: float = 5.0) -> dict[str, float]:
    """The seconds the others took for each place of the long task, and the worst of them."""
    peer.start(workers)
    peer.warm_up(workers)
    peer.results([peer.submit(tasks.maybe_long, x, "no", 0.0) for x in range(100)])
    first, middle, last = (others_seconds(peer, n, how, long_s, place) for place in (0, n // 2, n))
    return {"first_s": first, "middle_s": middle, "last_s": last, "worst_s": max(first, middle, last)}
