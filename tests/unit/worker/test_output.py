"""What tasks print when nobody can take it: it is lost, and no task fails for it."""

import io
import os
from collections.abc import Iterator

import pytest

from scaler.worker.output import lossy_writer


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, int]]:
    """A pipe: the end to read from, and the descriptor of the end to write to."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as end:
        yield end, writing
        os.close(writing)


def test_what_can_be_written_is_written_line_by_line(pipe: tuple[io.FileIO, int]):
    end, descriptor = pipe
    output = lossy_writer(descriptor, "utf-8", "strict")
    print("öne\ntwo", end="", file=output)
    assert end.read(100) == "öne\ntwo".encode()
    output.buffer.write(b"\xff")
    output.flush()
    assert end.read(100) == b"\xff"
    assert (output.fileno(), output.isatty(), output.encoding) == (descriptor, False, "utf-8")


def test_what_nobody_reads_is_lost_without_a_word(pipe: tuple[io.FileIO, int], capfd: pytest.CaptureFixture[str]):
    end, descriptor = pipe
    output = lossy_writer(descriptor, "utf-8", "strict")
    end.close()
    for _ in range(3):
        print("x" * 100_000, file=output)
    assert capfd.readouterr() == ("", "")


def test_what_finds_no_room_is_lost_and_that_is_told_once(capfd: pytest.CaptureFixture[str]):
    descriptor = os.open("/dev/full", os.O_WRONLY)
    output = lossy_writer(descriptor, "utf-8", "strict")
    for _ in range(3):
        print("lost", file=output)
    os.close(descriptor)
    told = "scaler: what tasks print cannot be written, and is lost until it can: No space left on device\n"
    assert capfd.readouterr() == ("", told)
