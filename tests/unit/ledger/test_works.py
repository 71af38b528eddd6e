"""A durable work as a ledger sees it: opened first on each new link, what it had before, and who waits for its disk."""

import pytest

from scaler.ids import BatchId, Incarnation, TaskId
from scaler.ledger.events import (
    BatchAttached,
    ClearAsked,
    DropAsked,
    FlushAsked,
    Flushed,
    FlushGivenUp,
    KnownOutcome,
    Learned,
    Leaving,
    LinkDown,
    Received,
    Reject,
    Say,
    TasksAppended,
    Unwanted,
    WorksAsked,
)
from scaler.protocol import (
    Acknowledged,
    AppendTasks,
    BatchOptions,
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    DropWork,
    Goodbye,
    InputKnown,
    ListWorks,
    NeedFunction,
    NeedInputs,
    NeedTasks,
    OpenWork,
    Resume,
    Taken,
    TasksFailed,
    WorkBatches,
    WorkDropped,
    WorkOpened,
    WorksListed,
)
from scaler.protocol.columns import VALUE
from scaler.protocol.inputs import dependency_frames
from tests.unit.ledger.examples import (
    FAILURE,
    RESUMED,
    UP,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    F,
    G,
    Watched,
    append,
    arguments,
    define,
    mapped,
    open_batch,
    opened,
    resolve,
    results,
    spans,
    values,
)

WORK = Incarnation(9)
OPENED = WorkOpened("nightly", WORK)
OLD = BatchId(WORK, 1)
OPTIONS = BatchOptions(name="g", durable="nightly")
ATTACHED = BatchAttached(OLD, G, OPTIONS, 4)


@pytest.fixture
def ledger() -> Watched:
    """One of the work "nightly", which is open."""
    made = Watched(work="nightly")
    assert made.handle([UP]) == [Say(OpenWork("nightly")), RESUMED]
    assert made.handle([Received(OPENED)]) == [Learned(OPENED)]
    return made


def acknowledged(batch: BatchId, hi: int) -> Received:
    return Received(Acknowledged(batch, hi))


# ---- opening


def test_a_new_scheduler_is_told_of_the_work_before_all_else_and_by_its_incarnation(ledger: Watched):
    ledger.handle(mapped(0, 2))
    assert ledger.handle([LinkDown(), UP_ANEW])[0] == Say(OpenWork("nightly", WORK))
    assert ledger.handle([LinkDown(), UP_AGAIN]) == []


def test_a_work_that_is_refused_is_named_without_an_incarnation_again():
    ledger = Watched(work="nightly")
    refused = WorkOpened("nightly", WORK, "it is another key's")
    assert ledger.handle([UP, Received(refused)]) == [Say(OpenWork("nightly")), RESUMED, Learned(refused)]
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(OpenWork("nightly")), RESUMED]


def test_what_the_work_had_is_told_to_the_caller(ledger: Watched):
    had = WorkBatches(())
    assert ledger.handle([Received(had)]) == [Learned(had)]


def test_leaving_is_a_goodbye_and_no_more(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 2)), ATTACHED])
    assert ledger.handle([Leaving()]) == [Say(Goodbye("the client disconnects"))]


def test_works_are_listed_and_dropped(ledger: Watched):
    assert ledger.handle([WorksAsked(), DropAsked("old")]) == [Say(ListWorks()), Say(DropWork("old"))]
    first, last, dropped = WorksListed((), more=True), WorksListed(()), WorkDropped("old")
    assert ledger.handle([Received(first)]) == [Learned(first)]
    assert ledger.handle([LinkDown(), UP_ANEW])[-2:] == [Say(ListWorks()), Say(DropWork("old"))]
    assert ledger.handle([Received(last), Received(dropped)]) == [Learned(last), Learned(dropped)]
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(OpenWork("nightly", WORK)), RESUMED]


# ---- what a scheduler that reads of it on disk has to be told


