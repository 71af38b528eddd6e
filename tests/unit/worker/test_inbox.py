import pickle
import weakref
from collections.abc import Iterator

import pytest

from scaler.errors import DeserializeObjectError
from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, TicketId
from scaler.payload.calls import single_column
from scaler.payload.functions import pickle_function
from scaler.payload.nested import Standing
from scaler.worker import inbox
from scaler.worker.inbox import Inbox
from scaler.worker.line import ClusterEnd, drop_packet, function_packet, line_pair, ticket_packet

BATCH = BatchId(Incarnation(1), 1)
STANDING = Standing(0, 0, Incarnation(1), Epoch(9))
LENGTH = pickle_function(len)
OTHER = pickle_function(sorted)


class Line:
    """A line with an inbox at its end."""

    def __init__(self) -> None:
        ours, self.theirs = line_pair()
        self.end = self.theirs.dup()
        self.cluster = ClusterEnd(ours, self.theirs)
        self.inbox = Inbox(self.end)

    def give(self, ticket: int, function: FunctionId) -> None:
        self.cluster.send(*ticket_packet(TicketId(ticket), function, BATCH, single_column(0, b""), STANDING))

    def next(self) -> int | None:
        packet = self.inbox.next_now()
        return packet and packet.ticket


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.cluster.close()
    made.end.close()


def test_tickets_come_in_order_and_their_functions_can_be_called(line: Line):
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    line.give(1, LENGTH.id)
    line.give(2, LENGTH.id)
    assert [line.next(), line.next()] == [1, 2]
    assert line.inbox.load(LENGTH.id) is len
    assert line.inbox.load(LENGTH.id) is len
    with pytest.raises(BlockingIOError):
        line.next()


def test_a_ticket_waits_for_a_function_that_comes_behind_it_and_the_order_stays(line: Line):
    line.cluster.send(*function_packet(OTHER.id, OTHER.frames))
    line.give(1, LENGTH.id)
    line.give(2, OTHER.id)
    line.cluster.send(*drop_packet(OTHER.id))
    with pytest.raises(BlockingIOError):
        line.next()
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    assert [line.next(), line.next()] == [1, 2]
    assert line.inbox.load(OTHER.id) is sorted


def test_at_the_end_of_the_line_there_is_nothing(line: Line):
    line.give(1, LENGTH.id)
    line.cluster.end_line()
    assert (line.next(), line.inbox.next()) == (None, None)


def test_a_function_is_forgotten_on_order_and_may_come_again(line: Line):
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    line.give(1, LENGTH.id)
    line.next()
    line.inbox.load(LENGTH.id)
    line.cluster.send(*drop_packet(LENGTH.id))
    line.give(2, LENGTH.id)
    with pytest.raises(BlockingIOError):
        line.next()
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    assert line.next() == 2


def test_while_a_ticket_waits_functions_that_no_such_ticket_names_are_forgotten(line: Line):
    line.cluster.send(*function_packet(OTHER.id, OTHER.frames))
    line.give(1, LENGTH.id)
    line.cluster.send(*drop_packet(OTHER.id))
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    line.give(2, OTHER.id)
    assert line.next() == 1
    with pytest.raises(BlockingIOError):
        line.next()


class _Knot:
    """Refers to itself, as functions do that are in what they refer to."""

    def __init__(self) -> None:
        self.own = self

    def __call__(self) -> None: ...


def test_functions_that_are_forgotten_are_freed_though_they_refer_to_one_another(
    line: Line, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox, "_GARBAGE_BYTES", 1)
    line.cluster.send(*function_packet(LENGTH.id, (pickle.dumps(_Knot()),)))
    line.give(1, LENGTH.id)
    assert line.next() == 1
    kept = weakref.ref(line.inbox.load(LENGTH.id))
    line.cluster.send(*drop_packet(LENGTH.id))
    with pytest.raises(BlockingIOError):
        line.next()
    assert kept() is None


def test_a_function_that_cannot_be_loaded_says_why_whenever_it_is_called(line: Line):
    bad = FunctionId(b"0123456789abcdef")
    line.cluster.send(*function_packet(bad, (pickle.dumps(len).replace(b"len", b"lem"),)))
    line.give(1, bad)
    line.next()
    for _ in range(2):
        function = line.inbox.load(bad)
        with pytest.raises(DeserializeObjectError, match="lem"):
            function("argument")


def test_only_one_slot_reads_at_a_time(line: Line):
    line.cluster.send(*function_packet(LENGTH.id, LENGTH.frames))
    line.give(1, LENGTH.id)
    with line.inbox._reading, pytest.raises(BlockingIOError):
        line.inbox.next_now()
    assert line.next() == 1
