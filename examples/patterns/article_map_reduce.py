"""A sum of squares, mapped on workers, reduced here or there: `python -m examples.patterns.article_map_reduce`."""

import functools
import operator
from collections.abc import Callable, Iterable

from examples.patterns.connection import connected
from scaler import Client


def square(item: int) -> int:
    """What each item becomes."""
    return item**2


def map_reduce(client: Client, data: Iterable[int], mapper: Callable[..., int], reducer: Callable[..., int]) -> int:
    """Map on the workers, reduce in this process."""
    return functools.reduce(reducer, client.map(mapper, data))


with connected(4) as client:
    print("sum of squares:", map_reduce(client, range(1, 11), square, operator.add))

    # Futures as arguments: the values go from worker to worker, and this process waits for the sum alone.
    level = list(client.map_async(square, range(1, 11)))
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [client.submit(operator.add, *pair) for pair in pairs] + level[len(level) // 2 * 2 :]
    print("by a tree of futures:", level[0].result())
