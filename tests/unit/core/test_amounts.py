"""Tasks that each want another amount of something: as many classes as tasks, and no turn looks at them all."""

import msgspec
import pytest

from scaler.core.events import Event
from scaler.ids import BatchId
from scaler.protocol import BatchOptions
from tests.unit.core.children import NESTED, OTHER, C, through
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    A,
    B,
    Checked,
    X,
    Y,
    cancels,
    client,
    cluster,
    finishes,
    knows,
    maps,
    run_id,
    values,
)
from tests.unit.core.test_placement import given
from tests.unit.core.work import calls_of, turn_of

FEW, MANY = 50, 500
GRANDCHILDS = BatchId(OTHER, 1)
#: (slots, memory): what runs out first is either
SCARCE = [(2, 64.0), (64, 4.0)]


def wanting(amount: float, priority: int = 0) -> BatchOptions:
    return BatchOptions(priority=priority, resources=(("memory", amount),))


def distinct(count: int) -> list[Event]:
    """So many batches of one call each, of which no two want the same."""
    return [event for n in range(count) for event in maps(BatchId(ALICE, 100 + n), 1, wanting(1 + n / 1000))]


def full(count: int, slots: int, memory: float) -> Checked:
    """A cluster that has as much of so many tasks as it can hold; Bob is there too, and what Alice calls is short."""
    core = Checked()
    core.handle([], now=-100.0)
    knows(core, run_us=20_000)
    core.handle([client(ALICE), client(B.owner), *cluster(X, slots, resources=(("memory", memory),))])
    core.handle(distinct(count))
    return core


@pytest.mark.parametrize(("slots", "memory", "expected"), [(2, 64.0, 0), (64, 4.0, 3)])
def test_what_a_turn_does_for_results_does_not_grow_with_what_waits(slots: int, memory: float, expected: int):
    spent = []
    for count in (FEW, MANY):
        core = full(count, slots, memory)
        events = [finishes(X, run_id(number), values(0, 1, run_us=20_000)) for number in (1, 2, 3)]
        calls, commands = turn_of(core, events)
        assert len(given(commands)) == expected
        spent.append(calls)
    assert spent[1] < 1.5 * spent[0]


@pytest.mark.parametrize(("slots", "memory"), SCARCE)
def test_what_a_turn_does_for_others_does_not_grow_with_what_waits(slots: int, memory: float):
    few, many = (calls_of(full(count, slots, memory), maps(B, 1)) for count in (FEW, MANY))
    assert many < 1.5 * few


@pytest.mark.parametrize(("slots", "memory"), SCARCE)
def test_what_comes_is_looked_at_once(slots: int, memory: float):
    spent = []
    for count in (FEW, MANY):
        core = Checked()
        core.handle([client(ALICE), *cluster(X, slots, resources=(("memory", memory),))])
        spent.append(calls_of(core, distinct(count)))
    assert spent[1] < 1.5 * spent[0] * MANY / FEW


def test_the_one_that_fits_is_found_among_those_that_do_not(core: Checked):
    core.handle(cluster(Y, slots=8, resources=(("memory", 8.0),)))
    large = [event for n in range(20) for event in maps(BatchId(ALICE, 100 + n), 1, wanting(5 + n / 100))]
    assert given(core.handle(large)) == [(Y, BatchId(ALICE, 100), 0, 1)]
    assert given(core.handle(maps(B, 1, wanting(3)))) == [(Y, B, 0, 1)]
    assert given(core.handle(maps(A, 1, wanting(1)))) == []
    assert given(core.handle([finishes(Y, run_id(2), values(0, 1))])) == [(Y, A, 0, 1)]
    assert given(core.handle([finishes(Y, run_id(1), values(0, 1))])) == [(Y, BatchId(ALICE, 101), 0, 1)]


def test_classes_of_one_kind_take_turns_by_priority(core: Checked):
    core.handle(cluster(Y, slots=1, resources=(("memory", 8.0),)))
    core.handle([*maps(A, 2, wanting(1)), *maps(B, 2, wanting(2)), *maps(A2, 1, wanting(3, priority=1))])
    order = []
    for number in range(1, 6):
        span = core.managers.tasks.runs[run_id(number)]
        order.append(core.managers.tasks.batch_of(span).id)
        core.handle([finishes(Y, run_id(number), values(span.lo, span.hi))])
    assert order == [A2, A, B, A, B]


def test_a_class_whose_urgent_tasks_are_gone_waits_behind_others(core: Checked):
    core.handle(cluster(Y, slots=1, resources=(("memory", 8.0),)))
    urgent, rest = maps(A, 1, wanting(1, priority=1)), maps(A2, 1, wanting(1))
    assert given(core.handle([*urgent, *rest, *maps(B, 1, wanting(2))])) == [(Y, A, 0, 1)]
    assert given(core.handle([finishes(Y, run_id(1), values(0, 1))])) == [(Y, B, 0, 1)]
    assert given(core.handle([finishes(Y, run_id(2), values(0, 1))])) == [(Y, A2, 0, 1)]


def test_for_a_cluster_without_an_idle_slot_not_all_is_looked_at_in_vain():
    spent = []
    for count in (200, 2000):
        core = Checked()
        core.handle([client(ALICE), client(B.owner), *cluster(X, resources=(("memory", 5000.0),)), *distinct(count)])
        # it is nearly out of work, and of what is known so little may not be sent more ahead
        core.handle([finishes(X, run_id(1), values(0, 1, run_us=10))])
        assert X in core.managers.workers.with_room
        spent.append(calls_of(core, maps(B, 1, wanting(0.5))))
    assert spent[1] < 1.5 * spent[0]


def test_what_fits_by_each_name_but_not_by_both_is_passed_over(core: Checked):
    core.handle(cluster(Y, slots=4, resources=(("disk", 1.0), ("memory", 1.0))))
    one, other = (BatchOptions(resources=(("disk", disk), ("memory", 1.2 - disk))) for disk in (0.3, 0.9))
    assert given(core.handle([*maps(A, 1, one), *maps(A2, 1, other)])) == [(Y, A, 0, 1)]
    assert given(core.handle([finishes(Y, run_id(1), values(0, 1))])) == [(Y, A2, 0, 1)]


def test_a_class_whose_urgent_tasks_were_cancelled_is_none_of_the_urgent(core: Checked):
    core.handle(cluster(Y, slots=1, resources=(("memory", 8.0),)))
    core.handle(maps(A3, 1, wanting(3)))
    core.handle([*maps(A, 1, wanting(1, priority=1)), *maps(A2, 1, wanting(1)), *maps(B, 1, wanting(2))])
    core.handle([cancels(A, (0, 1))])
    assert given(core.handle([finishes(Y, run_id(1), values(0, 1))])) == [(Y, B, 0, 1)]


@pytest.mark.parametrize("amount", [2.0, 4.0])
def test_what_a_task_submits_goes_before_what_its_client_has_of_another_class(amount: float):
    """Unless it does not fit."""
    core = Checked()
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X, slots=3, resources=(("memory", 3.0),)), *maps(A, 3, wanting(1.0))])
    nested = msgspec.structs.replace(NESTED, resources=(("memory", amount),))
    core.handle([*cluster(Y, slots=0, resources=(("memory", 8.0),)), *maps(A2, 1, wanting(1.5))])
    core.handle(through(maps(C, 1, nested)))
    ended = [finishes(X, run_id(1), values(1, 3))]
    assert given(core.handle(ended)) == [(X, C if amount == 2.0 else A2, 0, 1)]
