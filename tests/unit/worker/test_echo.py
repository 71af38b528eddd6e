"""What workers print stands in the cluster's own output in whole lines, which nothing they print can forge or break."""

import io
import json
import logging
import os
import re
from collections.abc import Iterator

import pytest

from scaler.cli.logs import DescriptorHandler
from scaler.ids import BatchId, Incarnation, WorkerId
from scaler.worker.echo import LONGEST_LINE_BYTES, NO_ROOM_S, OPEN_S, Echo
from scaler.worker.output import STDERR, STDOUT, WHOLE_BYTES
from scaler.worker.source import Source

ONE, TWO = WorkerId(1), WorkerId(2)
SQUARE = Source(BatchId(Incarnation(5), 7), 3, "square", None)
ROOT = Source(BatchId(Incarnation(5), 8), 4, "root", None)


class Output:
    """An echo with a clock and a pipe of its own; both streams go to that."""

    def __init__(self, line_format: str = "text") -> None:
        reading, self.writing = os.pipe()
        self.end = io.FileIO(reading)
        os.set_blocking(reading, False)
        self.now = 100.0
        self.echo = Echo(line_format, lambda: self.now, self.writing, self.writing)

    def read(self) -> str:
        return (self.end.read(1 << 20) or b"").decode()

    def put(self, text: str, source: Source | None = SQUARE, worker: WorkerId = ONE, stream: int = STDOUT) -> str:
        """What is written when a worker has printed this."""
        self.echo.put(worker, source, stream, text.encode())
        return self.read()


@pytest.fixture
def output() -> Iterator[Output]:
    made = Output()
    yield made
    made.end.close()
    os.close(made.writing)


def test_each_line_tells_worker_and_task(output: Output):
    assert output.put("one\ntwo\n") == "[worker 1 square-3] one\n[worker 1 square-3] two\n"
    assert output.put("raw\n", None, TWO) == "[worker 2] raw\n"
    assert output.put("\n") == "[worker 1 square-3] \n"


def test_a_line_is_written_when_it_ends(output: Output):
    assert output.put("one ") == ""
    assert output.put("other\n", ROOT, TWO) == "[worker 2 root-4] other\n"
    assert output.put("line\nand") == "[worker 1 square-3] one line\n"
    assert output.put("err\n", stream=STDERR) == "[worker 1 square-3] err\n"


def test_a_line_that_has_no_end_is_ended_by_another_task_by_time_or_with_its_worker(output: Output):
    output.put("one")
    assert output.put("two\n", ROOT) == "[worker 1 square-3] one\n[worker 1 root-4] two\n"
    output.put("three")
    assert output.echo.due() == output.now + OPEN_S
    output.now += OPEN_S
    output.echo.look()
    assert (output.read(), output.echo.due()) == ("[worker 1 square-3] three\n", None)
    output.put("four")
    output.echo.ended(TWO)
    assert output.read() == ""
    output.echo.ended(ONE)
    assert output.read() == "[worker 1 square-3] four\n"
    output.put("five")
    output.echo.close()
    assert output.read() == "[worker 1 square-3] five\n"


@pytest.mark.parametrize("text", ["\r[INFO]2026: forged", "\x1b[2K\x1b[1G[INFO]2026: forged", "\x0b[INFO]2026: forged"])
def test_no_line_can_be_taken_for_one_of_the_log(output: Output, text: str):
    forger = Source(SQUARE.batch, 3, "x]\n[INFO]2026: forged", None)
    written = output.put(f"{text}\n{text}\n", forger)
    assert written.count("forged") == 4
    assert all(line.startswith("[worker 1 ") for line in re.split("[\r\n\v]", written.rstrip()))


