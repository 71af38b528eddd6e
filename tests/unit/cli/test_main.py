"""What commands do before anything else is imported: which line to a parent they watch."""

import pytest

from scaler.cli.main import parent_line


@pytest.mark.parametrize(
    ("words", "descriptor"),
    [
        (["worker", "tcp://h:1", "--parent-fd", "7"], 7),
        (["--parent-fd", "0", "worker"], 0),
        (["--parent-fd", "2147483647"], 2147483647),
        (["worker", "--parent-fd=7", "tcp://h:1"], 7),
        (["--parent-fd", "6", "--parent-fd=7"], 7),
        (["--parent-fd=6", "--parent-fd", "7"], 7),
    ],
)
def test_the_line_to_the_parent_is_known_before_the_command_is(words: list[str], descriptor: int):
    assert parent_line(words) == descriptor


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["worker", "7"],
        ["worker", "--parent-fd"],
        ["worker", "7", "--parent-fd"],
        ["worker", "--parent-fd", ""],
        ["worker", "--parent-fd="],
        ["worker", "--parent-fd=seven"],
        ["worker", "--parent-fds=7"],
        ["worker", "--parent-fd", "seven"],
        ["worker", "--parent-fd", "-1"],
        ["worker", "--parent-fd", "7.0"],
        ["worker", "--parent-fd", "²"],
        ["worker", "--parent-fd", "2147483648"],
        ["worker", "--parent-fd", "9" * 30],
        ["worker", "--parent-fd", "9" * 5000],
    ],
)
def test_what_is_no_descriptor_is_left_to_the_command(words: list[str]):
    assert parent_line(words) is None
