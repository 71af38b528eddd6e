"""Shells complete commands, options and the values of those that have a few."""

import pytest
from click.shell_completion import BashComplete

from scaler.cli.commands import COMMANDS, _Scaler


def completed(words: str, command: str = "") -> list[str]:
    """What a shell is offered for the last of these words."""
    *before, begun = words.split(" ")
    runnable = COMMANDS[command]() if command else _Scaler()
    completing = BashComplete(runnable, {}, "scaler", "_SCALER_COMPLETE")
    return [item.value for item in completing.get_completions(before, begun)]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sch", ["scheduler"]),
        ("config ", ["show"]),
        ("config show w", ["worker"]),
        ("worker --ech", ["--echo"]),
        ("scheduler --event-loop u", ["uvloop"]),
        ("worker --logging-level W", ["WARNING"]),
    ],
)
def test_what_was_begun_is_completed(words: str, offered: list[str]):
    assert completed(words) == offered


def test_a_command_by_its_own_name_is_completed_too():
    assert completed("--max-q", "scheduler") == ["--max-queued-tasks"]
    assert completed("--tri", "worker") == ["--trim-memory-threshold", "--trim-memory-threshold-bytes"]
