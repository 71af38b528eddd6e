"""What is said of a batch while its calls are drawn."""

from collections.abc import Iterator

import pytest

from scaler.client.mapping import calls_of
from scaler.client.progress import Tally
from scaler.client.signatures import call_shape
from scaler.client.sinks import MapSink
from scaler.errors import ClientQuitException
from scaler.ids import Range
from scaler.ledger.events import BatchClosed, TasksAppended, Unwanted
from tests.unit.client.examples import BATCH, Io, drafted, resolved


def same(value: int) -> int:
    return value


def test_calls_are_sent_as_they_are_drawn_and_the_batch_is_closed_behind_them():
    io, sink = Io(), MapSink(BATCH, "f")
    draft = drafted(sink, io)
    draft.append_all(calls_of(call_shape(same), (range(40),)))
    *appended, closed = io.posted
    assert [(event.column.lo, event.column.hi) for event in appended if isinstance(event, TasksAppended)] == [
        (0, 21),
        (21, 40),
    ]
    assert closed == BatchClosed(BATCH)
    assert (draft.size, sink.size) == (40, 40)


def test_what_was_sent_before_drawing_failed_is_given_up():
    def elements() -> Iterator[int]:
        yield from range(30)
        raise LookupError("no more")

    io = Io()
    with pytest.raises(LookupError, match="no more"):
        drafted(MapSink(BATCH, "f"), io).append_all(calls_of(call_shape(same), (elements(),)))
    assert io.posted[1:] == [BatchClosed(BATCH), Unwanted(BATCH, (Range(0, 21),))]
    assert io.forgotten == [BATCH]


def test_a_sink_hears_at_the_latest_at_the_end_that_the_client_has_left():
    io, sink = Io(), MapSink(BATCH, "f")
    draft = drafted(sink, io)
    io.is_over = True
    draft.append_all(calls_of(call_shape(same), ([1],)))
    with pytest.raises(ClientQuitException, match="left"):
        sink.collect()


def test_it_knows_how_many_there_are_once_all_are_drawn():
    sink = MapSink(BATCH, "f")
    draft = drafted(sink, Io())
    assert draft.tally(None) == Tally(0, 0, None)
    assert draft.tally(7) == Tally(0, 0, 7)
    draft.append_all(calls_of(call_shape(same), ([1, 2],)))
    sink.resolve(resolved(0, 1, KeyError("x")))
    assert draft.tally(7) == Tally(2, 1, 2)
