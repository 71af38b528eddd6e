import pytest

from scaler.ids import Range, TaskId
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import (
    BatchClosed,
    BatchOpened,
    CancelAsked,
    ClearAsked,
    ExplainAsked,
    Learned,
    Leaving,
    LinkDown,
    Received,
    Reject,
    Say,
    ShutdownAsked,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.ledger import Ledger
from scaler.protocol import (
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    ExplainTask,
    Explanation,
    Failure,
    Goodbye,
    NeedFunction,
    NeedTasks,
    QueueFull,
    Resume,
    ShutdownAnswer,
    ShutdownScheduler,
    Taken,
    TasksFailed,
)
from scaler.protocol.columns import ArgumentColumn
from tests.unit.ledger.examples import (
    FAILURE,
    OPTIONS,
    RESUMED,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    F,
    G,
    Watched,
    append,
    append_column,
    arguments,
    define,
    indices,
    mapped,
    open_batch,
    opened,
    resolve,
    results,
    singles,
    spans,
)

TASK, OTHER = TaskId(A, 0), TaskId(A, 3)

# ---- asked again


def test_a_function_is_said_again_on_request(ledger: Watched):
    ledger.handle(mapped(0, 1))
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    assert ledger.handle([Received(NeedFunction(G))]) == [Learned(NeedFunction(G))]


def test_arguments_are_said_again_as_far_as_they_are_waited_for(ledger: Watched):
    ledger.handle([*mapped(0, 6), results(A, 2, 3)])
    assert ledger.handle([Received(NeedTasks(A, 1, 9))]) == [
        append_column(arguments(0, 6).slice(1, 2)),
        append_column(arguments(0, 6).slice(3, 6)),
    ]
    assert ledger.handle([Received(NeedTasks(B, 0, 9))]) == []
    assert ledger.handle([Received(NeedTasks(A, 2, 3))]) == []


def test_arguments_that_were_never_sent_are_not_sent_twice_when_they_are_asked_for(ledger: Watched):
    chunks = [TasksAppended(A, arguments(lo, lo + 10, size=8000)) for lo in (0, 10)]
    ledger.handle([*opened(), *chunks], room_bytes=1)
    said = ledger.handle([Received(NeedTasks(A, 0, 20))])
    assert [(command.message.lo, command.message.count) for command in said] == [(0, 10), (10, 10)]


def test_arguments_asked_for_again_come_before_new_ones_and_wait_for_room(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))])
    new = arguments(3, 5)
    assert ledger.handle([Received(NeedTasks(A, 0, 9)), TasksAppended(A, new)], room_bytes=0) == []
    assert [indices_of(command) for command in ledger.handle([])] == [[0, 1, 2], [3, 4]]


def indices_of(command) -> list[int]:  # noqa: ANN001  # a Say(AppendTasks)
    return indices(ArgumentColumn.from_frames(command.message.lo, command.message.count, command.frames))


def test_arguments_whose_result_came_meanwhile_are_not_said_again(ledger: Watched):
    ledger.handle(mapped(0, 3))
    ledger.handle([Received(NeedTasks(A, 0, 3))], room_bytes=0)
    assert ledger.handle([results(A, 0, 2)], room_bytes=0) == [resolve(0, 2)]
    assert [indices_of(command) for command in ledger.handle([])] == [[2]]
    ledger.handle([Received(NeedTasks(A, 0, 3))], room_bytes=0)
    assert ledger.handle([results(A, 2, 3)]) == [resolve(2, 3)]


# ---- given up


