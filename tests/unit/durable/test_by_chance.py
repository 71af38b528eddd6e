"""Clients, clusters, schedulers and a disk that do whatever they may do: what was acknowledged has one outcome."""

import pytest

from scaler.durable.work import Work
from tests.unit.durable.histories import Chances


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_whatever_happens_each_acknowledged_task_has_one_outcome_and_nothing_is_left_over(first: int):
    for seed in range(first, first + 20):
        one_history(seed)


def one_history(seed: int, steps: int = 50) -> None:
    """Make a history and look at its end."""
    world = Chances(seed)
    for _ in range(steps):
        world.act()
        world.turn()
    last = world.calm()
    for batch, hi in world.history.acknowledged.items():
        if batch not in world.history.cleared:
            assert last.listed.get(batch, 0) >= hi, (seed, batch, hi)
    assert last.resolved == last.waited
    work = world.work
    assert isinstance(work, Work)
    assert work.is_idle(), seed
