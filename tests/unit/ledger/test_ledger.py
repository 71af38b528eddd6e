import pytest

from scaler.errors import ProtocolError
from scaler.ids import BatchId, FunctionId, Incarnation, ObjectId, Range, TaskId
from scaler.ledger.batch import LedgerBatch
from scaler.ledger.events import (
    BatchClosed,
    BatchOpened,
    Began,
    ClearAsked,
    FunctionPickled,
    Learned,
    Leaving,
    LinkDown,
    Received,
    Reject,
    Resolve,
    Say,
    ShutdownAsked,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.functions import IDLE_BYTES, IDLE_FUNCTIONS
from scaler.ledger.ledger import TAKEN_BYTES, TAKEN_DELAY_S, TAKEN_MESSAGES, Ledger
from scaler.protocol import (
    CancelTasks,
    Cause,
    ClearClient,
    CloseBatch,
    Explanation,
    Failure,
    Goodbye,
    KnownTags,
    NeedFunction,
    NeedTasks,
    ObjectsLost,
    Results,
    Resume,
    ShutdownAnswer,
    ShutdownScheduler,
    Taken,
    TasksBegan,
    TasksFailed,
    WorkersReady,
)
from scaler.protocol.columns import ArgumentColumn
from tests.unit.ledger.examples import (
    OPTIONS,
    RESUMED,
    ROOM,
    UP,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    C,
    F,
    G,
    append,
    append_column,
    arguments,
    define,
    indices,
    mapped,
    open_batch,
    opened,
    results,
    spans,
    values,
)

FAILURE = Failure(Cause.DIED, "signal 9")


class Watched(Ledger):
    """A ledger that checks itself after every step."""

    def handle(self, events, now=0.0, room_bytes=ROOM):  # type: ignore[no-untyped-def,override]  # noqa: ANN001  # as above
        commands = super().handle(events, now, room_bytes)
        self.check()
        return commands


@pytest.fixture
def ledger() -> Watched:
    """One that has a link and nothing to do."""
    made = Watched()
    assert made.handle([UP]) == [RESUMED]
    return made


def resolve(lo: int, hi: int, batch: BatchId = A) -> Resolve:
    return Resolve(batch, values(lo, hi), "host", 1)


def kept(ledger: Ledger, batch: BatchId = A) -> list[int]:
    """The indices whose arguments the ledger still has."""
    return [
        index
        for column in ledger._batches[batch].columns.overlapping(0, 1 << 40)
        for index in range(column.lo, column.hi)
    ]


# ---- saying


def test_a_map_is_said_in_order(ledger: Watched):
    assert ledger.handle(mapped(0, 3)) == [define(), open_batch(), append(0, 3), Say(CloseBatch(A, 3))]
    assert ledger.unresolved == 3
    assert not ledger.has_more_to_say


def test_what_is_queued_before_the_first_link_goes_when_it_stands():
    ledger = Watched()
    assert ledger.handle(mapped(0, 3)) == []
    assert ledger.handle([UP]) == [RESUMED, define(), open_batch(), append(0, 3), Say(CloseBatch(A, 3))]


def test_a_function_is_defined_once_for_all_batches_that_name_it(ledger: Watched):
    first, second = mapped(0, 1, A), mapped(0, 1, B)
    assert ledger.handle([*first, *second]) == [
        define(),
        open_batch(A),
        append(0, 1, A),
        Say(CloseBatch(A, 1)),
        open_batch(B),
        append(0, 1, B),
        Say(CloseBatch(B, 1)),
    ]


def test_an_opened_batch_is_not_said_before_its_first_call(ledger: Watched):
    assert ledger.handle(opened()) == []
    assert ledger.handle([TasksAppended(A, arguments(0, 1))]) == [define(), open_batch(), append(0, 1)]
    assert ledger.handle([TasksAppended(A, arguments(1, 2))]) == [append_column(arguments(0, 2).slice(1, 2))]
    assert ledger.handle([BatchClosed(A)]) == [Say(CloseBatch(A, 2))]


def test_a_batch_without_calls_is_never_mentioned(ledger: Watched):
    assert ledger.handle([*opened(), BatchClosed(A)]) == []
    assert ledger.handle([UP_ANEW]) == [RESUMED]


def test_a_batch_closes_even_when_all_its_tasks_are_done_before(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 1))])
    ledger.handle([results(A, 0, 1)])
    assert ledger.handle([BatchClosed(A)]) == [Say(CloseBatch(A, 1))]
    assert ledger.handle([BatchClosed(A)]) == []


