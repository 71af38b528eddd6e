from array import array

import pytest

from scaler.errors import ProtocolError
from scaler.ids import BatchId, TaskId
from scaler.ledger.events import (
    BatchClosed,
    Began,
    Learned,
    LinkDown,
    Received,
    Reject,
    Resolve,
    Say,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.ledger import Ledger
from scaler.ledger.taken import TAKEN_BYTES, TAKEN_DELAY_S, TAKEN_MESSAGES
from scaler.protocol import (
    CloseBatch,
    Explanation,
    Goodbye,
    KnownTags,
    Results,
    ShutdownAnswer,
    Taken,
    TasksBegan,
    TasksFailed,
    WorkersReady,
)
from scaler.protocol.columns import RAISED, ArgumentColumn, ResultColumn
from tests.unit.ledger.examples import (
    FAILURE,
    RESUMED,
    UP,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    Watched,
    again,
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
    spans,
    values,
)


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


def test_a_batch_whose_last_call_is_withdrawn_before_it_is_said_closes_behind_the_one_before(ledger: Watched):
    """Ctrl-C in `submit` gives up a call that lies in one column with others, which were said and are waited for."""
    ledger.handle([*opened(), TasksAppended(A, arguments(0, 1))])
    ledger.handle([TasksAppended(A, arguments(1, 2))], room_bytes=0)
    assert kept(ledger) == [0, 1]
    assert ledger.handle([BatchClosed(A), Unwanted(A, spans((1, 2)))]) == [Say(CloseBatch(A, 1))]
    assert ledger.handle([results(A, 0, 1)])[:1] == [resolve(0, 1)]


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
    said = [command.message for _ in range(3) for command in ledger.handle([], room_bytes=1)]
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
    assert [(command.column.lo, command.column.hi) for command in copy] == [(2, 3)]
    assert ledger.handle([], now=2.0) == [Say(Taken(A, spans((1, 3))))]
    assert ledger.unresolved == 1


def test_a_result_in_two_parts_around_one_that_is_known_is_two_resolutions(ledger: Watched):
    ledger.handle(mapped(0, 3))
    ledger.handle([results(A, 1, 2)])
    commands = ledger.handle([results(A, 0, 3)])
    assert [(c.column.lo, c.column.hi, bytes(c.column.data[0])) for c in commands] == [
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
    assert ledger.handle([failed]) == [Reject(A, spans((0, 1), (3, 5)), FAILURE, again(arguments(0, 5)))]
    assert ledger.handle([failed]) == []
    assert ledger.handle([], now=1.0) == [Say(Taken(A, spans((0, 1), (3, 9))))]


def test_what_failed_comes_with_all_it_takes_to_submit_it_anew(ledger: Watched):
    chunks = [arguments(lo, lo + 10, size=8000) for lo in (0, 10, 20, 30)]
    ledger.handle([*opened(), *[TasksAppended(A, chunk) for chunk in chunks], BatchClosed(A)])
    column = ResultColumn(
        5,
        20,
        0,
        bytes(RAISED if index in (12, 14) else 0 for index in range(5, 25)),
        bytes(80),
        bytes(160),
        b"",
        (b"",),
    )
    [done] = ledger.handle([Received(Results(A, 5, 25, 0, "host, worker 1", 2, "host"), column.frames())])
    assert done == Resolve(A, column, "host, worker 1", 2, "host", again(chunks[1]))
    assert done.again is not None
    one = done.again.only(12)
    assert (indices(one.columns[0]), len(one.columns[0].data[0])) == ([12], 8000)


def test_what_succeeded_comes_without_its_call(ledger: Watched):
    ledger.handle(mapped(0, 2))
    assert ledger.handle([results(A, 0, 2)]) == [resolve(0, 2)]


def test_of_a_large_call_that_failed_no_copy_is_made():
    large = ArgumentColumn(0, 1, array("Q", (0, 5)).tobytes(), (b"123", b"45"))
    one = again(large).only(0)
    assert one.columns[0].data[0] is large.data[0]


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
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_no_tasks_is_passed_on(ledger: Watched, message):  # noqa: ANN001  # any message
    assert ledger.handle([Received(message)]) == [Learned(message)]


def test_results_that_do_not_fit_their_frames_are_refused(ledger: Watched):
    ledger.handle(mapped(0, 2))
    with pytest.raises(ProtocolError):
        ledger.handle([Received(Results(A, 0, 2, 0), values(0, 1).frames())])
