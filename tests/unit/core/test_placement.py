"""Which cluster is given which tasks, and how many."""

from array import array

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import Command, PeerLost, Send
from scaler.core.spans import NO_COUNTS
from scaler.protocol import BatchOptions, ReturnReason, RunSpan
from scaler.protocol.options import MAX_INDEX
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    A,
    B,
    Checked,
    G,
    X,
    Y,
    Z,
    appends,
    begins,
    cancelled_for,
    cancels,
    client,
    cluster,
    defines,
    finishes,
    function_for,
    knows,
    maps,
    need_tasks,
    opens,
    ready,
    results_for,
    resumes,
    returns,
    run_id,
    said,
    span_for,
    states,
    values,
)

GPU = BatchOptions(tag="gpu")
LICENSED = BatchOptions(resources=(("licence", 1.0),))


def given(commands: list[Command]) -> list[tuple[int, object, int, int]]:
    """Who was sent which tasks."""
    return [
        (command.peer, command.message.batch, command.message.lo, command.message.hi)
        for command in commands
        if isinstance(command, Send) and isinstance(command.message, RunSpan)
    ]


# ---- how many


def test_of_an_unknown_function_each_slot_gets_one_task_and_each_result_doubles_that(core: Checked):
    assert core.handle(maps(A, 100)) == [function_for(X), span_for(X, run_id(1), A, 0, 2)]
    first, second = values(0, 2, run_us=10), values(2, 6, run_us=10)
    assert core.handle([finishes(X, run_id(1), first)]) == [results_for(A, first), span_for(X, run_id(2), A, 2, 6)]
    assert core.handle([finishes(X, run_id(2), second)]) == [results_for(A, second), span_for(X, run_id(3), A, 6, 14)]


def test_of_a_known_function_a_cluster_gets_its_lookahead_and_is_filled_up_below_three_quarters(core: Checked):
    knows(core, run_us=20_000)
    assert core.handle(maps(A, 100)) == [function_for(X), span_for(X, run_id(1), A, 0, 16)]
    three, fourth = values(0, 3, run_us=20_000), values(3, 4, run_us=20_000)
    assert core.handle([finishes(X, run_id(1), three)]) == [results_for(A, three)]
    assert core.handle([finishes(X, run_id(1), fourth)]) == [results_for(A, fourth), span_for(X, run_id(2), A, 16, 20)]


def test_however_long_a_task_is_no_slot_stands_idle(core: Checked):
    knows(core, run_us=3_000_000_000)
    assert given(core.handle(maps(A, 100))) == [(X, A, 0, 2)]


def test_shares_shrink_with_what_is_left(core: Checked):
    knows(core, run_us=1_000)
    core.handle(cluster(Y))
    assert core.handle(maps(A, 40)) == [
        function_for(X),
        span_for(X, run_id(1), A, 0, 10),
        function_for(Y),
        span_for(Y, run_id(2), A, 10, 18),
    ]
    assert given(core.handle([finishes(X, run_id(1), values(0, 10, run_us=1_000))])) == [(X, A, 18, 24)]
    assert given(core.handle([finishes(Y, run_id(2), values(10, 18, run_us=1_000))])) == [(Y, A, 24, 28)]


def test_a_late_cluster_gets_its_share_of_what_is_queued(core: Checked):
    knows(core, run_us=50_000)
    assert given(core.handle(maps(A, 100))) == [(X, A, 0, 5)]
    assert given(core.handle(cluster(Y))) == [(Y, A, 5, 10)]


