"""The lesson's ten tasks on a cluster in three shapes: `python -m examples.patterns.lesson_cluster`.

One worker of ten threads is a thread pool: its tasks share the module's numbers. Ten workers of one thread are a
process pool: each has numbers of its own. Two of five are a mixture. Nothing in the tasks has to know.
"""

import sys
from collections.abc import Iterator

import numpy as np

from examples.patterns.connection import connected
from examples.patterns.lesson_quadratic import TASKS, quadratic_formula, report
from scaler import as_completed


def on_cluster(n_workers: int, threads: int) -> Iterator[tuple[np.ndarray, int]]:
    """The outcomes as they are there; the time to start and stop the cluster counts."""
    with connected(n_workers, threads) as client:
        for future in as_completed(client.map_async(quadratic_formula, TASKS)):
            yield future.result()


if len(sys.argv) > 1:
    report("the workers there", on_cluster(0, 0))
else:
    for n_workers, threads in ((1, 10), (10, 1), (2, 5)):
        report(f"{n_workers} x {threads}", on_cluster(n_workers, threads))