def test_what_nobody_wants_is_cancelled_and_forgotten(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([Unwanted(A, spans((1, 3), (2, 4)))]) == [Say(CancelTasks(A, spans((1, 4))))]
    assert ledger.unresolved == 2
    assert ledger.handle([results(A, 1, 4)]) == []
    assert ledger.handle([], now=1.0) == [Say(Taken(A, spans((1, 4))))]
    assert ledger.handle([Unwanted(B, spans((0, 1)))]) == []


def test_what_is_to_be_cancelled_unless_it_has_begun_is_waited_for_all_the_same(ledger: Watched):
    ledger.handle(mapped(0, 5))
    asked = [Say(CancelTasks(A, spans((1, 3)), unless_begun=True))]
    assert ledger.handle([CancelAsked(A, spans((1, 3)))]) == asked
    assert ledger.handle([results(A, 1, 2)]) == [resolve(1, 2)]
    assert ledger.handle([CancelAsked(A, spans((0, 3)))]) == [
        Say(CancelTasks(A, spans((0, 1), (2, 3)), unless_begun=True))
    ]
    cancelled = Failure(Cause.CANCELLED, "the task was cancelled")
    (answer,) = ledger.handle([Received(TasksFailed(A, spans((2, 3)), cancelled))])
    assert isinstance(answer, Reject)
    assert (answer.batch, answer.ranges, answer.failure) == (A, spans((2, 3)), cancelled)
    assert ledger.unresolved == 3


def test_what_is_to_be_cancelled_before_it_was_sent_is_asked_for_behind_it(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))], room_bytes=0)
    assert ledger.handle([CancelAsked(A, spans((0, 2)))], room_bytes=0) == []
    asked = Say(CancelTasks(A, spans((0, 2)), unless_begun=True))
    assert ledger.handle([]) == [define(), open_batch(), append(0, 3), asked]
    assert ledger.handle([LinkDown(), CancelAsked(A, spans((1, 9))), CancelAsked(B, spans((0, 3)))]) == []
    assert ledger.handle([UP_AGAIN]) == [Say(CancelTasks(A, spans((1, 3)), unless_begun=True))]


def test_what_ends_before_it_is_asked_for_is_not(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))])
    ledger.handle([LinkDown(), CancelAsked(A, spans((0, 3))), results(A, 0, 1), Unwanted(A, spans((1, 2)))])
    assert ledger.handle([UP_AGAIN]) == [
        Say(CancelTasks(A, spans((1, 2)))),
        Say(CancelTasks(A, spans((2, 3)), unless_begun=True)),
    ]


def test_a_batch_that_is_given_up_whole_is_over(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([Unwanted(A, spans((0, 5)))]) == [Say(CancelTasks(A, spans((0, 5))))]
    assert ledger.handle([UP_ANEW]) == [RESUMED]


def test_what_is_given_up_before_it_is_sent_is_cancelled_when_it_has_been(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))], room_bytes=0)
    assert ledger.handle([Unwanted(A, spans((1, 2)))], room_bytes=0) == []
    assert ledger.handle([]) == [define(), open_batch(), append(0, 3), Say(CancelTasks(A, spans((1, 2))))]


def test_the_end_of_a_closed_batch_that_nobody_wants_is_never_sent(ledger: Watched):
    chunks = [TasksAppended(A, arguments(lo, lo + 10, size=8000)) for lo in (0, 10, 20)]
    ledger.handle([*opened(), *chunks], room_bytes=1)
    assert ledger.handle([BatchClosed(A), Unwanted(A, spans((0, 25), (25, 30)))]) == [
        Say(CancelTasks(A, spans((0, 10)))),
        Say(CloseBatch(A, 10)),
    ]


def test_the_end_of_an_open_batch_is_cut_when_it_closes(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 10))], room_bytes=0)
    ledger.handle([Unwanted(A, spans((4, 10)))], room_bytes=0)
    assert ledger.handle([BatchClosed(A)]) == [
        define(),
        open_batch(),
        append_column(arguments(0, 10).slice(0, 4)),
        Say(CloseBatch(A, 4)),
    ]
    assert ledger.handle([results(A, 0, 4)])[0].batch == A
    assert ledger.unresolved == 0


def test_a_closed_batch_given_up_before_it_was_said_is_never_said(ledger: Watched):
    ledger.handle(mapped(0, 10), room_bytes=0)
    assert ledger.handle([Unwanted(A, spans((0, 10)))]) == []
    assert ledger.handle([UP_ANEW]) == [RESUMED]


def test_what_is_given_up_without_a_link_is_cancelled_when_it_is_resumed(ledger: Watched):
    ledger.handle([*mapped(0, 5), *mapped(0, 1, B)])
    assert ledger.handle([LinkDown(), Unwanted(A, spans((1, 2))), Unwanted(B, spans((0, 1)))]) == []
    assert ledger.handle([UP_AGAIN]) == [Say(CancelTasks(A, spans((1, 2)))), Say(CancelTasks(B, spans((0, 1))))]


def test_what_is_given_up_without_a_link_is_nothing_to_a_new_scheduler(ledger: Watched):
    ledger.handle([*mapped(0, 5), *mapped(0, 1, B)])
    ledger.handle([LinkDown(), Unwanted(A, spans((1, 2))), Unwanted(B, spans((0, 1)))])
    assert ledger.handle([UP_ANEW]) == [Say(Resume(A, F, OPTIONS, 5, spans((0, 1), (2, 5)))), RESUMED]