def test_without_room_arguments_wait(ledger: Watched):
    assert ledger.handle(mapped(0, 2), room_bytes=0) == []
    assert ledger.has_more_to_say
    assert ledger.handle([], room_bytes=1) == [define(), open_batch(), append(0, 2), Say(CloseBatch(A, 2))]


def test_a_chunk_goes_whole_when_there_is_any_room_and_the_next_one_waits(ledger: Watched):
    big, bigger = arguments(0, 10, size=8000), arguments(10, 20, size=8000)
    events = [*opened(), TasksAppended(A, big), TasksAppended(A, bigger), BatchClosed(A)]
    assert ledger.handle(events, room_bytes=1) == [define(), open_batch(), append_column(big)]
    assert ledger.handle([], room_bytes=1) == [append_column(bigger), Say(CloseBatch(A, 20))]


def test_batches_take_turns_when_room_is_short(ledger: Watched):
    chunks = [TasksAppended(A, arguments(lo, lo + 10, size=8000)) for lo in (0, 10)]
    ledger.handle([*opened(A), *chunks, *mapped(0, 2, B)], room_bytes=0)
    said = [command.message for _ in range(3) for command in ledger.handle([], room_bytes=1)]  # type: ignore[union-attr]
    assert [message.batch for message in said if hasattr(message, "lo")] == [A, B, A]


def test_single_calls_that_waited_travel_together(ledger: Watched):
    ledger.handle([*opened(), *(TasksAppended(A, arguments(n, n + 1)) for n in range(8))], room_bytes=0)
    assert ledger.handle([]) == [define(), open_batch(), append(0, 8)]


def test_a_large_call_keeps_its_frames(ledger: Watched):
    column = ArgumentColumn(0, 1, (b"\0" * 8) + (3 << 20).to_bytes(8, "little"), (bytes(1 << 20),) * 3)
    assert ledger.handle([*opened(), TasksAppended(A, column)])[-1] == append_column(column)


# ---- settling


def test_each_index_is_resolved_once_and_every_copy_acknowledged(ledger: Watched):
    ledger.handle(mapped(0, 4))
    assert ledger.handle([results(A, 0, 2)]) == [resolve(0, 2)]
    assert ledger.handle([], now=TAKEN_DELAY_S) == [Say(Taken(A, spans((0, 2))))]
    copy = ledger.handle([results(A, 1, 3)], now=1.0)
    assert [(command.column.lo, command.column.hi) for command in copy] == [(2, 3)]  # type: ignore[union-attr]
    assert ledger.handle([], now=2.0) == [Say(Taken(A, spans((1, 3))))]
    assert ledger.unresolved == 1


def test_a_result_in_two_parts_around_one_that_is_known_is_two_resolutions(ledger: Watched):
    ledger.handle(mapped(0, 3))
    ledger.handle([results(A, 1, 2)])
    commands = ledger.handle([results(A, 0, 3)])
    assert [(c.column.lo, c.column.hi, bytes(c.column.data[0])) for c in commands] == [  # type: ignore[union-attr]
        (0, 1, b"\x00"),
        (2, 3, b"\x02"),
    ]


def test_acknowledgements_are_gathered_for_a_while(ledger: Watched):
    ledger.handle([*mapped(0, 9), *mapped(0, 9, B)])
    assert ledger.next_deadline() is None
    ledger.handle([results(A, 0, 2)], now=1.0)
    ledger.handle([results(A, 4, 5), results(B, 0, 1), results(A, 2, 3)], now=1.01)
    assert ledger.next_deadline() == 1.0 + TAKEN_DELAY_S
    assert ledger.handle([], now=1.0 + TAKEN_DELAY_S) == [
        Say(Taken(A, spans((0, 3), (4, 5)))),
        Say(Taken(B, spans((0, 1)))),
    ]
    assert ledger.next_deadline() is None


def test_many_results_are_acknowledged_sooner(ledger: Watched):
    ledger.handle(mapped(0, 200))
    for index in range(TAKEN_MESSAGES - 1):
        assert ledger.handle([results(A, index, index + 1)]) == [resolve(index, index + 1)]
    assert ledger.handle([results(A, 63, 64)]) == [resolve(63, 64), Say(Taken(A, spans((0, 64))))]


def test_large_results_are_acknowledged_sooner(ledger: Watched):
    ledger.handle(mapped(0, 2))
    assert ledger.handle([results(A, 0, 1, size=TAKEN_BYTES + 1)])[-1] == Say(Taken(A, spans((0, 1))))


def test_acknowledgements_wait_for_a_link(ledger: Watched):
    ledger.handle(mapped(0, 2))
    ledger.handle([results(A, 0, 1), LinkDown()])
    assert ledger.next_deadline() is None
    assert ledger.handle([], now=9.0) == []
    assert ledger.handle([UP_AGAIN], now=9.0) == [Say(Taken(A, spans((0, 1))))]