def test_what_was_given_up_while_there_was_no_link_is_cancelled(ledger: Watched):
    ledger.handle(_durable(mapped(0, 3)))
    ledger.handle([LinkDown(), Unwanted(A, spans((0, 1)))])
    own = BatchOptions(name="f", durable="nightly")
    assert ledger.handle([UP_ANEW]) == [
        Say(OpenWork("nightly", WORK)),
        Say(Resume(A, F, own, 3, spans((1, 3)))),
        RESUMED,
        Say(CancelTasks(A, spans((0, 1)))),
    ]
    ledger.handle([LinkDown(), Unwanted(A, spans((1, 3)))])
    assert ledger.handle([UP_ANEW])[1:] == [
        Say(Resume(A, F, own, 3, ())),
        RESUMED,
        Say(CancelTasks(A, spans((1, 3)))),
    ]
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(OpenWork("nightly", WORK)), RESUMED]


def _durable(events: list) -> list:
    named = BatchOptions(name="f", durable="nightly")
    return [type(one)(one.batch, one.function, named) if hasattr(one, "options") else one for one in events]


def test_what_was_cleared_while_there_was_no_link_is_cleared(ledger: Watched):
    ledger.handle([*mapped(0, 2), LinkDown(), ClearAsked()])
    assert ledger.handle([UP_ANEW]) == [Say(OpenWork("nightly", WORK)), RESUMED, Say(ClearClient())]


# ---- the disk


def test_who_waits_for_the_disk_is_told_once_all_that_was_submitted_before_is_there(ledger: Watched):
    ledger.handle([*mapped(0, 5), *mapped(0, 2, B), FlushAsked(7)])
    ledger.handle([*opened(BatchId(WORK, 5)), TasksAppended(BatchId(WORK, 5), arguments(0, 1))])
    assert ledger.handle([acknowledged(B, 2), acknowledged(A, 4)]) == [
        Learned(Acknowledged(B, 2)),
        Learned(Acknowledged(A, 4)),
    ]
    assert ledger.handle([acknowledged(A, 5)]) == [Learned(Acknowledged(A, 5)), Flushed(7)]
    assert ledger.handle([FlushAsked(8, B, 2), FlushAsked(9)]) == [Flushed(8)]


def test_a_task_is_waited_for_alone(ledger: Watched):
    ledger.handle([*mapped(0, 5), FlushAsked(1, A, 3)])
    assert ledger.handle([acknowledged(A, 3)]) == [Learned(Acknowledged(A, 3)), Flushed(1)]


def test_what_has_an_outcome_or_was_given_up_need_not_be_waited_for(ledger: Watched):
    ledger.handle([*mapped(0, 3), FlushAsked(1), acknowledged(A, 1)])
    assert ledger.handle([results(A, 1, 2)]) == [resolve(1, 2)]
    assert ledger.handle([Unwanted(A, spans((2, 3)))]) == [Say(CancelTasks(A, spans((2, 3)))), Flushed(1)]


def test_an_older_word_about_the_disk_changes_nothing(ledger: Watched):
    ledger.handle([*mapped(0, 3), acknowledged(A, 3), acknowledged(A, 1), acknowledged(B, 1)])
    assert ledger.handle([FlushAsked(1)]) == [Flushed(1)]


def test_who_waits_no_longer_is_not_told(ledger: Watched):
    ledger.handle([*mapped(0, 1), FlushAsked(1), FlushGivenUp(1), FlushGivenUp(2)])
    assert ledger.handle([acknowledged(A, 1)]) == [Learned(Acknowledged(A, 1))]


def test_nothing_is_on_disk_because_the_client_has_left(ledger: Watched):
    ledger.handle([*mapped(0, 1), FlushAsked(1)])
    assert ledger.handle([Leaving()]) == [Say(Goodbye("the client disconnects"))]


# ---- batches of other processes

RESUME_OLD = Say(Resume(OLD, G, OPTIONS, None, spans((0, 4))))


