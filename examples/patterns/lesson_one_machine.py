"""Ten tasks that sleep 9 s in all, without a cluster: `python -m examples.patterns.lesson_one_machine`.

Once one after another, once in threads, which share the numbers of the module, so that all outputs are equal, and once
in new processes, each of which imports the module itself.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed

import numpy as np

from examples.patterns.lesson_quadratic import TASKS, quadratic_formula, report


def in_pool(pool: Executor) -> Iterator[tuple[np.ndarray, int]]:
    """The outcomes as they are there."""
    with pool:
        for future in as_completed([pool.submit(quadratic_formula, task) for task in TASKS]):
            yield future.result()


# Processes of the standard library's pool import this file again, and must not begin it again.
if __name__ == "__main__":
    report("for-loop", map(quadratic_formula, TASKS))
    report("threads", in_pool(ThreadPoolExecutor(max_workers=10)))
    report("processes", in_pool(ProcessPoolExecutor(10, mp_context=multiprocessing.get_context("spawn"))))
