"""What tasks print does no more at a terminal than be shown."""

import pytest

from scaler.lines import plain, plain_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is, ö and \N{SNOWMAN}", "as it is, ö and \N{SNOWMAN}"),
        ("a\ttab", "a\ttab"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[38;2;1;2;3mcolour that has no end", "\x1b[38;2;1;2;3mcolour that has no end\x1b[0m"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;clipboard\x1b\\text", "text"),
        ("\x1b]0;a title that has no end", ""),
        ("\x1b[2J\x1b[1;1Hon top", "on top"),
        ("\x1b[?25lhidden", "hidden"),
        ("\x1bcreset", "reset"),
        ("bell\a back\b\b nul\0 del\x7f", "bell back nul del"),
        ("c1\x9b2J\x85", "c12J"),
        ("cut off \x1b[3", "cut off "),
        ("cut off \x1b", "cut off "),
    ],
)
def test_only_text_and_colours_are_left(text: str, shown: str):
    assert plain(text) == shown


def test_a_line_is_one_line():
    assert plain("one\ntwo\rthree\vfour\ffive") == "onetwothreefourfive"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\ntwo", ["one", "two"]),
        ("one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        ("\r10 %\r20 %\n", ["10 %", "20 %"]),
        ("text\r[INFO] as if it were of the log\n", ["text", "[INFO] as if it were of the log"]),
        ("\n", [""]),
        ("", []),
    ],
)
def test_what_a_carriage_return_would_write_over_is_a_line(text: str, lines: list[str]):
    assert plain_lines(text) == lines
