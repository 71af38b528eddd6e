"""`progress=` in real terminals and files."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import PATIENCE_S, Place

SCRIPT = """
import sys, time
from scaler import Client, SchedulerClusterCombo

def step(number):
    time.sleep(0.01)
    return 1 / (number - 7) if number == 7 else number

way, wish = sys.argv[1:]
wish = {"True": True, "False": False}.get(wish, wish)
with SchedulerClusterCombo(n_workers=2) as cluster, Client(cluster) as client:
    if way == "map":
        client.map(step, range(60), progress=wish, return_exceptions=True)
    elif way == "starmap":
        client.starmap(step, [[n] for n in range(60)], progress=wish, return_exceptions=True)
    elif way == "map_async":
        client.map_async(step, range(60), progress=wish, return_exceptions=True).get()
    else:
        list(getattr(client, way)(step, iter(range(60)), progress=wish, return_exceptions=True))
    time.sleep(0.3)
    print("results")
"""

WAYS = ["map", "starmap", "map_async", "imap", "imap_unordered"]


def in_terminal(path: Path, *arguments: str) -> str:
    """What a program prints to a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, str(path), *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the last process there has ended
            break
        if not data:
            break
        text += data
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0
    return text.decode()


@pytest.fixture
def script(place: Place) -> Path:
    path = place.folder / "progress.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.mark.parametrize("way", WAYS)
def test_a_terminal_shows_a_bar(script: Path, way: str):
    shown = in_terminal(script, way, "True")
    assert "step" in shown
    assert re.search(r"60/60.*1 failed", shown)
    assert "results" in shown


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_told_as_text_if_that_is_asked_for_and_else_nothing(place: Place, way: str):
    for wish, told in (("True", ""), ("plain", "step: 60 of 60 done (100%), 1 failed\n")):
        program = place.script(SCRIPT, way, wish)
        assert program.wait() == 0, program.err
        assert (program.out, program.err) == ("results\n", told)


def test_without_it_nothing_is_shown(script: Path):
    assert in_terminal(script, "map", "False") == "results\r\n"


def test_a_bar_that_cannot_be_is_refused_before_anything_is_sent(place: Place):
    program = place.script(SCRIPT, "map", "fancy")
    assert program.wait() == 1
    assert "progress is True, False, or one of 'plain', 'rich', 'tqdm', not 'fancy'" in program.err
