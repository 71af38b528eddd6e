import random
from collections.abc import Iterator

import pytest

from scaler.ids import Range
from scaler.ranges import RangeSet, members_within


def test_neighbours_are_made_one():
    ranges = RangeSet([(0, 2), (4, 6), (2, 4)])
    assert ranges.ranges() == (Range(0, 6),)
    assert (len(ranges), ranges.end) == (6, 6)


def test_what_is_removed_is_told():
    ranges = RangeSet([(0, 4), (6, 10)])
    assert ranges.remove(2, 8) == [Range(2, 4), Range(6, 8)]
    assert ranges.ranges() == (Range(0, 2), Range(8, 10))
    assert ranges.remove(3, 5) == []


def test_the_empty_set_holds_nothing():
    ranges = RangeSet([(3, 3)])
    assert not ranges
    assert (ranges.end, 3 in ranges, ranges.within(0, 9), ranges.remove(0, 9), ranges.intersects(0, 9)) == (
        0,
        False,
        [],
        [],
        False,
    )
    assert ranges == RangeSet()
    assert ranges != ()
    assert repr(RangeSet([(1, 2)])) == "RangeSet([(1, 2)])"


class Looked(dict[int, None]):
    """A dict that counts what it is asked."""

    looks = 0

    def __iter__(self) -> Iterator[int]:
        self.looks += len(self)
        return super().__iter__()

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)


def test_members_within_a_range_cost_the_smaller_of_both():
    known = Looked.fromkeys([7, 3, 900, 5])
    assert members_within(known, 3, 6) == [3, 5]
    assert known.looks == 3
    assert members_within(known, 5, 1000) == [7, 900, 5]
    assert known.looks == 3 + 4
    assert members_within(known, 5, 5) == []


@pytest.mark.parametrize("seed", range(30))
def test_it_is_the_set_it_stands_for(seed: int):
    chance = random.Random(seed)
    ranges, model = RangeSet(), set[int]()
    for _ in range(200):
        lo = chance.randrange(40)
        hi = lo + chance.randrange(8)
        span = set(range(lo, hi))
        assert {i for a, b in ranges.within(lo, hi) for i in range(a, b)} == model & span
        assert ranges.intersects(lo, hi) == bool(model & span)
        if chance.random() < 0.5:
            ranges.add(lo, hi)
            model |= span
        else:
            assert {i for a, b in ranges.remove(lo, hi) for i in range(a, b)} == model & span
            model -= span
        assert {i for i in range(50) if i in ranges} == model
        assert (len(ranges), ranges.end) == (len(model), max(model, default=-1) + 1)
        assert all(one.hi < other.lo for one, other in zip(ranges.ranges(), ranges.ranges()[1:], strict=False))
