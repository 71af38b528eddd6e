"""Which worker is given which tasks, in what order, and how many at once."""

from collections import Counter
from itertools import pairwise

import pytest
from msgspec.structs import replace

from scaler.ids import FunctionId, TicketId, WorkerId
from scaler.protocol import BatchOptions, CancelRun, Delivered, Running, RunSpan
from scaler.worker.agent_events import Command, Give, Received, Say, StartWorker, TookBack, WorkerStarted
from tests.unit.worker.examples import (
    Cluster,
    F,
    G,
    batch_id,
    define,
    defines,
    ended,
    give,
    harvested,
    offsets,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
    span_result,
)

URGENT = BatchOptions(priority=5)
OTHER_OWNER = 6


def sizes(commands: list[Command]) -> list[int]:
    """How many tasks each ticket has."""
    return [command.column.count for command in commands if isinstance(command, Give)]


def test_of_a_function_nobody_has_seen_each_slot_is_given_one_task():
    cluster = ready(2)
    assert cluster.hear(run_span(1, 0, 100)) == [defines(0), give(0, 1, 0, 1), defines(1), give(1, 2, 1, 2)]
    assert cluster.deadline() is None


def test_every_slot_of_a_worker_is_given_a_ticket():
    assert ready(1, threads=3).hear(run_span(1, 0, 100)) == [
        defines(0),
        give(0, 1, 0, 1),
        give(0, 2, 1, 2),
        give(0, 3, 2, 3),
    ]


def test_that_a_task_runs_which_may_take_its_host_down_is_told_a_turn_before_it_does():
    cluster = ready(2)
    sent = run_span(1, 3, 4)
    assert isinstance(sent.message, RunSpan)
    assert cluster.hear(Received(replace(sent.message, alone=True), sent.frames)) == [Say(Running(((run_id(1), 3),)))]
    assert cluster.deadline() == cluster.now
    assert cluster.tell() == [defines(0), give(0, 1, 3, 4)]
    assert cluster.deadline() is None


def test_the_worker_that_has_just_run_something_comes_first():
    cluster = ready(3)
    cluster.hear(run_span(1, 0, 3))
    done = [harvested(n, piece(n + 1, n, n + 1), slots=(rests(n + 1, n + 1),)) for n in range(3)]
    cluster.tell(done[2], done[0], done[1])
    assert cluster.hear(run_span(2, 0, 3)) == [give(1, 4, 0, 1, n=2), give(0, 5, 1, 2, n=2), give(2, 6, 2, 3, n=2)]


def test_one_call_at_a_time_stays_with_one_worker():
    cluster = ready(2)
    assert cluster.hear(run_span(1, 0, 1)) == [defines(0), give(0, 1, 0, 1)]
    for n in range(2, 5):
        cluster.tell(harvested(0, piece(n - 1, 0, 1), slots=(rests(n - 1, 1),)))
        assert cluster.hear(run_span(n, 0, 1)) == [give(0, n, 0, 1, n=n)]


def test_new_workers_come_last_the_first_of_them_before_the_others():
    cluster = ready(3)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert StartWorker(WorkerId(3)) in cluster.tell(ended(1), at=2.0)
    cluster.tell(WorkerStarted(WorkerId(3), 103))
    assert cluster.hear(run_span(2, 0, 3)) == [
        give(0, 2, 0, 1, n=2),
        defines(2),
        give(2, 3, 1, 2, n=2),
        defines(3),
        give(3, 4, 2, 3, n=2),
    ]


def test_a_worker_that_has_run_nothing_of_what_it_was_given_is_still_a_new_one():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(CancelRun(run_id(1), ranges((0, 1))))
    cluster.tell(TookBack(WorkerId(0), (TicketId(1),)))
    assert cluster.hear(run_span(2, 0, 2)) == [defines(1), give(1, 2, 0, 1, n=2), give(0, 3, 1, 2, n=2)]


def test_every_result_doubles_what_is_tried():
    cluster = ready()
    commands = cluster.hear(run_span(1, 0, 10_000))
    given = []
    for ticket in range(1, 8):
        found = [command for command in commands if isinstance(command, Give)]
        assert [command.ticket for command in found] == [ticket]
        lo, hi = found[0].column.lo, found[0].column.hi
        given.append((lo, hi))
        commands = cluster.tell(harvested(0, piece(ticket, lo, hi, 10), slots=(rests(ticket, hi),)))
    assert [hi - lo for lo, hi in given] == [1, 2, 4, 8, 16, 32, 64]
    assert all(before[1] == after[0] for before, after in pairwise(given))


def test_a_ticket_is_a_millisecond_of_work_and_all_together_twenty():
    cluster = seasoned(run_us=100)
    commands = cluster.hear(run_span(1, 0, 1000))
    assert commands == [give(0, 17 + n, 9 * n, 9 * n + 9) for n in range(21)]


@pytest.mark.parametrize(
    ("run_us", "expected"),
    [
        (0, [1000] * 20),  # no task counts for less than 1 µs
        (20, [45] * 20),
        (1000, [1] * 21),
        (10_000, [1] * 3),
        (100_000, [1]),  # nothing behind a task that takes longer than all that may wait
    ],
)
def test_tickets_go_by_the_run_times_seen(run_us: int, expected: list[int]):
    assert sizes(seasoned(run_us=run_us).hear(run_span(1, 0, 100_000))) == expected


