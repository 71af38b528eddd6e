from random import Random

import pytest

from scaler.core.lifecycle import State
from scaler.core.spans import NO_COUNTS, NO_NEEDS, Counts, Needs, Span, SpanMap, Wait

QUEUED, WAITING, FAILED = State.QUEUED, State.WAITING, State.FAILED


def spans(*parts: tuple[int, int, State]) -> SpanMap:
    made = SpanMap()
    for lo, hi, state in parts:
        made.add(Span(lo, hi, state))
    return made


def shown(made: SpanMap) -> list[tuple[int, int, State]]:
    return [(span.lo, span.hi, span.state) for span in made.all()]


def test_what_follows_and_stands_alike_is_joined():
    made = spans((0, 2, QUEUED))
    assert made.add(Span(2, 4, QUEUED)) == ([Span(0, 2, QUEUED)], [Span(0, 4, QUEUED)])
    assert shown(made) == [(0, 4, QUEUED)]


def test_what_fills_a_gap_is_joined_with_both_sides():
    made = spans((0, 2, QUEUED), (4, 6, QUEUED))
    assert made.add(Span(2, 4, QUEUED)) == ([Span(0, 2, QUEUED), Span(4, 6, QUEUED)], [Span(0, 6, QUEUED)])


def test_what_stands_otherwise_stays_apart():
    assert shown(spans((0, 2, QUEUED), (4, 6, QUEUED), (2, 4, FAILED))) == [
        (0, 2, QUEUED),
        (2, 4, FAILED),
        (4, 6, QUEUED),
    ]


@pytest.mark.parametrize(
    "other",
    [
        Span(2, 4, FAILED),
        Span(2, 4, QUEUED, counts=Counts(died=1)),
        Span(2, 4, QUEUED, wait=Wait.BACKOFF),
    ],
)
def test_spans_that_differ_in_anything_but_their_range_do_not_continue_each_other(other: Span):
    assert not Span(0, 2, QUEUED).continues(other)
    assert Span(0, 2, QUEUED, counts=Counts(0)).continues(Span(2, 4, QUEUED))


def test_the_span_of_an_index():
    made = spans((2, 4, QUEUED), (6, 8, FAILED))
    assert [span and span.lo for span in map(made.at, range(1, 9))] == [None, 2, 2, None, None, 6, 6, None]


def test_the_parts_within_a_range_are_cut_to_it():
    made = spans((0, 4, QUEUED), (4, 8, FAILED), (10, 12, QUEUED))
    assert made.within(2, 11) == [Span(2, 4, QUEUED), Span(4, 8, FAILED), Span(10, 11, QUEUED)]
    assert made.within(8, 10) == made.within(12, 20) == SpanMap().within(0, 9) == []
    assert made.within(9, 12) == [Span(10, 12, QUEUED)]


def test_a_move_in_the_middle_cuts_a_span_in_three():
    made = spans((0, 9, QUEUED))
    assert made.move(made.all()[0], Span(3, 6, FAILED)) == (
        [Span(0, 9, QUEUED)],
        [Span(0, 3, QUEUED), Span(3, 6, FAILED), Span(6, 9, QUEUED)],
    )


def test_a_move_joins_what_it_now_continues():
    made = spans((0, 3, FAILED), (3, 6, QUEUED), (6, 9, FAILED))
    taken, put = made.move(made.all()[1], Span(3, 6, FAILED))
    assert [(span.lo, span.hi) for span in taken] == [(0, 3), (3, 6), (6, 9)]
    assert put == [Span(0, 9, FAILED)]


def test_a_move_that_changes_nothing_leaves_the_span_whole():
    made = spans((0, 9, QUEUED))
    assert made.move(made.all()[0], Span(3, 6, QUEUED)) == ([], [])
    assert shown(made) == [(0, 9, QUEUED)]


@pytest.mark.parametrize(
    ("lo", "hi", "rest"), [(0, 9, []), (0, 3, [(3, 9)]), (6, 9, [(0, 6)]), (3, 6, [(0, 3), (6, 9)])]
)
def test_what_is_dropped_leaves_a_gap(lo: int, hi: int, rest: list[tuple[int, int]]):
    made = spans((0, 9, FAILED))
    made.drop(made.all()[0], lo, hi)
    assert [(span.lo, span.hi) for span in made.all()] == rest


def test_what_was_charged_says_what_is_needed_next():
    assert NO_COUNTS.needs == NO_NEEDS
    assert Counts(began=2, died=1, raised=1).needs == NO_NEEDS
    assert Counts(vanished=1).needs == Needs(alone=True, least_s=0.0)
    assert Counts().suspect().needs == Needs(alone=False, least_s=0.0)
    assert Counts().suspect().suspect().needs == Needs(alone=True, least_s=0.0)
    assert Counts(least_s=4.0).needs == Needs(alone=False, least_s=4.0)


def test_least_run_times_are_told_apart_no_finer_than_a_twentieth():
    least = [Counts(least_s=seconds / 100).needs.least_s for seconds in range(100, 10_001)]
    assert len(set(least)) == 108  # 16 to the octave, from 1 s to 100 s
    assert all(exact <= 100 * rounded * (1 + 1e-9) < 1.05 * exact for exact, rounded in enumerate(least, 100))


@pytest.mark.parametrize("seed", range(5))
def test_by_chance_a_map_holds_what_a_plain_list_of_states_holds(seed: int):
    chance = Random(seed)
    made, plain = SpanMap(), dict[int, State]()
    for _ in range(300):
        lo = chance.randrange(40)
        old = made.at(lo)
        state = chance.choice((QUEUED, WAITING, FAILED))
        if old is None:
            made.add(Span(lo, lo + 1, state))
            plain[lo] = state
        else:
            hi = chance.randint(lo + 1, old.hi)
            if chance.random() < 0.2:
                made.drop(old, lo, hi)
                plain = {index: kept for index, kept in plain.items() if not lo <= index < hi}
            else:
                made.move(old, Span(lo, hi, state))
                plain |= dict.fromkeys(range(lo, hi), state)
        assert {index: span.state for span in made.all() for index in range(span.lo, span.hi)} == plain
        pairs = zip(made.all(), made.all()[1:], strict=False)
        assert all(one.hi < two.lo or (one.hi == two.lo and not one.continues(two)) for one, two in pairs)
