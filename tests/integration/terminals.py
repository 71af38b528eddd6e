"""What stands in the place of a client's terminal, and what is told of tasks there."""

import re

import pytest

TAG = re.compile(r"^\[(\S+) .*?worker (\d+)\] (.*)$")


def told(text: str) -> list[tuple[str, str]]:
    """Tag and text of every line that has a tag."""
    return [(found[1], found[3]) for line in text.splitlines() if (found := TAG.match(line))]


def echoed(text: str) -> list[tuple[str, str]]:
    """Task and text of every line of a cluster's own output that a task has printed."""
    return re.findall(r"^\[worker \d+ (\S+)\] (.*)$", text, re.MULTILINE)


class Terminal:
    """What stands in the place of `sys.stdout` and `sys.stderr`, as in a notebook."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._out = self._err = ""

    def _read(self) -> None:
        out, err = self._capsys.readouterr()
        self._out += out
        self._err += err

    @property
    def out(self) -> str:
        self._read()
        return self._out

    @property
    def err(self) -> str:
        self._read()
        return self._err