def test_failed_tasks_are_rejected_once_and_acknowledged(ledger: Watched):
    ledger.handle(mapped(0, 5))
    failed = Received(TasksFailed(A, spans((0, 1), (3, 9)), FAILURE))
    assert ledger.handle([failed]) == [Reject(A, spans((0, 1), (3, 5)), FAILURE)]
    assert ledger.handle([failed]) == []
    assert ledger.handle([], now=1.0) == [Say(Taken(A, spans((0, 1), (3, 9))))]


def test_results_of_a_batch_that_is_over_are_acknowledged(ledger: Watched):
    ledger.handle(mapped(0, 1))
    ledger.handle([results(A, 0, 1)])
    ledger.handle([], now=1.0)
    assert ledger.unresolved == 0
    for copy in (results(A, 0, 1), Received(TasksFailed(A, spans((0, 1)), FAILURE))):
        assert ledger.handle([copy], now=1.0) == []
        assert ledger.handle([], now=2.0) == [Say(Taken(A, spans((0, 1))))]


def test_arguments_are_dropped_chunk_by_chunk(ledger: Watched):
    chunks = [arguments(lo, lo + 10, size=8000) for lo in (0, 10, 20)]
    ledger.handle([*opened(), *(TasksAppended(A, chunk) for chunk in chunks)])
    ledger.handle([results(A, 5, 20)])
    assert kept(ledger) == [*range(10), *range(20, 30)]
    ledger.handle([results(A, 0, 5)])
    assert kept(ledger) == list(range(20, 30))


def test_a_chunk_that_is_not_sent_yet_is_kept(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 4)), TasksAppended(A, arguments(4, 8))], room_bytes=0)
    ledger.handle([Unwanted(A, spans((0, 4)))], room_bytes=0)
    assert kept(ledger) == list(range(8))


def test_what_begins_is_told_for_what_is_waited_for(ledger: Watched):
    ledger.handle([*mapped(0, 5), Unwanted(A, spans((2, 3)))])
    assert ledger.handle([Received(TasksBegan(A, spans((1, 4))))]) == [Began(A, spans((1, 2), (3, 4)))]
    assert ledger.handle([Received(TasksBegan(A, spans((2, 3))))]) == []
    assert ledger.handle([Received(TasksBegan(B, spans((2, 3))))]) == []


@pytest.mark.parametrize(
    "message",
    [
        KnownTags(("a",)),
        WorkersReady(ready=True),
        ShutdownAnswer("protected"),
        Explanation(TaskId(A, 0), "why"),
        Goodbye("stops"),
        ObjectsLost((ObjectId(Incarnation(1), 1),)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_no_tasks_is_passed_on(ledger: Watched, message):  # type: ignore[no-untyped-def]  # noqa: ANN001  # any message
    assert ledger.handle([Received(message)]) == [Learned(message)]


def test_results_that_do_not_fit_their_frames_are_refused(ledger: Watched):
    ledger.handle(mapped(0, 2))
    with pytest.raises(ProtocolError):
        ledger.handle([Received(Results(A, 0, 2, 0), values(0, 1).frames())])


# ---- asked again


def test_a_function_is_said_again_on_request(ledger: Watched):
    ledger.handle(mapped(0, 1))
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    assert ledger.handle([Received(NeedFunction(G))]) == []


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
    assert [(command.message.lo, command.message.count) for command in said] == [(0, 10), (10, 10)]  # type: ignore[union-attr]


def test_arguments_asked_for_again_come_before_new_ones_and_wait_for_room(ledger: Watched):
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 3))])
    new = arguments(3, 5)
    assert ledger.handle([Received(NeedTasks(A, 0, 9)), TasksAppended(A, new)], room_bytes=0) == []
    assert [indices_of(command) for command in ledger.handle([])] == [[0, 1, 2], [3, 4]]


def indices_of(command) -> list[int]:  # type: ignore[no-untyped-def]  # noqa: ANN001  # a Say(AppendTasks)
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
    assert ledger.handle([results(A, 0, 4)])[0].batch == A  # type: ignore[union-attr]
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
    monkeypatch.setattr("scaler.ledger.ledger.MAX_RANGES", 4)


def singles(*indices: int) -> tuple[Range, ...]:
    return tuple(Range(index, index + 1) for index in indices)


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


# ---- another scheduler