def test_bytes_at_one_cluster_are_bounded_whatever_its_slots():
    core = Checked(CoreConfig(cluster_bytes=10))
    core.handle([], now=-100.0)
    core.handle([client(ALICE), *cluster(X, slots=8), *maps(A, 8)])
    assert len(core.managers.tasks.queue.classes) == 1
    assert core.managers.workers.clusters[X].load.unfinished == 2
    assert core.handle([finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]
    assert given(core.handle([finishes(X, run_id(1), values(1, 2))])) == [(X, A, 2, 4)]


def test_calls_that_came_in_chunks_are_sent_by_chunk(core: Checked):
    knows(core, run_us=1_000)
    core.handle([ready(X, slots=64)])
    events = [defines(), opens(A), appends(A, 0, 3000), appends(A, 3000, 6000)]
    assert given(core.handle(events)) == [(X, A, 0, 3000), (X, A, 3000, 6000)]


def test_a_queue_that_is_not_what_the_spans_say_is_our_own_error(core: Checked):
    core.handle([opens(A)])
    core.managers.tasks.queue.put(core.managers.tasks.batches[A].lane_of(NO_COUNTS), 5, 1)
    with pytest.raises(IndexError, match="is not what is queued"):
        core.handle([])


# ---- which first


def test_clusters_are_served_the_longest_idle_first(core: Checked):
    core.handle([*cluster(Y), *maps(A, 3)])
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert given(core.handle(maps(A2, 4))) == [(Y, A2, 0, 1), (X, A2, 1, 3)]


def test_a_larger_priority_goes_first_whatever_came_before(core: Checked):
    urgent = BatchOptions(priority=5)
    assert given(core.handle([*maps(A, 4), *maps(A2, 1, urgent)])) == [(X, A2, 0, 1), (X, A, 0, 1)]
    core.handle(maps(A3, 2, urgent))
    assert given(core.handle([finishes(X, run_id(2), values(0, 1))])) == [(X, A3, 0, 1)]


def test_clients_take_turns(core: Checked):
    assert given(core.handle([*maps(A, 4), *maps(A2, 4), *maps(B, 4)])) == [(X, A, 0, 1), (X, B, 0, 1)]
    assert given(core.handle([finishes(X, run_id(1), values(0, 1))])) == [(X, A, 1, 2)]
    assert given(core.handle([finishes(X, run_id(3), values(1, 2))])) == [(X, B, 1, 2)]


def test_classes_take_turns(core: Checked):
    core.handle([ready(X, tags=("gpu",))])
    assert given(core.handle([*maps(A, 4), *maps(B, 4, GPU)])) == [(X, A, 0, 2)]
    assert given(core.handle([finishes(X, run_id(1), values(0, 1))])) == [(X, B, 0, 1)]
    assert given(core.handle([finishes(X, run_id(1), values(1, 2))])) == [(X, A, 2, 3)]


# ---- who can


def test_a_task_nobody_can_take_blocks_nobody(core: Checked):
    core.handle([*cluster(Y, slots=1, tags=("gpu",))])
    assert given(core.handle([*maps(A, 3, GPU), *maps(B, 1)])) == [(X, B, 0, 1), (Y, A, 0, 1)]
    assert given(core.handle(maps(A2, 1))) == [(X, A2, 0, 1)]


def test_a_cluster_that_offers_more_is_asked_again(core: Checked):
    core.handle([*cluster(Y, slots=0, tags=("gpu",)), *maps(A, 1, GPU)])
    assert given(core.handle([ready(X, tags=("gpu",))])) == [(X, A, 0, 1)]


def test_resources_are_counted(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, slots=4, resources=(("licence", 2.0),))])
    assert given(empty.handle([*maps(A, 4, LICENSED), *maps(A2, 4)])) == [(X, A, 0, 2), (X, A2, 0, 2)]
    assert given(empty.handle([finishes(X, run_id(1), values(0, 1))])) == [(X, A, 2, 3)]


def test_a_cluster_without_the_resource_is_passed_over(core: Checked):
    core.handle(cluster(Y, slots=1, resources=(("licence", 1.0),)))
    assert given(core.handle(maps(A, 2, LICENSED))) == [(Y, A, 0, 1)]


def test_a_cluster_that_said_nothing_of_itself_gets_nothing(empty: Checked):
    empty.handle([client(ALICE), cluster(X)[0], *maps(A, 1)])
    assert given(empty.handle([ready(X, slots=0)])) == []
    assert given(empty.handle([ready(X, slots=1)])) == [(X, A, 0, 1)]


# ---- alone


