import os
import threading
from collections.abc import Iterator

import pytest

from scaler.errors import ParkingError
from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, TaskId, TicketId
from scaler.payload.nested import Attempt, Standing
from scaler.worker.board import ANSWER, CURRENT, OPENED, WAITS, Board, make_board_file
from scaler.worker.inside import ASK_S, MOMENT_S, Inside
from scaler.worker.line import ChildLine, ClusterEnd, TicketPacket, line_pair
from scaler.worker.pair import PairEnd

BATCH = BatchId(Incarnation(3), 4)
CHILD = Incarnation(2**64 - 1)
STANDING = Standing(2, -5, Incarnation(3), Epoch(9))
TICKET = TicketPacket(TicketId(7), FunctionId(b"f" * 16), BATCH, 100, 5, b"", STANDING)


class Bench:
    """A slot at the third task of a ticket, and what its cluster sees of it."""

    def __init__(self) -> None:
        descriptor = make_board_file(1)
        self.board = Board(descriptor, 1)
        os.close(descriptor)
        self.words = self.board.slots[0].words
        ours, theirs = line_pair()
        self.theirs = theirs.dup()
        self.cluster = ClusterEnd(ours, theirs)
        self.calls: list[int] = []
        self.inside = Inside(self.board.slots[0], self.theirs, lambda: self.calls.append(self.words[WAITS]))
        self.inside.begin(TICKET)
        self.run(2)

    def run(self, offset: int) -> None:
        self.words[CURRENT] = (7 << 32 | offset) + 1

    def close(self) -> None:
        self.cluster.close()
        self.theirs.close()
        self.board.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


class Waiting:
    """What is waited for comes at the n-th attempt, or never; the cluster answers between two of them."""

    def __init__(self, bench: Bench, comes_at: int = 0, answer: int | None = None, answered_at: int = 0) -> None:
        self._bench = bench
        self._comes_at = comes_at
        self._answer = answer
        self._answered_at = answered_at
        self.attempts: list[float | None] = []

    def __call__(self, seconds: float | None) -> bool:
        self.attempts.append(seconds)
        if self._answer is not None and len(self.attempts) == self._answered_at:
            self._bench.words[ANSWER] = self._answer
        return len(self.attempts) == self._comes_at


def test_what_comes_in_a_moment_is_nobodys_concern(bench: Bench):
    attempt: Attempt = Waiting(bench, comes_at=1)
    assert bench.inside.wait(attempt, None)
    assert bench.inside.wait(Waiting(bench, comes_at=1), 5.0)
    assert bench.calls == []


@pytest.mark.parametrize("timeout_s", [0, MOMENT_S])
def test_nor_is_a_wait_that_lasts_no_longer(bench: Bench, timeout_s: float):
    attempt = Waiting(bench)
    assert not bench.inside.wait(attempt, timeout_s)
    assert (attempt.attempts, bench.calls) == ([timeout_s], [])


def test_a_wait_is_told_answered_and_told_again_when_it_is_over(bench: Bench):
    attempt = Waiting(bench, comes_at=4, answer=3, answered_at=3)
    assert bench.inside.wait(attempt, None)
    assert attempt.attempts == [MOMENT_S, ASK_S, ASK_S, None]
    assert bench.calls == [1, 0]


def test_each_wait_has_a_number_of_its_own(bench: Bench):
    for _ in range(3):
        bench.inside.wait(Waiting(bench, comes_at=2), None)
    assert bench.calls == [1, 0, 2, 0, 3, 0]


def test_a_wait_that_is_one_too_many_raises(bench: Bench):
    with pytest.raises(ParkingError, match="--max-parked"):
        bench.inside.wait(Waiting(bench, answer=2, answered_at=2), None)
    assert bench.calls == [1, 0]


def test_an_answer_to_an_earlier_wait_is_none(bench: Bench):
    bench.inside.wait(Waiting(bench, comes_at=3, answer=3, answered_at=2), None)
    attempt = Waiting(bench, comes_at=3)
    assert bench.inside.wait(attempt, None)
    assert attempt.attempts == [MOMENT_S, ASK_S, ASK_S]


def test_a_wait_ends_in_time_answered_or_not(bench: Bench):
    attempt = Waiting(bench)
    assert not bench.inside.wait(attempt, 3 * MOMENT_S)
    assert len(attempt.attempts) == 2
    attempt = Waiting(bench, answer=5, answered_at=1)
    assert not bench.inside.wait(attempt, 60.0)
    assert attempt.attempts[-1] == pytest.approx(60.0, abs=5.0)
    assert bench.words[WAITS] == 0


def test_a_wait_that_is_interrupted_is_over(bench: Bench):
    def interrupted(seconds: float | None) -> bool:
        if seconds == ASK_S:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        bench.inside.wait(interrupted, None)
    assert bench.calls == [1, 0]


# ---- tasks


def test_a_task_knows_its_name_and_where_it_stands(bench: Bench):
    task = bench.inside.task()
    assert task is not None
    assert (task.name, task.standing, task.is_over) == (TaskId(BATCH, 102), STANDING, False)
    assert bench.inside.task() is task


def test_there_is_none_in_an_empty_slot(bench: Bench):
    bench.words[CURRENT] = 0
    assert bench.inside.task() is None


def test_a_task_is_over_when_another_runs_or_when_it_has_ended(bench: Bench):
    first = bench.inside.task()
    bench.run(3)
    second = bench.inside.task()
    assert first is not None
    assert second is not None
    assert (first.is_over, second.is_over) == (True, False)
    bench.inside.end_task()
    assert second.is_over


def test_what_is_to_be_done_at_its_end_is_done_once(bench: Bench):
    done: list[int] = []
    task = bench.inside.task()
    assert task is not None
    for number in range(2):
        task.at_end(lambda number=number: done.append(number))
    bench.inside.end_task()
    bench.inside.end_task()
    assert done == [0, 1]


def test_threads_that_ask_at_a_time_find_one_task(bench: Bench):
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(bench.inside.task())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {bench.inside.task()}


def test_the_line_of_a_client_goes_up_with_its_name(bench: Bench):
    task = bench.inside.task()
    assert task is not None
    near = task.open_line(CHILD)
    assert bench.words[OPENED] == 1
    found = bench.cluster.receive_result()
    assert isinstance(found, ChildLine)
    assert (found.who, found.child) == (7 << 32 | 2, CHILD)
    assert found.end is not None
    far = PairEnd(found.end)
    far.send([b"hello"])
    assert near.receive() == [b"hello"]
    near.close()
    assert far.receive() is None
    far.close()