def test_an_attached_batch_is_resumed_at_once_and_over_when_all_has_come(ledger: Watched):
    assert ledger.handle([ATTACHED]) == [RESUME_OLD]
    assert ledger.handle([ATTACHED]) == []
    assert ledger.handle([results(OLD, 0, 3)]) == [resolve(0, 3, OLD)]
    ended = TasksFailed(OLD, spans((3, 4)), FAILURE)
    assert ledger.handle([Received(ended)]) == [Reject(OLD, spans((3, 4)), FAILURE, None)]
    assert ledger.handle([], now=1) == [Say(Taken(OLD, spans((0, 4))))]
    assert ledger.unresolved == 0
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(OpenWork("nightly", WORK)), RESUMED]


def test_a_new_scheduler_is_told_what_of_it_is_still_waited_for(ledger: Watched):
    ledger.handle([ATTACHED, results(OLD, 1, 2), LinkDown()])
    assert ledger.handle([UP_ANEW]) == [
        Say(OpenWork("nightly", WORK)),
        Say(Resume(OLD, G, OPTIONS, None, spans((0, 1), (2, 4)))),
        RESUMED,
    ]


@pytest.mark.parametrize("up", [UP_AGAIN, UP_ANEW])
def test_a_batch_that_is_attached_without_a_link_is_resumed_with_the_next(ledger: Watched, up: object):
    assert ledger.handle([LinkDown(), ATTACHED, Unwanted(OLD, spans((0, 1)))]) == []
    said = ledger.handle([up])  # type: ignore[list-item]  # either
    resumed, cancelled = Say(Resume(OLD, G, OPTIONS, None, spans((1, 4)))), Say(CancelTasks(OLD, spans((0, 1))))
    assert [one for one in said if one in (resumed, cancelled)] == [resumed, cancelled]


def test_its_calls_and_functions_are_not_here(ledger: Watched):
    ledger.handle([ATTACHED])
    wanted = NeedFunction(G)
    said = ledger.handle([Received(NeedTasks(OLD, 1, 9)), Received(wanted)])
    assert (said[0], said[-1]) == (Say(CancelTasks(OLD, spans((1, 4)))), Learned(wanted))
    [rejected] = [one for one in said if isinstance(one, Reject)]
    assert (rejected.ranges, rejected.failure.cause) == (spans((1, 4)), Cause.OBJECT_LOST)


def test_what_failed_in_it_cannot_be_submitted_anew(ledger: Watched):
    ledger.handle([ATTACHED])
    [rejected] = ledger.handle([Received(TasksFailed(OLD, spans((0, 1)), FAILURE))])
    assert rejected == Reject(OLD, spans((0, 1)), FAILURE, None)


def test_its_tasks_can_be_needed_and_cancelled(ledger: Watched):
    needed = TaskId(OLD, 2)
    ledger.handle([ATTACHED, *opened()])
    behind = dependency_frames(0, 1, {0: (needed,)})
    assert ledger.handle([TasksAppended(A, arguments(0, 1), {0: (needed,)})]) == [
        define(),
        open_batch(),
        Say(AppendTasks(A, 0, 1, len(behind)), append(0, 1).frames + behind),
    ]
    assert ledger.handle([results(OLD, 2, 3)]) == [resolve(2, 3, OLD)]
    status, frames = values(2, 3).one(0 + 2)
    assert KnownOutcome(status, frames).status == VALUE
    assert ledger.handle([Received(NeedInputs((needed,)))]) == [Say(InputKnown(needed, status, 1), frames)]
    assert ledger.handle([Unwanted(OLD, spans((0, 4)))]) == [Say(CancelTasks(OLD, spans((0, 2), (3, 4))))]


def test_it_is_dropped_with_all_else(ledger: Watched):
    ledger.handle([ATTACHED])
    assert ledger.handle([ClearAsked()]) == [Say(ClearClient())]
    assert ledger.unresolved == 0


def test_a_batch_of_ones_own_is_closed_as_ever(ledger: Watched):
    assert ledger.handle([ATTACHED, *mapped(0, 1)])[-1] == Say(CloseBatch(A, 1))
