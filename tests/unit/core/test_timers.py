from scaler.core.batches import Batch
from scaler.core.runtimes import RunTimes
from scaler.core.timers import Began, Timers
from tests.unit.core.examples import PLAIN, A, F, run_id

BATCH = Batch(A, 1, F, PLAIN, RunTimes())


def test_pauses_end_the_earliest_first_and_once():
    timers = Timers()
    for index, due in enumerate((3.0, 1.0, 2.0, 1.0)):
        timers.back_off(due, BATCH, index)
    assert list(timers.ended_backoffs(2.0)) == [(BATCH, 1), (BATCH, 3), (BATCH, 2)]
    assert list(timers.ended_backoffs(2.5)) == []
    assert timers.next_deadline() == 3.0


def test_nothing_is_due_while_nothing_waits():
    assert Timers().next_deadline() is None


def test_the_next_deadline_is_the_earliest_of_all_kinds():
    timers = Timers()
    timers.place_by(9.0)
    assert timers.next_deadline() == 9.0
    timers.release_by(8.0)
    assert timers.next_deadline() == 8.0
    timers.back_off(7.0, BATCH, 0)
    assert timers.next_deadline() == 7.0
    timers.began.append(Began(6.0, run_id(1), 0))
    assert timers.next_deadline() == 6.0
    timers.ask_by(5.0)
    assert timers.next_deadline() == 5.0


def test_the_earlier_of_two_wishes_counts():
    timers = Timers()
    for due in (5.0, 4.0, 6.0):
        timers.place_by(due)
        timers.release_by(due + 1)
        timers.ask_by(due + 2)
    assert (timers.place_at, timers.release_at, timers.ask_at) == (4.0, 5.0, 6.0)


def test_all_deadlines_move_when_the_shell_overslept():
    timers = Timers()
    timers.shift(1.0)
    assert timers.next_deadline() is None
    timers.place_by(1.0)
    timers.release_by(2.0)
    timers.back_off(3.0, BATCH, 0)
    timers.began.append(Began(4.0, run_id(1), 0))
    timers.ask_by(5.0)
    timers.shift(10.0)
    assert (timers.place_at, timers.release_at, timers.ask_at) == (11.0, 12.0, 15.0)
    assert timers.backoffs[0].due == 13.0
    assert timers.began[0].due == 14.0