@pytest.fixture
def short_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages list four ranges at most."""
    monkeypatch.setattr("scaler.ledger.sayings.MAX_RANGES", 4)


@pytest.mark.usefixtures("short_messages")
def test_a_long_list_of_ranges_is_cut_into_messages(ledger: Watched):
    ledger.handle(mapped(0, 20))
    assert ledger.handle([Unwanted(A, singles(1, 3, 5, 7, 9, 11))]) == [
        Say(CancelTasks(A, singles(1, 3, 5, 7))),
        Say(CancelTasks(A, singles(9, 11))),
    ]
    ledger.handle([results(A, index, index + 1) for index in range(0, 12, 2)])
    assert ledger.handle([], now=1.0) == [Say(Taken(A, singles(0, 2, 4, 6))), Say(Taken(A, singles(8, 10)))]


@pytest.mark.usefixtures("short_messages")
def test_a_long_list_of_what_is_waited_for_is_resumed_whole_and_cancelled_in_part(ledger: Watched):
    ledger.handle([*mapped(0, 20), Received(TasksFailed(A, singles(*range(1, 18, 2)), FAILURE))])
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, 20, (*singles(0, 2, 4), Range(6, 20)))),
        Say(CancelTasks(A, singles(7, 9, 11, 13))),
        Say(CancelTasks(A, singles(15, 17))),
        RESUMED,
    ]
    assert ledger.unresolved == 11


@pytest.mark.usefixtures("short_messages")
def test_a_list_that_just_fits_is_resumed_as_it_is(ledger: Watched):
    ledger.handle([*mapped(0, 7), Received(TasksFailed(A, singles(1, 3, 5), FAILURE))])
    assert ledger.handle([UP_ANEW]) == [Say(Resume(A, F, OPTIONS, 7, singles(0, 2, 4, 6))), RESUMED]


# ---- requests


def test_clearing_forgets_everything_at_once(ledger: Watched):
    ledger.handle([*mapped(0, 5), *opened(B), TasksAppended(B, arguments(0, 1))])
    assert ledger.handle([ClearAsked()]) == [Say(ClearClient())]
    assert ledger.unresolved == 0
    assert ledger.handle([results(A, 0, 1)]) == []


def test_a_caller_who_goes_on_after_a_clear_is_not_heard(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 1)), ClearAsked()])
    assert ledger.handle([TasksAppended(A, arguments(1, 2)), BatchClosed(A), Unwanted(A, spans((0, 2)))]) == []


def test_clearing_without_a_link_is_said_when_it_is_resumed_before_anything_new(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([LinkDown(), ClearAsked(), *mapped(0, 1, B)]) == []
    assert ledger.handle([UP_AGAIN]) == [
        Say(ClearClient()),
        define(),
        open_batch(B),
        append(0, 1, B),
        Say(CloseBatch(B, 1)),
    ]


def test_a_new_scheduler_has_nothing_to_clear(ledger: Watched):
    ledger.handle([*mapped(0, 5), LinkDown(), ClearAsked(), ShutdownAsked()])
    assert ledger.handle([UP_ANEW]) == [RESUMED, Say(ShutdownScheduler())]


def test_leaving_says_goodbye_if_anybody_hears(ledger: Watched):
    assert ledger.handle([Leaving()]) == [Say(Goodbye("the client disconnects"))]
    assert ledger.handle([LinkDown(), Leaving()]) == []


def test_nothing_is_said_after_the_goodbye_that_nobody_would_acknowledge(ledger: Watched):
    assert ledger.handle([*mapped(0, 5), Leaving()]) == [Say(Goodbye("the client disconnects"))]
    assert ledger.handle([results(A, 0, 5), *mapped(0, 5, B)]) == []


def test_the_scheduler_is_asked_to_stop_when_there_is_a_link(ledger: Watched):
    assert ledger.handle([ShutdownAsked()]) == [Say(ShutdownScheduler())]
    assert ledger.handle([LinkDown(), ShutdownAsked()]) == []
    assert ledger.handle([UP_AGAIN]) == [Say(ShutdownScheduler())]


def test_a_scheduler_that_takes_over_is_asked_what_was_not_answered(ledger: Watched):
    ledger.handle(mapped(0, 5))
    ledger.handle([ShutdownAsked(), ExplainAsked(TASK), ExplainAsked(OTHER)])
    assert ledger.handle([Received(Explanation(TASK, "why"))]) == [Learned(Explanation(TASK, "why"))]
    assert ledger.handle([LinkDown(), ShutdownAsked()]) == []
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, 5, spans((0, 5)))),
        RESUMED,
        Say(ShutdownScheduler()),
        Say(ExplainTask(OTHER)),
        Say(ShutdownScheduler()),
    ]
    answers = [ShutdownAnswer("no"), Explanation(OTHER, "why")]
    assert ledger.handle(map(Received, answers)) == [Learned(answer) for answer in answers]
    assert ledger.handle([UP_ANEW])[1:] == [RESUMED]


def test_where_a_task_stands_is_asked_of_the_scheduler_once_it_has_it(ledger: Watched):
    unsent = Explanation(TASK, "it has not been sent: what was submitted before it goes first")
    asked = [*opened(), TasksAppended(A, arguments(0, 1)), ExplainAsked(TASK)]
    assert ledger.handle(asked, room_bytes=0) == [Learned(unsent)]
    assert ledger.handle([ExplainAsked(TASK)]) == [define(), open_batch(), append(0, 1), Say(ExplainTask(TASK))]
    assert ledger.handle([ExplainAsked(TaskId(B, 0))]) == [Say(ExplainTask(TaskId(B, 0)))]
    unreachable = Explanation(TASK, "the scheduler cannot be reached at the moment")
    assert ledger.handle([LinkDown(), ExplainAsked(TASK)]) == [Learned(unreachable)]


# ---- the caller's faults


def test_a_batch_of_an_unknown_function_is_our_fault(ledger: Watched):
    with pytest.raises(KeyError):
        ledger.handle([BatchOpened(A, F, OPTIONS)])


def test_the_check_sees_a_lost_argument(ledger: Watched):
    ledger.handle(mapped(0, 2))
    batch: LedgerBatch = ledger._batches[A]
    batch.columns.drop(batch.columns.overlapping(0, 2)[0])
    with pytest.raises(AssertionError):
        ledger.check()


def test_many_single_calls_cost_little_beyond_their_bytes():
    made = Ledger()
    made.handle(opened(), 0.0, 0)
    for index in range(2000):
        made.handle([TasksAppended(A, arguments(index, index + 1))], 0.0, 0)
    columns = made._batches[A].columns.overlapping(0, 1 << 40)
    assert len(columns) < 12
    assert [(part.lo, part.hi) for part in made._batches[A].unresolved] == [(0, 2000)]


# ---- a scheduler that has enough

FULL, NOT_FULL = Received(QueueFull(full=True)), Received(QueueFull(full=False))


def test_new_tasks_are_kept_while_the_scheduler_is_full_and_said_then(ledger: Watched):
    assert ledger.handle([FULL, *mapped(0, 3)]) == []
    assert not ledger.has_more_to_say
    assert ledger.handle([]) == []
    assert ledger.handle([NOT_FULL]) == [define(), open_batch(), append(0, 3), Say(CloseBatch(A, 3))]


def test_what_a_full_scheduler_asks_for_is_said(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))])
    ledger.handle([FULL, TasksAppended(A, arguments(3, 5))])
    assert ledger.handle([Received(NeedTasks(A, 0, 9))]) == [append_column(arguments(0, 3))]
    assert ledger.handle([Unwanted(A, (Range(1, 2),))]) == [Say(CancelTasks(A, (Range(1, 2),)))]


def test_another_scheduler_is_not_full_until_it_says_so(ledger: Watched):
    ledger.handle([FULL, *mapped(0, 3)])
    assert append(0, 3) in ledger.handle([UP_ANEW])


def test_what_is_kept_here_is_explained_by_the_limit(ledger: Watched):
    ledger.handle([Received(QueueFull(full=True, why="1,000 tasks wait")), *mapped(0, 3)])
    text = "it has not been sent: 1,000 tasks wait"
    assert ledger.handle([ExplainAsked(TaskId(A, 2))]) == [Learned(Explanation(TaskId(A, 2), text))]


def test_a_batch_all_of_which_was_said_is_closed_even_so(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))])
    assert ledger.handle([FULL, BatchClosed(A)]) == [Say(CloseBatch(A, 3))]
