"""What comes from tasks is shown with its task and worker, and a terminal that stands still holds nothing up."""

import io
import os
import re
import sys

import pytest

from scaler.client.output import Terminal, tagged
from scaler.ids import Incarnation
from scaler.protocol import Output, OutputPiece

OUT = OutputPiece(1, 3, "square", "host, worker 0", is_error=False)
ERR = OutputPiece(1, 4, "root", "host, worker 1", is_error=True)


def message(*pieces: OutputPiece, dropped: int = 0) -> Output:
    return Output(Incarnation(5), pieces, dropped)


def test_each_line_is_tagged():
    assert tagged(OUT, "one\ntwo") == "[square-3 host, worker 0] one\n[square-3 host, worker 0] two\n"
    assert tagged(OUT, "10 %\r20 %\r\n") == "[square-3 host, worker 0] 10 %\n[square-3 host, worker 0] 20 %\n"


def test_nothing_that_tasks_print_or_are_called_moves_the_cursor():
    text = "\x1b[2J\x1b]0;title\x07one\x1b[31mred\n\x08\x08\x1b[1;1Htwo"
    expected = "[square-3 host, worker 0] one\x1b[31mred\x1b[0m\n[square-3 host, worker 0] two\n"
    assert tagged(OUT, text) == expected
    named = OutputPiece(1, 3, "\x1b[2J\nsquare\r", "host, worker 0", is_error=False)
    assert tagged(named, "one") == "[square-3 host, worker 0] one\n"


def test_each_stream_goes_to_its_own_and_what_is_missing_is_told(capsys: pytest.CaptureFixture[str]):
    terminal = Terminal()
    terminal.show(message(OUT, ERR), (b"out\n", memoryview(b"err\xff\n")))
    terminal.show(message(dropped=1204), ())
    terminal.close()
    told = "scaler: 1204 lines that tasks printed are not shown, they came too fast\n"
    assert capsys.readouterr() == (
        "[square-3 host, worker 0] out\n",
        f"[root-4 host, worker 1] err\N{REPLACEMENT CHARACTER}\n{told}",
    )


def test_a_stream_that_is_closed_or_not_there_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    terminal = Terminal()
    terminal.show(message(OUT, ERR), (b"out\n", b"err\n"))
    terminal.close()


def test_without_any_output_there_is_no_thread_and_nothing_to_wait_for():
    Terminal().close()


def test_what_a_terminal_that_stands_still_does_not_take_is_counted(monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()
    with io.FileIO(reading) as end, io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        terminal = Terminal()
        for _ in range(2000):
            terminal.show(message(OUT), (b"x" * 5000 + b"\n",))
        text = end.read(1 << 16)
        while text.count(b"x\n") + sum(map(int, re.findall(rb"scaler: (\d+) lines.*\n", text))) < 2000:
            text += end.read(1 << 16)
        terminal.close()
    assert text.endswith(b"\n")