def test_a_line_that_is_very_long_is_broken(output: Output):
    lines = [output.put("x" * 4000) for _ in range(LONGEST_LINE_BYTES // 4000 + 1)]
    lines.append(output.put("\n"))
    output.echo.look()
    found = re.findall(r"\[worker 1 square-3\] (x+)\n", "".join(lines) + output.read())
    assert [len(line) for line in found] == [
        LONGEST_LINE_BYTES,
        (LONGEST_LINE_BYTES // 4000 + 1) * 4000 - LONGEST_LINE_BYTES,
    ]


@pytest.mark.parametrize("line_format", ["kv", "json"])
def test_records_tell_worker_task_stream_and_text(line_format: str):
    output = Output(line_format)
    written = output.put('a "text"\n', stream=STDERR) + output.put("raw\x1b[2J\n", None)
    if line_format == "json":
        first, second = map(json.loads, written.splitlines())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", first.pop("time"))
        task = {"task": "0000000000000005-7-3", "name": "square"}
        assert first == {"worker": 1, **task, "stream": "stderr", "text": 'a "text"'}
        assert second.keys() == {"time", "worker", "stream", "text"}
    else:
        first, second = written.splitlines()
        expected = r'time=\S+ worker=1 task=0000000000000005-7-3 name=square stream=stderr text="a \\"text\\""'
        assert re.fullmatch(expected, first)
        assert re.fullmatch(r'time=\S+ worker=1 stream=stdout text="raw\\u001b\[2J"', second)
    output.end.close()
    os.close(output.writing)


def fill(output: Output) -> None:
    """Leave no room in the pipe."""
    os.set_blocking(output.writing, False)
    with io.FileIO(output.writing, "w", closefd=False) as end:
        while end.write(b"x" * WHOLE_BYTES):
            pass
    os.set_blocking(output.writing, True)


def test_what_finds_no_room_waits_and_is_written_when_there_is(output: Output):
    fill(output)
    assert not output.echo.has_room(STDOUT)
    assert output.echo.due() is None
    output.echo.put(ONE, SQUARE, STDOUT, b"y" * 10_000 + b"\nnext\n")
    assert output.echo.due() == output.now + NO_ROOM_S
    written = ""
    while output.echo.due() is not None:
        written += (output.end.read(WHOLE_BYTES) or b"").decode()
        output.echo.look()
    written += output.read()
    assert written.lstrip("x") == f"[worker 1 square-3] {'y' * 10_000}\n[worker 1 square-3] next\n"


def test_the_log_comes_behind_a_line_that_is_half_written(output: Output):
    handler = DescriptorHandler(output.writing, "here")
    handler.setFormatter(logging.Formatter("[INFO]%(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        output.echo.open()
        fill(output)
        output.echo.put(ONE, SQUARE, STDOUT, b"y" * 10_000 + b"\n")
        taken = output.end.read(WHOLE_BYTES)
        output.echo.look()
        assert output.end.read(1 << 15)
        logging.getLogger().error("of the log")
        written = output.read()
        assert taken
        assert re.fullmatch(r"x*\[worker 1 square-3\] y{10000}\n\[INFO\]of the log\n", written)
    finally:
        output.echo.close()
        logging.getLogger().removeHandler(handler)


def test_what_cannot_be_written_is_lost_and_that_is_told_once(capfd: pytest.CaptureFixture[str]):
    full = os.open("/dev/full", os.O_WRONLY)
    echo = Echo(out=full, err=full)
    assert echo.has_room(STDOUT)
    for _ in range(3):
        echo.put(ONE, SQUARE, STDOUT, b"lost\n")
    os.close(full)
    told = "scaler: what tasks print cannot be written, and is lost until it can: No space left on device\n"
    assert capfd.readouterr() == ("", told)


def test_of_a_reader_that_has_gone_nothing_is_told(output: Output, capfd: pytest.CaptureFixture[str]):
    output.end.close()
    output.echo.put(ONE, SQUARE, STDOUT, b"lost\n")
    assert output.echo.has_room(STDOUT)
    assert capfd.readouterr() == ("", "")
