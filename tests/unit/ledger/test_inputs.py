"""Calls that need other tasks: when they are said, and what the ledger keeps for a scheduler that asks."""

from collections.abc import Mapping

from scaler.ids import BatchId, TaskId
from scaler.ledger.events import (
    BatchClosed,
    ClearAsked,
    Command,
    KnownOutcome,
    Leaving,
    LinkDown,
    Received,
    Say,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.ledger import Ledger
from scaler.protocol import (
    AppendTasks,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    Failure,
    Goodbye,
    InputKnown,
    NeedInputs,
    NeedTasks,
    Results,
    Resume,
    TasksFailed,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, RAISED, VALUE, ArgumentColumn, ResultColumn
from scaler.protocol.inputs import dependency_frames
from tests.unit.ledger.examples import (
    FAILURE,
    OPTIONS,
    RESUMED,
    UP,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    C,
    F,
    Watched,
    append,
    append_column,
    arguments,
    define,
    mapped,
    open_batch,
    opened,
    results,
    spans,
)

CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")
ERROR = KnownOutcome(RAISED, (b"error",), 3)
Needs = Mapping[int, tuple[TaskId, ...]]


def task(batch: BatchId, index: int) -> TaskId:
    return TaskId(batch, index)


def needing(lo: int, hi: int, needs: Needs, batch: BatchId = A, *known: tuple[TaskId, KnownOutcome]) -> TasksAppended:
    """The caller's next calls, some of which need others."""
    return TasksAppended(batch, arguments(lo, hi), needs, known)


def append_needing(column: ArgumentColumn, needs: Needs, batch: BatchId = A) -> Say:
    behind = dependency_frames(column.lo, column.hi, needs)
    return Say(AppendTasks(batch, column.lo, column.count, len(behind)), column.frames() + behind)


def asks(*tasks: TaskId) -> Received:
    return Received(NeedInputs(tasks))


def tells(of: TaskId, outcome: KnownOutcome) -> Command:
    return Say(InputKnown(of, outcome.status, outcome.attempts), outcome.frames)


def value(data: bytes) -> KnownOutcome:
    return KnownOutcome(VALUE, (data,))


def failed(failure: Failure) -> KnownOutcome:
    return KnownOutcome(FAILED, (encode_failure(failure),))


def kept(ledger: Watched) -> list[TaskId]:
    """Of which tasks it keeps, or will keep, an outcome."""
    return list(ledger._inputs._by_task)


# ---- saying


def test_what_calls_need_is_said_behind_them(ledger: Watched):
    needs = {1: (task(A, 0),), 2: (task(A, 1), task(A, 0))}
    assert ledger.handle([*opened(), needing(0, 3, needs), BatchClosed(A)]) == [
        define(),
        open_batch(),
        append_needing(arguments(0, 3), needs),
        Say(CloseBatch(A, 3)),
    ]


def test_a_call_is_said_after_those_it_needs_whatever_batch_was_first(ledger: Watched):
    events = [*opened(), TasksAppended(A, arguments(0, 1)), *opened(B), TasksAppended(B, arguments(0, 2))]
    events += [needing(1, 3, {1: (task(B, 1),)}), needing(2, 4, {2: (task(A, 2),)}, B)]
    assert ledger.handle(events) == [
        define(),
        open_batch(),
        append(0, 1),
        open_batch(B),
        append(0, 2, B),
        append_needing(arguments(0, 3).slice(1, 3), {1: (task(B, 1),)}),
        append_needing(arguments(0, 4).slice(2, 4), {2: (task(A, 2),)}, B),
    ]


def test_a_call_waits_for_one_it_needs_that_found_no_room(ledger: Watched):
    ledger.handle([*opened(), *opened(B), TasksAppended(A, arguments(0, 1)), TasksAppended(B, arguments(0, 1))])
    late = [needing(1, 2, {1: (task(B, 1),)}), TasksAppended(B, arguments(1, 2))]
    assert ledger.handle(late, room_bytes=1) == [append_column(arguments(0, 2).slice(1, 2), B)]
    assert ledger.handle([], room_bytes=0) == []
    assert ledger.handle([], room_bytes=1) == [append_needing(arguments(0, 2).slice(1, 2), {1: (task(B, 1),)})]
    assert not ledger.has_more_to_say


def test_what_has_ended_or_was_given_up_is_not_waited_for(ledger: Watched):
    ledger.handle([*opened(B), TasksAppended(B, arguments(0, 3))], room_bytes=0)
    needs = {0: (task(B, 2), task(C, 7))}
    assert ledger.handle([Unwanted(B, spans((2, 3))), *opened(), needing(0, 1, needs)])[-1] == append_needing(
        arguments(0, 1), needs
    )


# ---- what is kept


def test_an_outcome_is_kept_until_nobody_who_needs_it_is_waited_for(ledger: Watched):
    ledger.handle([*opened(), needing(0, 3, {1: (task(A, 0),), 2: (task(A, 0),)}), asks(task(A, 0))])
    assert ledger.handle([asks(task(A, 0))]) == []
    ledger.handle([results(A, 0, 1, size=5)])
    assert ledger.handle([asks(task(A, 0), task(A, 1), task(B, 0))]) == [tells(task(A, 0), value(bytes(5)))]
    ledger.handle([results(A, 1, 2)])
    assert ledger.handle([asks(task(A, 0))]) == [tells(task(A, 0), value(bytes(5)))]
    ledger.handle([results(A, 2, 3)])
    assert ledger.handle([asks(task(A, 0))]) == []
    assert kept(ledger) == []


def test_what_is_kept_of_many_results_is_no_more_than_what_is_needed(ledger: Watched):
    ledger.handle([*opened(), needing(0, 5, {4: (task(A, 2),)}), results(A, 0, 4, size=1000)])
    outcome = ledger._inputs.outcome(task(A, 2))
    assert outcome == value(b"\2" * 1000)
    assert outcome is not None
    assert type(outcome.frames[0]) is bytes


def test_a_failure_is_kept_as_it_was_told(ledger: Watched):
    ledger.handle([*opened(), needing(0, 4, {2: (task(A, 0),), 3: (task(A, 1),)})])
    column = ResultColumn(0, 1, 0, bytes([RAISED]), bytes(4), (5).to_bytes(8, "little"), b"", (b"error",))
    ledger.handle([Received(Results(A, 0, 1, 0, "host", 3), column.frames())])
    ledger.handle([Received(TasksFailed(A, spans((1, 2)), FAILURE))])
    assert ledger.handle([asks(task(A, 0), task(A, 1))]) == [
        tells(task(A, 0), ERROR),
        tells(task(A, 1), failed(FAILURE)),
    ]


def test_what_the_caller_knows_is_taken_with_the_calls_that_need_it(ledger: Watched):
    ledger.handle([*mapped(0, 1), results(A, 0, 1)])
    ledger.handle([*opened(B), needing(0, 1, {0: (task(A, 0),)}, B, (task(A, 0), value(b"known")))])
    ledger.handle([needing(1, 2, {1: (task(A, 0),)}, B, (task(A, 0), value(b"again")))])
    assert ledger.handle([asks(task(A, 0))]) == [tells(task(A, 0), value(b"known"))]


def test_what_is_given_up_was_cancelled_for_who_needs_it(ledger: Watched):
    ledger.handle([*opened(), needing(0, 3, {2: (task(A, 0), task(A, 1))})])
    assert ledger.handle([Unwanted(A, spans((0, 2)))]) == [Say(CancelTasks(A, spans((0, 2))))]
    ledger.handle([results(A, 0, 1)])
    assert ledger.handle([asks(task(A, 0))]) == [tells(task(A, 0), failed(CANCELLED))]


def test_who_needs_what_was_cleared_is_not_left_waiting(ledger: Watched):
    ledger.handle([*mapped(0, 2), ClearAsked(), *opened(B), needing(0, 1, {0: (task(A, 1),)}, B)])
    assert ledger.handle([asks(task(A, 1))]) == [tells(task(A, 1), failed(CANCELLED))]


def test_who_is_given_up_needs_nothing_any_more(ledger: Watched):
    ledger.handle([*opened(), needing(0, 3, {1: (task(A, 0),), 2: (task(A, 1),)})])
    ledger.handle([Unwanted(A, spans((1, 2)))])
    assert kept(ledger) == [task(A, 1)]
    ledger.handle([Unwanted(A, spans((2, 3)))])
    assert kept(ledger) == []
    ledger.handle([results(A, 0, 1)])
    assert ledger._batches[A].wanted == set()


def test_nothing_is_kept_after_clearing_or_leaving(ledger: Watched):
    needs = [*opened(), needing(0, 3, {1: (task(A, 0),), 2: (task(A, 1),)})]
    ledger.handle(needs)
    assert ledger.handle([ClearAsked()]) == [Say(ClearClient())]
    assert kept(ledger) == []
    ledger.handle([*opened(B), needing(0, 3, {1: (task(B, 0),), 2: (task(A, 1),)}, B)])
    assert ledger.handle([Leaving()]) == [Say(Goodbye("the client disconnects"))]
    assert kept(ledger) == []


def test_calls_of_a_batch_that_was_cleared_meanwhile_need_nothing(ledger: Watched):
    ledger.handle([*opened(), ClearAsked(), needing(0, 1, {0: (task(B, 0),)}, A, (task(B, 0), value(b"v")))])
    assert kept(ledger) == []


def test_twenty_thousand_that_end_one_by_one_cost_no_more_than_they_are():
    ledger = Ledger()
    count = 20_000
    needs = dict.fromkeys(range(1, count), (task(A, 0),))
    ledger.handle([UP, *opened(), needing(0, count, needs)], 0.0, 1 << 30)
    for index in reversed(range(count)):
        ledger.handle([results(A, index, index + 1)], 0.0, 1 << 30)
    assert ledger.unresolved == 0
    assert ledger._inputs._by_task == {}


# ---- another scheduler, and the same again


def test_a_new_scheduler_is_told_what_calls_need_when_it_asks_for_them(ledger: Watched):
    needs = {1: (task(A, 0),), 2: (task(A, 1),)}
    ledger.handle([*opened(), needing(0, 3, needs), BatchClosed(A), results(A, 0, 1)])
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(Resume(A, F, OPTIONS, 3, spans((1, 3)))), RESUMED]
    assert ledger.handle([Received(NeedTasks(A, 1, 3))]) == [append_needing(arguments(0, 3).slice(1, 3), needs)]
    assert ledger.handle([asks(task(A, 0), task(A, 1))]) == [tells(task(A, 0), value(b"\0"))]


def test_a_link_that_goes_on_tells_first_of_what_nobody_wants(ledger: Watched):
    ledger.handle([*opened(), needing(0, 2, {1: (task(C, 0),)}), *opened(B)])
    ledger.handle([LinkDown(), needing(0, 1, {0: (task(C, 0),)}, B), Unwanted(A, spans((1, 2)))])
    ledger._talking.move_to_end(A)
    assert ledger.handle([UP_AGAIN]) == [
        Say(CancelTasks(A, spans((1, 2)))),
        open_batch(B),
        append_needing(arguments(0, 1), {0: (task(C, 0),)}, B),
    ]
