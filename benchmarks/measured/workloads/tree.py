"""A binary tree: n leaves of x + 1, and a task for each pair of results that adds them, by futures as arguments."""

import time

import tasks
from adapters._base import Base, Unsupported


def run(peer: Base, n: int = 4_096, workers: int = 2) -> dict[str, float]:
    """Tasks a second, leaves and sums, from the first submit until the sum of all is there and found right."""
    if not peer.TAKES_FUTURES:
        raise Unsupported("its futures are no arguments")
    peer.start(workers)
    peer.warm_up(workers)
    peer.result(peer.submit(tasks.add, peer.submit(tasks.noop, 1), 1))
    started = time.perf_counter()
    level = [peer.submit(tasks.noop, x) for x in range(n)]
    count = n
    while len(level) > 1:
        odd = level[len(level) & ~1 :]
        level = [peer.submit(tasks.add, *pair) for pair in zip(level[::2], level[1::2], strict=False)] + odd
        count += len(level) - len(odd)
    total = peer.result(level[0])
    seconds = time.perf_counter() - started
    assert total == n * (n + 1) // 2, "wrong sum"
    assert count == 2 * n - 1, "wrong number of tasks"
    return {"tasks_per_s": count / seconds, "seconds": seconds}
