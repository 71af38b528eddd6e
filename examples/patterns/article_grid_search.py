"""Every combination of settings is tried, and the best kept: `python -m examples.patterns.article_grid_search`."""

import itertools
from typing import NamedTuple

import numpy as np

from examples.patterns.connection import connected
from scaler import as_completed

GRID = {"learning_rate": [1e-2, 1e-4, 1e-6], "momentum": [0.0, 0.9], "steps": [50, 200]}


class Trial(NamedTuple):
    """Settings, and how far the model that was trained with them is off on points it has not seen."""

    loss: float
    learning_rate: float
    momentum: float
    steps: int


def train(learning_rate: float, momentum: float, steps: int) -> Trial:
    """Fit a line through noisy points by gradient descent."""
    chance = np.random.default_rng(5)
    x = np.column_stack([np.ones(400), chance.uniform(-1, 1, 400)])
    y = x @ [2.0, -3.0] + chance.normal(0, 0.1, 400)
    weights, speed = np.zeros(2), np.zeros(2)
    for _ in range(steps):
        gradient = x[:200].T @ (x[:200] @ weights - y[:200]) / 200
        speed = momentum * speed - learning_rate * gradient
        weights = weights + speed
    return Trial(float(np.mean((x[200:] @ weights - y[200:]) ** 2)), learning_rate, momentum, steps)


with connected(2) as client:
    trials: list[Trial] = []
    for future in as_completed(client.map_async(train, itertools.product(*GRID.values()))):
        trials.append(future.result())
        if trials[-1] == min(trials):
            print(f"after {len(trials):2} trials: loss {trials[-1].loss:.4f}")
    print("best configuration:", dict(zip(GRID, min(trials)[1:], strict=True)))
    print("the same one by one:", min(itertools.starmap(train, itertools.product(*GRID.values()))) == min(trials))
