"""What tasks print: marked, told apart again however it is cut, and lost if nobody takes it."""

import io
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from scaler.ids import BatchId, Incarnation
from scaler.worker.output import STDOUT, WHOLE_BYTES, Echo, Marks, mark, marked_writer
from scaler.worker.source import Source

SQUARE = Source(BatchId(Incarnation(2**64 - 1), 7), 3, "square", Incarnation(2**64 - 2))
ROOT = Source(BatchId(Incarnation(5), 1), 2**40, "root", None)


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, int]]:
    """A pipe: the end to read from, and the descriptor of the end to write to."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as end:
        yield end, writing
        os.close(writing)


class Writer:
    """A marked stream, and how often it said that something was printed."""

    def __init__(self, descriptor: int, source: Source | None = SQUARE) -> None:
        self.count = 0
        self.ends: list[Callable[[], None]] = []
        self.stream = marked_writer(descriptor, "utf-8", "strict", lambda: source, self._printed, self._at_end)

    def _at_end(self, action: Callable[[], None]) -> bool:
        self.ends.append(action)
        return True

    def end_task(self) -> None:
        """Do what was to be done at the end of the task."""
        for action in self.ends:
            action()
        self.ends.clear()

    def _printed(self) -> None:
        self.count += 1


def unmarked(*pieces: bytes) -> list[tuple[Source | None, bytes]]:
    """What the cluster makes of it, pieces of one source joined."""
    marks = Marks()
    joined: list[tuple[Source | None, bytes]] = []
    for piece in pieces:
        for source, data in marks.feed(piece):
            before = joined.pop() if joined and joined[-1][0] == source else (source, b"")
            joined.append((source, before[1] + data))
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


def test_a_line_without_an_end_is_written_when_its_task_ends(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    os.set_blocking(end.fileno(), False)
    writer = Writer(descriptor)
    print("one", "two", end=" ", file=writer.stream)
    print("three", end="", file=writer.stream)
    assert (end.read(1000), len(writer.ends)) == (None, 1)
    writer.end_task()
    assert unmarked(end.read(1000)) == [(SQUARE, b"one two three")]
    print("\ud800", end="", file=writer.stream)
    writer.end_task()
    print("x" * 5000, end="", file=writer.stream)
    print("50 %", end="\r", file=writer.stream)
    assert unmarked(end.read(9000)) == [(SQUARE, b"x" * 5000 + b"50 %\r")]


def test_outside_of_tasks_nothing_waits_for_the_end_of_its_line(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    stream = marked_writer(descriptor, "utf-8", "strict", lambda: None, lambda: None)
    print("begun", end="", file=stream)
    assert end.read(1000) == b"begun"


def test_threads_write_whole_lines(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    sources = {threading.get_ident(): SQUARE}
    stream = marked_writer(
        descriptor, "utf-8", "strict", lambda: sources[threading.get_ident()], lambda: None, lambda _: True
    )

    def other() -> None:
        sources[threading.get_ident()] = ROOT
        print("the other's", file=stream)

    stream.write("this ")
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    stream.write("line\n")
    assert unmarked(end.read(1000)) == [(ROOT, b"the other's\n"), (SQUARE, b"this line\n")]


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


def test_names_of_functions_cannot_break_a_mark():
    source = Source(SQUARE.batch, 3, "nul\0and" + "é" * 300, None)
    (found, data) = unmarked(mark(source, 2) + b"ok")[0]
    assert found is not None
    assert (found.name, data) == ("nuland" + "é" * 93, b"ok")


def test_what_finds_no_room_is_lost_and_that_is_told_once(capfd: pytest.CaptureFixture[str]):
    echo = Echo()
    full = os.open("/dev/full", os.O_WRONLY)
    assert echo.has_room(full)
    for _ in range(3):
        echo.write(full, b"lost\n")
    os.close(full)
    echo.write(STDOUT, b"kept\n")
    told = "scaler: what tasks print cannot be written, and is lost until it can: No space left on device\n"
    assert capfd.readouterr() == ("kept\n", told)


def test_a_full_pipe_has_no_room_and_one_without_reader_is_not_told_of(capfd: pytest.CaptureFixture[str]):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with io.FileIO(writing, "w") as end:
        while end.write(b"x" * WHOLE_BYTES):
            pass
        assert not Echo().has_room(writing)
        os.close(reading)
        Echo().write(writing, b"lost")
    assert capfd.readouterr() == ("", "")