def test_tickets_shrink_as_the_queue_runs_dry():
    cluster = seasoned(workers=2, run_us=100)
    commands = cluster.hear(run_span(1, 0, 30))
    assert sizes(commands) == [8, 6, 4, 3, 3, 2, 1, 1, 1, 1]
    by_worker = Counter(command.worker for command in commands if isinstance(command, Give))
    assert by_worker == {0: 5, 1: 5}


def test_what_is_very_short_is_not_cut_to_nothing():
    assert sizes(seasoned(workers=2, run_us=10).hear(run_span(1, 0, 20))) == [5, 4, 4, 4, 3]


def test_a_worker_is_given_more_when_it_has_less_than_enough_ahead():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 100))
    done = [piece(17 + n, n, n + 1, 1000) for n in range(3)]
    assert cluster.tell(harvested(0, *done, slots=(runs(20, 3, 0.003),)), at=0.003) == [
        give(0, 38, 21, 22),
        give(0, 39, 22, 23),
        give(0, 40, 23, 24),
        span_result(0, 3, run_us=1000),
    ]


def test_what_a_slot_is_held_up_in_makes_no_room_behind_it():
    cluster = seasoned(run_us=1000)
    cluster.hear(run_span(1, 0, 100))
    assert not sizes(cluster.tell(harvested(0, piece(17, 0, 1, 1000), slots=(runs(18, 1, 0.001),)), at=0.022))


def test_a_ticket_of_several_tasks_holds_no_more_bytes_than_fit_a_line():
    cluster = seasoned(run_us=20)
    big = [20_000, 20_000, 20_000, 100_000, 10]
    span = RunSpan(run_id(1), batch_id(1), 0, 5, F, BatchOptions())
    commands = cluster.hear(Received(span, (offsets(0, big), bytes(sum(big)))))
    assert sizes(commands) == [2, 1, 1, 1]


def test_urgent_runs_are_served_first():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2))
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(run_span(3, 0, 1, options=URGENT))
    cluster.hear(run_span(4, 0, 1, options=BatchOptions(priority=-1)))
    assert served(cluster, 1, 5) == [(1, 0), (3, 0), (1, 1), (2, 0), (4, 0)]


def test_clients_take_turns_and_the_runs_of_one_go_by_age():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2))
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(run_span(3, 0, 2, owner=OTHER_OWNER))
    assert served(cluster, 1, 5) == [(1, 0), (1, 1), (3, 0), (2, 0), (3, 1)]


def served(cluster: Cluster, first: int, count: int) -> list[tuple[int, int]]:
    """The (run, index) of single tickets in the order in which they are given, each finished before the next."""
    found = []
    worker = next(iter(cluster.agent._pool.workers.values()))
    for ticket in range(first, first + count):
        given = worker.tickets[TicketId(ticket)]
        found.append((given.run.id.n, given.next))
        done = piece(ticket, given.next, given.hi)
        cluster.tell(harvested(0, done, slots=(rests(ticket, given.hi),)), at=cluster.now + 0.1)
    assert not worker.tickets
    return found


def test_a_run_whose_tasks_are_all_out_leaves_the_queue_to_others():
    cluster = ready(2)
    assert cluster.hear(run_span(1, 0, 1), run_span(2, 0, 5)) == [
        defines(0),
        give(0, 1, 0, 1),
        defines(1),
        give(1, 2, 0, 1, n=2),
    ]


def test_a_worker_is_told_of_a_function_once():
    cluster = ready()
    cluster.hear(define(G))
    assert cluster.hear(run_span(1, 0, 1)) == [defines(0), give(0, 1, 0, 1)]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [span_result(0, 1)]
    assert cluster.hear(run_span(2, 0, 1)) == [give(0, 2, 0, 1, n=2)]
    cluster.tell(harvested(0, piece(2, 0, 1), slots=(rests(2, 1),)))
    assert cluster.hear(run_span(3, 0, 1, function=G)) == [defines(0, G), give(0, 3, 0, 1, n=3, function=G)]


def test_tasks_of_one_function_under_two_tags_are_timed_apart():
    cluster = seasoned(run_us=100)
    tagged = BatchOptions(tag="gpu")
    assert cluster.hear(run_span(1, 0, 100, options=tagged)) == [give(0, 17, 0, 1, options=tagged)]


def test_a_run_that_was_delivered_and_one_that_was_cancelled_leave_nothing_behind():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2), run_span(2, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    cluster.hear(CancelRun(run_id(2), ranges((0, 1))))
    cluster.tell(harvested(0, piece(2, 1, 2), slots=(rests(2, 2),)))
    assert cluster.hear(Delivered(((run_id(1), ranges((0, 2))),))) == []
    assert cluster.agent._runs.by_id == {}


def test_one_ticket_is_never_numbered_like_another():
    cluster = seasoned(workers=2, run_us=100)
    commands = cluster.hear(run_span(1, 0, 300), run_span(2, 0, 300, function=FunctionId(b"f" * 16)))
    numbers = [command.ticket for command in commands if isinstance(command, Give)]
    assert numbers == list(range(17, 17 + len(numbers)))
