from collections import deque

from scaler.client.posting import Posted, taken
from scaler.ids import BatchId, Incarnation, Range
from scaler.ledger.events import BatchClosed, TasksAppended, Unwanted
from scaler.payload.calls import joined_column, single_column

A, B = (BatchId(Incarnation(1), n) for n in (1, 2))


def test_calls_that_follow_each_other_are_joined_and_keep_their_place():
    posted: deque[Posted] = deque(
        [(A, 0, b"0", ()), (A, 1, b"1", ()), (B, 0, b"x", ()), BatchClosed(B), (A, 2, b"2", ())]
    )
    assert taken(posted) == [
        TasksAppended(A, joined_column(0, [b"0", b"1"])),
        TasksAppended(B, single_column(0, b"x")),
        BatchClosed(B),
        TasksAppended(A, single_column(2, b"2")),
    ]
    assert not posted


def test_what_is_given_up_together_is_told_together():
    given_up = [Unwanted(A, (Range(n, n + 1),)) for n in range(3)]
    posted: deque[Posted] = deque(
        [(A, 9, b"9", ()), *given_up, Unwanted(B, (Range(5, 6),)), BatchClosed(A), *given_up[:1]]
    )
    assert taken(posted) == [
        TasksAppended(A, single_column(9, b"9")),
        Unwanted(A, (Range(0, 1), Range(1, 2), Range(2, 3))),
        Unwanted(B, (Range(5, 6),)),
        BatchClosed(A),
        Unwanted(A, (Range(0, 1),)),
    ]