@pytest.fixture
def crowded(core: Checked) -> Checked:
    """X is full of Bob's tasks with more behind them; a task of Alice's has lost its host once."""
    core.handle([ready(X, slots=0), *cluster(Y, slots=1), *maps(A, 1)])
    core.handle([begins(Y, (run_id(1), 0))])
    assert given(core.handle([ready(X), *maps(B, 10)])) == [(X, B, 0, 2)]
    assert said(core.handle([PeerLost(Y)])) == []
    return core


def test_a_cluster_is_kept_from_taking_more_until_it_is_empty_for_a_task_that_must_be_alone(crowded: Checked):
    assert given(crowded.handle([finishes(X, run_id(2), values(0, 1))])) == []
    assert given(crowded.handle([finishes(X, run_id(2), values(1, 2))])) == [(X, A, 0, 1)]
    assert given(crowded.handle([finishes(X, run_id(3), values(0, 1))])) == [(X, B, 2, 4)]


def test_an_empty_cluster_that_cannot_take_it_just_now_is_not_kept_empty_for_it(core: Checked):
    core.handle(maps(A, 1))
    core.handle([begins(X, (run_id(1), 0))])
    core.handle([PeerLost(X), *cluster(Y)])
    refusal = returns(Y, run_id(2), (0, 1), reason=ReturnReason.NOT_BEGUN)
    assert given(core.handle([refusal, *maps(B, 1)], now=1.0)) == [(Y, B, 0, 1)]
    assert given(core.handle([finishes(Y, run_id(3), values(0, 1))], now=1.05)) == []
    assert given(core.handle([], now=1.1)) == [(Y, A, 0, 1)]


def test_when_the_task_is_cancelled_the_cluster_takes_more_at_once(crowded: Checked):
    crowded.handle([finishes(X, run_id(2), values(0, 1))])
    assert crowded.handle([cancels(A, (0, 1))]) == [cancelled_for(A, (0, 1)), span_for(X, run_id(3), B, 2, 3)]


def test_when_the_task_found_another_place_the_cluster_takes_more(crowded: Checked):
    crowded.handle([finishes(X, run_id(2), values(0, 1))])
    assert given(crowded.handle(cluster(Z, slots=1))) == [(Z, A, 0, 1)]
    assert given(crowded.handle([])) == [(X, B, 2, 3)]


def test_a_cluster_that_has_no_slots_is_not_kept_empty_for_it(core: Checked):
    core.handle([ready(X, slots=0), *cluster(Y, slots=1), *maps(A, 1)])
    core.handle([begins(Y, (run_id(1), 0))])
    core.handle([*cluster(Z), *maps(B, 10)])
    core.handle([PeerLost(Y)])
    assert given(core.handle([finishes(Z, run_id(2), values(0, 1))])) == []
    assert given(core.handle([finishes(Z, run_id(2), values(1, 2))])) == [(Z, A, 0, 1)]


# ---- after a restart


@pytest.mark.parametrize("size", [1_000, MAX_INDEX])
def test_all_arguments_that_are_missing_in_a_row_are_asked_for_at_once(anew: Checked, size: int):
    anew.handle([defines(), resumes(A, size, (0, size))])
    assert anew.handle([], now=3.0) == [need_tasks(A, 0, size)]
    assert given(anew.handle([appends(A, 0, 1)], now=3.0)) == [(X, A, 0, 1)]
    assert states(anew) == [(0, 1, "assigned"), (1, size, "waiting")]


def test_a_task_that_runs_for_long_fills_its_own_slot_and_no_other(core: Checked):
    knows(core, 5_000_000)
    for _ in range(20):
        core.managers.tasks.run_times.of(G, None).observe(array("I", [1000]).tobytes())
    core.handle(maps(A, 1))
    assert given(core.handle(maps(B, 1000, function=G))) == [(X, B, 0, 156)]
    assert given(core.handle([finishes(X, run_id(2), values(0, 20, 1000))])) == []
    assert given(core.handle([finishes(X, run_id(2), values(20, 100, 1000))])) == [(X, B, 156, 256)]
