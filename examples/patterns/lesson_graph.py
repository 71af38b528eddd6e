"""A graph of delayed calls, its picture and its result: `python -m examples.patterns.lesson_graph`."""

import tempfile
from pathlib import Path

import dask

from examples.patterns.connection import connected
from examples.patterns.picture import draw


@dask.delayed
def increment(number: int) -> int:
    """The next number."""
    return number + 1


@dask.delayed
def add(one: int, other: int) -> int:
    """Their sum."""
    return one + other


# Nothing has run yet: these are the nodes of a graph, and who needs whom is known by their arguments.
output = add(increment(1), increment(12))

picture = Path(tempfile.mkdtemp(prefix="scaler-")) / "compute_graph_simple.svg"
print(f"{draw(output, picture)} nodes, drawn in {picture}")

with connected(2) as client, dask.config.set(scheduler=client):
    print("result:", output.compute())
