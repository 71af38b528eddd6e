"""Benches hand out calls in order, one at a time, and tell when they have been left alone."""

from array import array

from msgspec.structs import replace

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, Range, RunId
from scaler.protocol import BatchOptions, RunSpan
from scaler.testing.bench import PATIENCE_S, Bench, Work, joined

BATCH = BatchId(Incarnation(7), 1)


def work(n: int, calls: int = 1, options: BatchOptions | None = None) -> Work:
    """A run of so many calls of one byte each, the first of which has index 10."""
    message = RunSpan(
        RunId(Epoch(1), n), BATCH, 10, 10 + calls, FunctionId(bytes(16)), options or BatchOptions(), input_frames=0
    )
    return Work(message, (array("Q", range(calls + 1)).tobytes(), bytes(range(calls))))


def taken(bench: Bench) -> list[tuple[int, int]]:
    """The runs and indices of all that can be taken."""
    found = []
    while (one := bench.next()) is not None:
        found.append((one[0].id.n, one[1]))
    return found


def test_calls_are_cut_from_their_column():
    assert [bytes(work(1, 3).call(index)) for index in (10, 11, 12)] == [b"\x00", b"\x01", b"\x02"]


def test_runs_are_served_by_age():
    bench = Bench()
    for n in (1, 2):
        bench.add(work(n, 2))
    assert taken(bench) == [(1, 10), (1, 11), (2, 10), (2, 11)]


def test_what_is_more_urgent_goes_first_and_what_is_for_all_workers_before_that():
    bench = Bench()
    bench.add(work(1))
    bench.add(work(2, options=replace(BatchOptions(), priority=5)))
    bench.add(work(3, options=replace(BatchOptions(), everywhere=True)))
    assert taken(bench) == [(3, 10), (2, 10), (1, 10)]


def test_while_a_task_runs_no_other_begins():
    bench = Bench()
    bench.add(work(1, 2))
    assert bench.next() is not None
    bench.is_busy = True
    assert bench.next() is None


def test_what_is_taken_back_does_not_begin_and_is_told_in_ranges():
    bench = Bench()
    one = work(1, 6)
    bench.add(one)
    assert one.take_back([Range(11, 13), Range(15, 99)]) == (Range(11, 13), Range(15, 16))
    assert taken(bench) == [(1, 10), (1, 13), (1, 14)]
    assert one.take_back([Range(10, 16)]) == ()


def test_indices_are_joined_to_ranges():
    assert joined([]) == ()
    assert joined([1, 2, 3, 5]) == (Range(1, 4), Range(5, 6))


def test_what_nobody_runs_is_due_after_some_patience():
    bench = Bench()
    assert bench.due(1.0) is None
    bench.add(work(1))
    assert bench.due(1.0) == 1.0 + PATIENCE_S
    assert bench.due(1.2) == 1.0 + PATIENCE_S


def test_patience_begins_anew_when_somebody_was_there():
    bench = Bench()
    bench.add(work(1))
    bench.due(1.0)
    bench.attendants = 1
    assert bench.due(1.4) == 1.4 + PATIENCE_S
    bench.attendants = 0
    assert bench.due(2.0) == 2.0 + PATIENCE_S