def test_a_new_scheduler_is_told_what_is_waited_for_without_arguments(ledger: Watched):
    ledger.handle([*mapped(0, 5), results(A, 1, 3), *opened(B, G), TasksAppended(B, arguments(0, 2))])
    ledger.handle([TasksAppended(B, arguments(2, 4))])
    assert ledger.handle([LinkDown(), *mapped(0, 1, C)]) == []
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, 5, spans((0, 1), (3, 5)))),
        Say(Resume(B, G, OPTIONS, None, spans((0, 4)))),
        RESUMED,
        define(),
        open_batch(C),
        append(0, 1, C),
        Say(CloseBatch(C, 1)),
    ]
    assert ledger.handle([TasksAppended(B, arguments(4, 5)), BatchClosed(B)]) == [
        append(4, 5, B),
        Say(CloseBatch(B, 5)),
    ]


def test_a_batch_half_sent_goes_on_with_the_new_scheduler(ledger: Watched):
    first, second = arguments(0, 10, size=8000), arguments(10, 20, size=8000)
    ledger.handle([*opened(), TasksAppended(A, first), TasksAppended(A, second), BatchClosed(A)], room_bytes=1)
    ledger.handle([results(A, 0, 10), LinkDown()], room_bytes=0)
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, None, ())),
        RESUMED,
        append_column(second),
        Say(CloseBatch(A, 20)),
    ]


def test_a_link_that_is_resumed_goes_on_where_it_was(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([LinkDown()]) == []
    assert ledger.handle(mapped(0, 1, B)) == []
    assert ledger.handle([UP_AGAIN]) == [open_batch(B), append(0, 1, B), Say(CloseBatch(B, 1))]


def test_the_same_scheduler_that_forgot_us_is_told_everything(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([LinkDown(), UP]) == [Say(Resume(A, F, OPTIONS, 5, spans((0, 5)))), RESUMED]


def test_what_the_old_scheduler_was_to_be_told_in_the_same_turn_is_not_said_to_the_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    commands = ledger.handle([results(A, 0, 1), Unwanted(A, spans((1, 2))), LinkDown(), UP_ANEW])
    assert commands == [resolve(0, 1), Say(Resume(A, F, OPTIONS, 5, spans((2, 5)))), RESUMED]


def test_acknowledgements_for_an_old_scheduler_are_not_said_to_a_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    ledger.handle([results(A, 0, 1), LinkDown(), UP_ANEW])
    assert ledger.next_deadline() is None


def test_what_an_old_scheduler_asked_for_is_not_said_to_a_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    ledger.handle([Received(NeedTasks(A, 0, 5))], room_bytes=0)
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(Resume(A, F, OPTIONS, 5, spans((0, 5)))), RESUMED]


def test_a_new_scheduler_may_ask_for_functions_and_arguments(ledger: Watched):
    ledger.handle([*mapped(0, 5), results(A, 0, 2), LinkDown(), UP_ANEW])
    assert ledger.handle([Received(NeedFunction(F)), Received(NeedTasks(A, 2, 5))]) == [
        define(),
        append_column(arguments(0, 5).slice(2, 5)),
    ]


# ---- functions


def test_functions_without_a_batch_are_kept_for_a_while(ledger: Watched):
    ledger.handle(mapped(0, 1))
    ledger.handle([results(A, 0, 1)])
    others = [FunctionId(number.to_bytes(16, "big")) for number in range(IDLE_FUNCTIONS)]
    ledger.handle([FunctionPickled(function, (b"x",)) for function in others[:-1]])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    ledger.handle([FunctionPickled(F, (b"code",)), FunctionPickled(others[-1], (b"x",))])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    assert ledger.handle([Received(NeedFunction(others[0]))]) == []


def test_large_functions_without_a_batch_are_not_gathered(ledger: Watched):
    large = bytes(IDLE_BYTES // 2 + 1)
    ledger.handle([FunctionPickled(F, (large,)), FunctionPickled(G, (large,))])
    assert ledger.handle([Received(NeedFunction(F))]) == []
    assert ledger.handle(opened(A, G)) == []


def test_a_function_in_use_is_never_dropped(ledger: Watched):
    ledger.handle([*mapped(0, 2), *mapped(0, 1, B), results(B, 0, 1)])
    others = [FunctionId(number.to_bytes(16, "big")) for number in range(3 * IDLE_FUNCTIONS)]
    ledger.handle([FunctionPickled(function, (b"x",)) for function in others])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]


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


def test_the_scheduler_is_asked_to_stop_when_there_is_a_link(ledger: Watched):
    assert ledger.handle([ShutdownAsked()]) == [Say(ShutdownScheduler())]
    assert ledger.handle([LinkDown(), ShutdownAsked()]) == []
    assert ledger.handle([UP_AGAIN]) == [Say(ShutdownScheduler())]


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
