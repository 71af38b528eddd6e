"""The module of the lesson's first patterns: its numbers are drawn anew by every process that imports it."""

import time
from collections.abc import Iterable

import numpy as np

_CHANCE = np.random.default_rng()
A = _CHANCE.uniform(5, 10, 1_000_000)
B = _CHANCE.uniform(10, 20, 1_000_000)
C = _CHANCE.uniform(-0.1, 0.1, 1_000_000)

TASKS = range(10)


def quadratic_formula(task: int) -> tuple[np.ndarray, int]:
    """One root of a million equations, after some other work that grows with the task's number."""
    time.sleep(task / 5)
    return (-B + np.sqrt(B**2 - 4 * A * C)) / (2 * A), task


def report(form: str, outcomes: Iterable[tuple[np.ndarray, int]]) -> None:
    """Take the outcomes as they come, and print how long that took and how many of them differ."""
    began = time.perf_counter()
    found = [(roots[:5].tobytes(), task) for roots, task in outcomes]
    seconds = time.perf_counter() - began
    different = len({roots for roots, _ in found})
    order = " ".join(str(task) for _, task in found)
    print(f"{form}: {seconds:.2f} s, different outputs: {different}, in the order {order}", flush=True)
