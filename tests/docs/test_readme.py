"""The README's programs are run as they stand, and what they print is compared with what it says they print.

A `console` block above a program in the same section is started first and stopped afterwards; only its port is
exchanged for a free one.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PORT = "8516"
ENDING_S = 10.0
PROGRAM_S = 60.0


@dataclass(frozen=True)
class Example:
    """A program of a page, the commands that have to run beside it, and its output."""

    title: str
    commands: tuple[str, ...]
    program: str
    output: str


def examples(page: str) -> list[Example]:
    found = []
    for section in re.split(r"^(?=#+ )", page, flags=re.MULTILINE):
        title = section.partition("\n")[0].strip("# ")
        commands: tuple[str, ...] = ()
        program = ""
        for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            if kind == "console":
                commands = tuple(line.removeprefix("$ ") for line in block.splitlines())
            elif kind == "python":
                program = block
            elif kind == "text":
                found.append(Example(title, commands, program, block))
                program = ""
    return found


EXAMPLES = examples(README.read_text(encoding="utf-8"))


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextlib.contextmanager
def running(commands: Sequence[str]) -> Iterator[None]:
    """The commands, each in a terminal of its own so to say, ended by Ctrl-C."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    with contextlib.ExitStack() as stack:
        for command in commands:
            words = command.split()
            process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
            stack.callback(end, process)
        yield


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_a_program_of_the_readme_prints_what_the_readme_says(example: Example, tmp_path: Path):
    port = free_port()
    script = tmp_path / "program.py"
    script.write_text(example.program.replace(PORT, port), encoding="utf-8")
    with running([command.replace(PORT, port) for command in example.commands]):
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=PROGRAM_S, check=False
        )
    assert (done.stdout, done.returncode) == (example.output, 0), done.stderr


def test_every_program_of_the_readme_says_what_it_prints():
    programs = re.findall(r"^```python$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(EXAMPLES) == len(programs) == 5


def test_the_commands_of_the_two_terminals_are_read():
    assert [example.commands for example in EXAMPLES][1] == (
        "scaler_scheduler tcp://127.0.0.1:8516",
        "scaler_worker -n 10 tcp://127.0.0.1:8516",
    )
