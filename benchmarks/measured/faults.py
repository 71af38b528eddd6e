"""What is done to a system, and when: all of it follows from the seed. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Something that is done, so many seconds after the start; `which` of the candidates it meets is a share of one."""

    at_s: float
    kind: str
    which: float

    def pick(self, candidates: Sequence[T]) -> T:
        """Whom it meets; the candidates must have an order that does not depend on chance."""
        return candidates[int(self.which * len(candidates))]


def faults(seed: int, every_s: float, kinds: Sequence[str] = ("kill",), jitter: float = 0.2) -> Iterator[Fault]:
    """Faults without an end: one in each period, early or late in it by up to this share of it."""
    chance = random.Random(f"faults {seed}")
    period = 0
    while True:
        period += 1
        at_s = every_s * (period + jitter * (2 * chance.random() - 1))
        yield Fault(at_s, kinds[int(chance.random() * len(kinds))], chance.random())


def points(seed: int, count: int, total: int) -> list[int]:
    """So many different points of the way from 0 to `total`, in order; none in its first and last twentieth."""
    chance = random.Random(f"points {seed}")
    return sorted(chance.sample(range(total // 20, total - total // 20), count))
