"""Scheduler and workers as commands of their own: `python -m examples.patterns.quickstart_two_terminals`.

Elsewhere each has a terminal, or a machine: `scaler_scheduler tcp://HOST:8516`, `scaler_worker -n 10 tcp://HOST:8516`.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scaler import Client

COMMANDS = Path(sys.executable).parent


@contextlib.contextmanager
def terminal(command: str, *arguments: str, until: str, count: int = 1) -> Iterator[str]:
    """A command that runs as long as the block, and what it logs until it has said so, so many times."""
    words = [str(COMMANDS / command), *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own commands
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                count -= until in line
                if not count:
                    yield line
                    break
        finally:
            process.terminate()


def calculate(number: int) -> int:
    """Something that takes long elsewhere."""
    return number


with (
    terminal("scaler_scheduler", "tcp://127.0.0.1:0", until="listening on") as said,
    terminal("scaler_worker", "-n", "10", address := said.split()[-1], until="Worker[", count=10),
    Client(address=address) as client,
):
    tasks = list(range(1000))
    results = client.map(calculate, [(i,) for i in tasks])
    print("results == tasks:", results == tasks)
