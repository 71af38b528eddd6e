"""What tasks print: marked, told apart again however it is cut, and lost if nobody takes it."""

import io
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from scaler.ids import BatchId, Incarnation, TaskId
from scaler.worker.output import WHOLE_BYTES, Marks, mark, marked_writer

SQUARE = TaskId(BatchId(Incarnation(2**64 - 1), 7), 3)
ROOT = TaskId(BatchId(Incarnation(5), 1), 2**40)


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, int]]:
    """A pipe: the end to read from, and the descriptor of the end to write to."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as end:
        yield end, writing
        os.close(writing)


class Writer:
    """A marked stream, how often it said that something was printed, and the slot that prints to it."""

    def __init__(self, descriptor: int, task: TaskId | None = SQUARE) -> None:
        self.count = 0
        self.printing = task
        self.ends: list[Callable[[], None]] = []
        self.stream = marked_writer(descriptor, "utf-8", "strict", lambda: self, self._printed)

    def task(self) -> TaskId | None:
        return self.printing

    def at_end(self, action: Callable[[], None]) -> None:
        if action not in self.ends:
            self.ends.append(action)

    def end_task(self) -> None:
        for action in self.ends:
            action()
        self.ends.clear()

    def _printed(self) -> None:
        self.count += 1


def unmarked(*pieces: bytes) -> list[tuple[TaskId | None, bytes]]:
    """What the cluster makes of it, pieces of one task joined."""
    marks = Marks()
    joined: list[tuple[TaskId | None, bytes]] = []
    for piece in pieces:
        for task, data in marks.feed(piece):
            before = joined.pop() if joined and joined[-1][0] == task else (task, b"")
            joined.append((task, before[1] + data))
    return joined


# ---- in a worker


def test_what_python_prints_is_written_line_by_line_with_its_task(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    writer = Writer(descriptor)
    print("öne\ntwo", end="", file=writer.stream)
    writer.stream.buffer.write(b"\xff")
    writer.stream.flush()
    assert unmarked(end.read(1000)) == [(SQUARE, "öne\ntwo".encode() + b"\xff")]
    assert writer.count == 2
    stream = writer.stream
    assert (stream.fileno(), stream.isatty(), stream.encoding, stream.writable()) == (descriptor, False, "utf-8", True)


def test_a_line_without_an_end_goes_when_its_task_ends_and_not_before(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    os.set_blocking(end.fileno(), False)
    writer = Writer(descriptor)
    print("a", end="", file=writer.stream)
    print("b", end="", file=writer.stream)
    assert end.read(1000) is None
    writer.end_task()
    assert unmarked(end.read(1000)) == [(SQUARE, b"ab")]
    print("whole", file=writer.stream)
    assert unmarked(end.read(1000)) == [(SQUARE, b"whole\n")]
    writer.end_task()
    assert end.read(1000) is None


def test_what_a_task_has_begun_is_not_the_next_ones(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    writer = Writer(descriptor)
    print("a", end="", file=writer.stream)
    writer.printing = ROOT
    print("b", file=writer.stream)
    assert unmarked(end.read(1000)) == [(SQUARE, b"a"), (ROOT, b"b\n")]


def test_outside_of_tasks_nothing_waits_for_the_end_of_its_line(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    print("begun", end="", file=Writer(descriptor, None).stream)
    assert end.read(1000) == b"begun"


def test_a_line_that_is_to_be_written_over_is_written(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    print("50 %", end="\r", file=Writer(descriptor).stream)
    assert unmarked(end.read(1000)) == [(SQUARE, b"50 %\r")]


def test_threads_write_whole_lines(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    writer = Writer(descriptor)
    writer.stream.write("this ")
    thread = threading.Thread(target=print, args=("the other's",), kwargs={"file": writer.stream})
    thread.start()
    thread.join()
    writer.stream.write("line\n")
    assert unmarked(end.read(1000)) == [(SQUARE, b"the other's\nthis line\n")]


def test_what_is_begun_is_not_kept_back_without_end(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    writer = Writer(descriptor)
    for _ in range(10_000):
        writer.stream.write("x")
    assert len(unmarked(end.read(1 << 16))[0][1]) > 8000


def test_a_forked_process_prints_though_another_thread_was_printing(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Writer):
        def task(self) -> TaskId | None:
            if threading.current_thread() is not threading.main_thread():
                inside.set()
                go_on.wait()
            return self.printing

    writer = Slow(descriptor)
    thread = threading.Thread(target=print, args=("parent",), kwargs={"file": writer.stream})
    thread.start()
    inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is what this is about
        pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        writer.stream.buffer.write(b"child\n")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    go_on.set()
    thread.join()
    assert unmarked(end.read(1000)) == [(SQUARE, b"child\nparent\n")]


def test_what_no_task_prints_has_no_mark(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    print("at the start", file=Writer(descriptor, None).stream)
    assert end.read(1000) == b"at the start\n"


def test_what_is_long_is_written_in_pieces_that_the_system_keeps_whole(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    print("x" * 20_000, file=Writer(descriptor).stream)
    data = end.read(1 << 16)
    assert unmarked(data) == [(SQUARE, b"x" * 20_000 + b"\n")]
    pieces = data.split(b"\0\1scaler ")[1:]
    assert max(map(len, pieces)) <= WHOLE_BYTES


def test_a_file_in_the_place_of_the_pipe_gets_no_marks(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    writer = Writer(descriptor)
    reading, writing = os.pipe()
    pipe_before = os.dup(descriptor)
    os.dup2(writing, descriptor)
    print("captured", file=writer.stream)
    os.dup2(pipe_before, descriptor)
    print("printed", file=writer.stream)
    assert os.read(reading, 100) == b"captured\n"
    assert unmarked(end.read(1000)) == [(SQUARE, b"printed\n")]
    for one in (reading, writing, pipe_before):
        os.close(one)


def test_what_nobody_reads_is_lost_without_a_word(pipe: tuple[io.FileIO, int], capfd: pytest.CaptureFixture[str]):
    end, descriptor = pipe
    end.close()
    for _ in range(3):
        print("x" * 100_000, file=Writer(descriptor).stream)
    assert capfd.readouterr() == ("", "")


# ---- in the cluster


def test_marks_are_taken_out_wherever_the_stream_is_cut():
    data = b"raw\n" + mark(SQUARE, 6) + b"\0\1scal" + b"\0\1s\n" + mark(ROOT, 3) + b"abc" + b"tail"
    expected = [(None, b"raw\n"), (SQUARE, b"\0\1scal"), (None, b"\0\1s\n"), (ROOT, b"abc"), (None, b"tail")]
    assert unmarked(data) == expected
    for size in range(1, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert unmarked(*pieces) == expected


@pytest.mark.parametrize("data", [b"\0\1scaler x\0y", b"\0\0\0", b"\0\1scaler " + b"1" * 600])
def test_what_only_looks_like_a_mark_is_what_was_printed(data: bytes):
    assert unmarked(data, b"end") == [(None, data + b"end")]
