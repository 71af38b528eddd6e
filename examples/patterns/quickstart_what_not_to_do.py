"""A function that carries much, mapped and submitted: `python -m examples.patterns.quickstart_what_not_to_do`.

Either way the table is sent once, and each worker makes it once. A hint on stderr says what is plainer than to
submit it over and over.
"""

import functools
import os
import random
import time
from collections.abc import Iterable
from typing import NamedTuple

from examples.patterns.connection import connected

HEAVY_BYTES = 10_000_000
CALLS = 100


class Found(NamedTuple):
    """What was looked up, and in which copy of the table: the worker's process, and where it lies there."""

    value: int
    process: int
    table: int


def lookup(heavy_map: bytes, index: int) -> Found:
    """Look something up in the table."""
    return Found(heavy_map[index] * index, os.getpid(), id(heavy_map))


big_function = functools.partial(lookup, b"1" * HEAVY_BYTES)
chance = random.Random(5)  # noqa: S311  # which are looked up means nothing
arguments = [chance.randint(0, 100) for _ in range(CALLS)]
expected = [ord("1") * index for index in arguments]


def report(form: str, found: Iterable[Found]) -> None:
    """Wait for the results, and print what was asked for and what it cost."""
    values, *places = zip(*found, strict=True)
    print(f"{form}: right {list(values) == expected}, copies of the table {len(set(zip(*places, strict=True)))}")


with connected(3) as client:
    began = time.perf_counter()
    report("map", client.map(big_function, arguments))
    print(f"  {time.perf_counter() - began:.2f} s", flush=True)

    began = time.perf_counter()
    report("submit", client.gather([client.submit(big_function, index) for index in arguments]))
    print(f"  {time.perf_counter() - began:.2f} s")
